#include "edge/spool/salvage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

namespace skerry::edge {

namespace {

constexpr std::size_t read_bytes = 1 << 20;
constexpr std::size_t sector_bytes = 4096; // so much is given up where the disk gives nothing back

// Every magic number of the spool starts with 'S': "Sk" a record, "SKRN" a run, "SKIX" and "SKRL" the index,
// "SKST" a set.
std::size_t next_candidate(bytes_view file, std::size_t from) noexcept {
  const auto* found = from < file.size() ? std::memchr(file.data() + from, 'S', file.size() - from) : nullptr;
  return found == nullptr ? file.size()
                          : static_cast<std::size_t>(static_cast<const std::byte*>(found) - file.data());
}

bool starts_with(bytes_view bytes, std::string_view magic) noexcept {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// Whose records are here: run headers and index entries.
void find_names(bytes_view file, findings& to) {
  for (auto at = next_candidate(file, 0); at < file.size(); at = next_candidate(file, at + 1)) {
    const auto here = file.subspan(at);
    if (starts_with(here, "SKRN")) {
      if (const auto header = decode_run_header(here))
        to.stream(header.value().key);
    } else if (starts_with(here, "SKIX") || starts_with(here, "SKRL")) {
      std::size_t used = 0;
      if (decode_index_entry(here, used))
        to.index_part(here.first(used));
    }
  }
}

// How many bytes were understood; 1 where none.
std::size_t take_content(bytes_view here, findings& to) {
  if (starts_with(here, "Sk")) {
    const auto record = decode_record(here);
    if (!record)
      return 1;
    to.record(record.value().bytes);
    return record.value().bytes.size();
  }
  if (starts_with(here, "SKST")) {
    const auto value = decode_set_value(here);
    if (!value || !expand_set(value.value()))
      return 1;
    to.set(here.first(value.value().bytes));
    return value.value().bytes;
  }
  return 1;
}

void find_content(bytes_view file, findings& to) {
  for (auto at = next_candidate(file, 0); at < file.size();)
    at = next_candidate(file, at + take_content(file.subspan(at), to));
}

// False: the disk does not give it back, or the file ends before.
bool read_part(int fd, std::size_t at, std::span<std::byte> to) {
  while (!to.empty()) {
    const auto n = ::pread(fd, to.data(), to.size(), static_cast<off_t>(at));
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return false;
    at += static_cast<std::size_t>(n);
    to = to.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

result<byte_buffer> read_what_is_readable(const std::filesystem::path& file, std::uint64_t bytes_max) {
  BOOST_OUTCOME_TRY(fd, open_file(file, O_RDONLY));
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0)
    return os_error("cannot examine", file, errno);
  if (static_cast<std::uint64_t>(st.st_size) > bytes_max)
    return fail(errc::malformed,
                fmt::format("{} has {} bytes, over the limit of {}", file.string(), st.st_size, bytes_max));
  byte_buffer out(static_cast<std::size_t>(st.st_size));
  for (std::size_t at = 0; at < out.size(); at += read_bytes) {
    const auto part = std::span{out}.subspan(at, std::min(read_bytes, out.size() - at));
    if (read_part(fd.get(), at, part))
      continue;
    for (std::size_t i = 0; i < part.size(); i += sector_bytes)
      static_cast<void>(
          read_part(fd.get(), at + i, part.subspan(i, std::min(sector_bytes, part.size() - i))));
  }
  return out;
}

} // namespace

result<shared_bytes> scan_file(const std::filesystem::path& file, std::uint64_t bytes_max, findings& to) {
  BOOST_OUTCOME_TRY(bytes, read_what_is_readable(file, bytes_max));
  auto out = shared_bytes::take(std::move(bytes));
  find_names(out.view, to);
  find_content(out.view, to);
  return out;
}

salvage_collector::salvage_collector(const std::set<stream_key>& known) {
  for (const auto& key : known)
    stream(key);
}

void salvage_collector::stream(const stream_key& key) {
  names_[{epoch_tag(key.edge, key.epoch), key.stream}].insert(key);
}

void salvage_collector::index_part(bytes_view bytes) {
  std::size_t used = 0;
  auto decoded = decode_index_entry(bytes, used);
  if (!decoded)
    return;
  auto entry = std::move(decoded).value();
  stream(entry.key);
  if (entry.stream) {
    auto& best = out_.promised[entry.key];
    if (entry.stream->stored.count() >= best.stored.count()) // older copies of a page hold shorter ranges
      best = std::move(*entry.stream);
  } else {
    auto& released = out_.released[entry.key];
    released.last = std::max(released.last, entry.released->last);
    released.released.add(entry.released->released);
  }
}

void salvage_collector::record(bytes_view bytes) {
  const auto decoded = decode_record(bytes);
  if (!decoded)
    return;
  const auto& view = decoded.value();
  const auto stream = stream_id{static_cast<std::uint8_t>(bytes[record_stream_offset])};
  const auto sequences = sequences_of(view);
  const auto named = names_.find({view.tag, stream});
  if (named == names_.end() || named->second.size() != 1 || !sequences || view.seq == 0) {
    ++out_.records_unnamed;
    return;
  }
  out_.records[*named->second.begin()].try_emplace(view.seq, salvaged::record{view.bytes, sequences.value()});
}

void salvage_collector::set(bytes_view bytes) {
  if (const auto value = decode_set_value(bytes))
    out_.sets.try_emplace(value.value().name, bytes.first(value.value().bytes));
}

salvaged salvage_collector::take(shared_bytes file) && {
  out_.file = std::move(file);
  return std::move(out_);
}

} // namespace skerry::edge
