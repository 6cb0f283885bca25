#include "edge/spool/state_file.hpp"

#include "edge/spool/segment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <optional>
#include <unistd.h>
#include <xxhash.h>

namespace skerry::edge {

namespace {

constexpr std::uint32_t state_magic = 0x41534b53; // "SKSA"
constexpr std::size_t slot_header_bytes = 24;     // magic, bytes of the body, generation, checksum
constexpr std::uint64_t slot_bytes_min = 64 << 10;
constexpr std::uint64_t state_bytes_max = 256 << 20;

void put_ranges(const range_set& ranges, byte_writer& w) {
  byte_buffer encoded;
  encode_ranges(ranges, encoded);
  w.varint(encoded.size());
  w.bytes(encoded);
}

byte_buffer encode_state(const spool_state& state) {
  byte_buffer out;
  byte_writer w{out};
  w.varint(state.epoch.boot_counter);
  for (const auto byte : state.epoch.random)
    w.fixed(byte);
  w.fixed(static_cast<std::uint8_t>(state.clean));
  w.signed_varint(state.last_commit_ns);
  w.varint(state.next_segment);
  w.varint(state.streams.size());
  for (const auto& [key, stream] : state.streams) {
    put_stream_key(key, w);
    w.varint(stream.last);
    put_ranges(stream.released, w);
    put_ranges(stream.lost, w);
  }
  return out;
}

result<spool_state> decode_state(bytes_view in) {
  byte_reader r{in};
  spool_state out;
  out.epoch.boot_counter = r.varint();
  for (auto& byte : out.epoch.random)
    byte = r.fixed<std::uint8_t>();
  out.clean = r.fixed<std::uint8_t>() != 0;
  out.last_commit_ns = r.signed_varint();
  out.next_segment = r.varint();
  const auto count = r.varint();
  for (std::uint64_t i = 0; i < count && !r.failed(); ++i) {
    BOOST_OUTCOME_TRY(key, take_stream_key(r));
    auto& stream = out.streams[key];
    stream.last = r.varint();
    BOOST_OUTCOME_TRY(released, decode_ranges(r.bytes(r.varint())));
    BOOST_OUTCOME_TRY(lost, decode_ranges(r.bytes(r.varint())));
    stream.released = std::move(released);
    stream.lost = std::move(lost);
  }
  if (r.failed() || r.remaining() != 0)
    return fail(errc::corrupt, "the state does not decode");
  return out;
}

struct slot {
  spool_state state;
  std::uint64_t generation = 0;
};

result<slot> decode_slot(bytes_view in) {
  byte_reader r{in};
  const auto magic = r.fixed<std::uint32_t>();
  const auto bytes = r.fixed<std::uint32_t>();
  slot out;
  out.generation = r.fixed<std::uint64_t>();
  const auto checksum = r.fixed<std::uint64_t>();
  const auto body = r.bytes(bytes);
  if (r.failed() || magic != state_magic
      || XXH3_64bits_withSeed(body.data(), body.size(), out.generation) != checksum)
    return fail(errc::corrupt, "a slot of the state does not decode");
  BOOST_OUTCOME_TRY(state, decode_state(body));
  out.state = std::move(state);
  return out;
}

bool never_written(bytes_view in) noexcept {
  return std::all_of(in.begin(), in.end(), [](std::byte b) { return b == std::byte{0}; });
}

} // namespace

result<state_file::loaded> state_file::load() {
  loaded out;
  auto bytes = read_whole_file(path_, state_bytes_max);
  if (!bytes) {
    if (bytes.error().code == errc::not_found)
      return out;
    if (bytes.error().code != errc::malformed)
      return std::move(bytes).error();
    out.damaged = true;
    return out;
  }
  const bytes_view file{bytes.value()};
  const auto half = file.size() / 2;
  // A file of another length was cut off: its slots are still looked at, and a new file replaces it.
  if (file.size() % (2 * slot_bytes_min) == 0)
    slot_bytes_ = half;
  const auto second_at = slot_bytes_ != 0 ? half : std::size_t{slot_bytes_min};
  for (const auto at : {std::size_t{0}, second_at}) {
    const auto here =
        file.subspan(std::min(at, file.size()),
                     at == 0 ? std::min(second_at, file.size()) : file.size() - std::min(at, file.size()));
    auto read = decode_slot(here);
    if (!read) {
      out.damaged = out.damaged || !never_written(here);
      continue;
    }
    if (!out.found || read.value().generation > generation_) {
      generation_ = read.value().generation;
      out.state = std::move(read.value().state);
    }
    out.found = true;
  }
  out.damaged = out.damaged || slot_bytes_ == 0;
  return out;
}

result<void> state_file::store(const spool_state& state) {
  const auto body = encode_state(state);
  byte_buffer out;
  out.reserve(slot_header_bytes + body.size());
  byte_writer w{out};
  const auto generation = generation_ + 1;
  w.fixed(state_magic);
  w.fixed(static_cast<std::uint32_t>(body.size()));
  w.fixed(generation);
  w.fixed(static_cast<std::uint64_t>(XXH3_64bits_withSeed(body.data(), body.size(), generation)));
  w.bytes(body);
  if (out.size() > slot_bytes_) {
    auto slot_bytes = slot_bytes_min;
    while (slot_bytes < out.size())
      slot_bytes *= 2;
    byte_buffer file(2 * slot_bytes);
    std::copy(out.begin(), out.end(),
              file.begin() + static_cast<std::ptrdiff_t>(generation % 2 * slot_bytes));
    BOOST_OUTCOME_TRYV(replace_file(path_, file));
    slot_bytes_ = slot_bytes;
    generation_ = generation;
    return ok();
  }
  BOOST_OUTCOME_TRY(fd, open_file(path_, O_WRONLY));
  std::size_t at = 0;
  while (at < out.size()) {
    const auto n = ::pwrite(fd.get(), out.data() + at, out.size() - at,
                            static_cast<off_t>(generation % 2 * slot_bytes_ + at));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return os_error("cannot write", path_, errno);
    at += static_cast<std::size_t>(n);
  }
  if (::fdatasync(fd.get()) != 0)
    return os_error("cannot sync", path_, errno);
  generation_ = generation;
  return ok();
}

std::string format_text(std::uint32_t version) {
  const auto text = fmt::format("skerry-spool {}", version);
  return fmt::format("{} {:016x}\n", text, XXH3_64bits(text.data(), text.size()));
}

result<void> check_format(const std::filesystem::path& directory, bool& healed) {
  const auto path = directory / "FORMAT";
  const auto found = read_whole_file(path, 4096);
  healed = false;
  if (found) {
    const auto text = as_text(found.value());
    constexpr std::string_view prefix = "skerry-spool ";
    std::uint32_t version = 0;
    if (text.starts_with(prefix))
      std::from_chars(text.data() + prefix.size(), text.data() + text.size(), version);
    if (text == format_text(version)) {
      if (version <= spool_format_version)
        return ok();
      return fail(
          errc::unsupported_version,
          fmt::format("{} was written by a newer skerry-edge (spool format {}, this one knows {}); run that "
                      "version, or give this one an empty data directory",
                      directory.string(), version, spool_format_version));
    }
    healed = true;
  } else if (found.error().code != errc::not_found && found.error().code != errc::malformed) {
    return found.error();
  }
  return replace_file(path, as_bytes(format_text(spool_format_version)));
}

} // namespace skerry::edge
