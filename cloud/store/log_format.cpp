#include "cloud/store/log_format.hpp"

#include "schemas/model/payload.hpp"
#include "schemas/time.hpp"

#include <algorithm>
#include <cassert>
#include <xxhash.h>
#include <zstd.h>

namespace skerry::cloud {

namespace {

constexpr int set_zstd_level = 3;
constexpr std::size_t site_bytes_max = 4096;

struct raw_entry {
  std::uint32_t magic = entry_magic;
  std::uint8_t version = entry_version;
  std::uint8_t kind = 0;
  std::uint16_t reserved = 0;
  std::uint32_t head_bytes = 0;
  std::uint32_t body_bytes = 0;
  std::uint64_t log = 0;
  std::uint64_t serial = 0;
  std::uint64_t checksum = 0; // of the header before it and the head
};
static_assert(sizeof(raw_entry) == entry_header_bytes);

std::uint64_t entry_checksum(const raw_entry& raw, bytes_view head) noexcept {
  return XXH3_64bits_withSeed(head.data(), head.size(), XXH3_64bits(&raw, offsetof(raw_entry, checksum)));
}

std::int64_t floor_s(std::int64_t ns) noexcept { return ns / ns_per_s - (ns % ns_per_s < 0 ? 1 : 0); }

// The first or the last nanosecond of a second.
std::int64_t ns_of(std::int64_t s, bool last) noexcept {
  if (s > INT64_MAX / ns_per_s - 1)
    return INT64_MAX;
  if (s < INT64_MIN / ns_per_s + 1)
    return INT64_MIN;
  return s * ns_per_s + (last ? ns_per_s - 1 : 0);
}

auto damaged(std::string_view what) {
  return fail(errc::malformed, std::string{what} + " in the log does not decode");
}

// Where the bytes of `pattern` next stand in `in`, from `at` on; in.size() where they don't.
std::size_t find(bytes_view in, std::size_t at, std::string_view pattern) noexcept {
  const auto next = as_text(in).find(pattern, at);
  return next == std::string_view::npos ? in.size() : next;
}

} // namespace

void encode_entry(entry_kind kind, std::uint64_t log, std::uint64_t serial, bytes_view head,
                  std::size_t body_bytes, byte_buffer& out) {
  raw_entry raw;
  raw.kind = static_cast<std::uint8_t>(kind);
  raw.head_bytes = static_cast<std::uint32_t>(head.size());
  raw.body_bytes = static_cast<std::uint32_t>(body_bytes);
  raw.log = log;
  raw.serial = serial;
  raw.checksum = entry_checksum(raw, head);
  byte_writer w{out};
  w.fixed(raw);
  w.bytes(head);
}

result<entry_view> decode_entry(bytes_view in) {
  raw_entry raw;
  if (in.size() < entry_header_bytes)
    return fail(errc::malformed, "a log entry is cut off in its header");
  std::memcpy(&raw, in.data(), sizeof raw);
  if (raw.magic != entry_magic)
    return fail(errc::malformed, "no log entry starts here: the magic number does not match");
  if (raw.head_bytes > entry_head_bytes_max || raw.head_bytes > in.size() - entry_header_bytes)
    return fail(errc::corrupt, "a log entry does not fit");
  const auto head = in.subspan(entry_header_bytes, raw.head_bytes);
  if (raw.checksum != entry_checksum(raw, head))
    return fail(errc::corrupt, "the checksum of a log entry does not match");
  if (raw.version > entry_version)
    return fail(errc::unsupported_version, "a log entry is of a newer format than this build knows");
  entry_view view;
  view.kind = static_cast<entry_kind>(raw.kind);
  view.log = raw.log;
  view.serial = raw.serial;
  view.head = head;
  view.bytes = entry_header_bytes + std::size_t{raw.head_bytes} + raw.body_bytes;
  if (view.bytes > in.size())
    return fail(errc::corrupt, "a log entry is cut off");
  view.body = in.subspan(entry_header_bytes + raw.head_bytes, raw.body_bytes);
  return view;
}

void encode_envelope(const envelope& from, byte_buffer& out) {
  byte_writer w{out};
  w.varint(from.fence);
  w.varint(from.tenant);
  w.varint(from.shard);
  w.text(from.site);
  w.fixed(static_cast<std::uint64_t>(from.origin.edge));
  w.varint(from.origin.epoch.boot_counter);
  w.fixed(from.origin.epoch.random);
  w.fixed(static_cast<std::uint8_t>(from.origin.stream));
  encode_ranges(from.ranges, out);
  if (!from.records.known())
    return;
  const auto oldest_s = floor_s(from.records.oldest_ns);
  const auto newest_s = floor_s(from.records.newest_ns);
  w.signed_varint(oldest_s);
  w.varint(static_cast<std::uint64_t>(newest_s - oldest_s));
  w.varint(static_cast<std::uint64_t>(oldest_s - std::min(oldest_s, floor_s(from.log.oldest_ns))));
  w.varint(static_cast<std::uint64_t>(std::max(newest_s, floor_s(from.log.newest_ns)) - newest_s));
}

envelope::span span_of(const record_view& record) {
  envelope::span of{record.time_ns, record.time_ns};
  if (record.kind == record_kind::tombstone) {
    if (const auto stone = decode_tombstone(record.payload))
      of.add({stone.value().from_ns, stone.value().to_ns});
  } else if (record.kind == record_kind::not_collected) {
    if (const auto gap = decode_not_collected(record.payload))
      of.add({gap.value().from_ns, gap.value().to_ns});
  }
  return of;
}

result<envelope> decode_envelope(bytes_view head) {
  byte_reader r{head};
  envelope to;
  to.fence = r.varint();
  const auto tenant = r.varint();
  const auto shard = r.varint();
  to.site = r.text();
  to.origin.edge = edge_id{r.fixed<std::uint64_t>()};
  to.origin.epoch.boot_counter = r.varint();
  to.origin.epoch.random = r.fixed<std::array<std::uint8_t, 16>>();
  to.origin.stream = stream_id{r.fixed<std::uint8_t>()};
  if (r.failed() || tenant > UINT32_MAX || shard >= shard_count || to.site.size() > site_bytes_max)
    return damaged("an envelope");
  to.tenant = static_cast<tenant_id>(tenant);
  to.shard = static_cast<shard_id>(shard);
  BOOST_OUTCOME_TRY(ranges, decode_ranges(r));
  to.ranges = std::move(ranges);
  if (r.remaining() == 0)
    return to;
  const auto oldest_s = r.signed_varint();
  const auto plus = [](std::int64_t a, std::uint64_t b) { // what overflows is out of order
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + b);
  };
  const auto newest_s = plus(oldest_s, r.varint());
  const auto log_oldest_s = plus(oldest_s, -r.varint());
  const auto log_newest_s = plus(newest_s, r.varint());
  if (r.failed() || r.remaining() != 0 || log_oldest_s > oldest_s || oldest_s > newest_s
      || newest_s > log_newest_s)
    return damaged("an envelope");
  to.records = {ns_of(oldest_s, false), ns_of(newest_s, true)};
  to.log = {ns_of(log_oldest_s, false), ns_of(log_newest_s, true)};
  return to;
}

void pack_set(bytes_view encoded, byte_buffer& out) {
  const auto at = out.size();
  out.resize(at + ZSTD_compressBound(encoded.size()));
  const auto n =
      ZSTD_compress(out.data() + at, out.size() - at, encoded.data(), encoded.size(), set_zstd_level);
  assert(!ZSTD_isError(n)); // the bound was reserved
  out.resize(at + n);
}

result<series_set_ptr> unpack_set(const set_hash& hash, std::uint64_t plain_bytes, bytes_view packed) {
  if (plain_bytes > set_bytes_max)
    return damaged("a series set");
  byte_buffer plain(plain_bytes);
  const auto n = ZSTD_decompress(plain.data(), plain.size(), packed.data(), packed.size());
  if (ZSTD_isError(n) || n != plain_bytes)
    return damaged("a series set");
  BOOST_OUTCOME_TRY(set, decode_series_set(shared_bytes::take(std::move(plain))));
  if (set->hash != hash)
    return fail(errc::corrupt, "the content of series set " + to_string(hash) + " has another hash");
  return set;
}

void encode_set_entry(edge_id edge, const series_set& set, byte_buffer& out) {
  byte_writer w{out};
  w.fixed(static_cast<std::uint64_t>(edge));
  w.fixed(set.hash.bytes);
  w.varint(set.encoded.view.size());
  pack_set(set.encoded.view, out);
}

result<set_entry> decode_set_entry(bytes_view head) {
  byte_reader r{head};
  set_entry to;
  to.edge = edge_id{r.fixed<std::uint64_t>()};
  to.hash.bytes = r.fixed<std::array<std::uint8_t, 16>>();
  to.plain_bytes = r.varint();
  if (r.failed() || to.plain_bytes > set_bytes_max)
    return damaged("a series set");
  to.packed = r.rest();
  return to;
}

void encode_state(std::span<const state_pair> pairs, byte_buffer& out) {
  byte_writer w{out};
  w.varint(pairs.size());
  for (const auto& [key, value] : pairs) {
    w.text(key);
    w.text(value);
  }
}

result<void> decode_state(bytes_view head, const std::function<void(const state_pair&)>& each) {
  byte_reader r{head};
  for (auto n = r.varint(); n > 0 && !r.failed(); --n) {
    const auto key = r.text();
    const auto value = r.text();
    if (!r.failed())
      each({key, value});
  }
  if (r.failed())
    return damaged("state");
  return ok();
}

std::size_t for_each_record(bytes_view body, const std::function<void(const record_view&, std::size_t)>& each,
                            const each_bad& bad) {
  std::size_t bad_bytes = 0;
  std::size_t at = 0;
  std::size_t sound_to = 0;
  const auto close = [&] {
    if (bad && at != sound_to)
      bad(body.subspan(sound_to, at - sound_to), sound_to);
  };
  while (at < body.size()) {
    if (const auto record = decode_record(body.subspan(at))) {
      close();
      each(record.value(), at);
      at += record.value().bytes.size();
      sound_to = at;
      continue;
    }
    const auto next = find(body, at + 1, "Sk");
    bad_bytes += next - at;
    at = next;
  }
  close();
  return bad_bytes;
}

std::size_t for_each_entry(bytes_view chunk, const std::function<void(const entry_view&, std::size_t)>& each,
                           const each_bad& bad) {
  std::size_t bad_bytes = 0;
  std::size_t at = 0;
  std::size_t sound_to = 0;
  const auto close = [&] {
    if (bad && at != sound_to)
      bad(chunk.subspan(sound_to, at - sound_to), sound_to);
  };
  while (at < chunk.size()) {
    if (const auto entry = decode_entry(chunk.subspan(at))) {
      close();
      each(entry.value(), at);
      at += entry.value().bytes;
      sound_to = at;
      continue;
    }
    const auto next = find(chunk, at + 1, "SkLe");
    bad_bytes += next - at;
    at = next;
  }
  close();
  return bad_bytes;
}

} // namespace skerry::cloud
