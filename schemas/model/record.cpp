#include "schemas/model/record.hpp"

#include "schemas/model/host.hpp"
#include "schemas/model/payload.hpp"

#include <fmt/format.h>

#include <cassert>
#include <xxhash.h>

namespace skerry {

namespace {

constexpr std::uint16_t record_magic = 0x6b53;  // "Sk"
constexpr std::uint32_t run_magic = 0x4e524b53; // "SKRN"

struct raw_record {
  std::uint16_t magic = record_magic;
  std::uint8_t version = record_version;
  std::uint8_t kind = 0;
  std::uint32_t bytes = 0; // header, host and payload
  std::uint64_t checksum = 0;
  std::uint64_t seq = 0;
  std::uint32_t tag = 0;
  std::uint8_t flags = 0; // flag_… bits
  std::uint8_t stream = 0;
  std::uint8_t host_bytes = 0;
  std::uint8_t reserved = 0;
  std::int64_t time_ns = 0;
};
static_assert(sizeof(raw_record) == record_header_bytes);

struct raw_run {
  std::uint32_t magic = run_magic;
  std::uint8_t version = run_version;
  std::uint8_t stream = 0;
  std::uint16_t flags = 0;
  std::uint32_t tenant = 0;
  std::uint32_t record_count = 0;
  std::uint64_t edge = 0;
  std::uint64_t boot_counter = 0;
  std::array<std::uint8_t, 16> random{};
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint32_t records_bytes = 0;
  std::uint32_t checksum = 0;
};
static_assert(sizeof(raw_run) == run_header_bytes);

// The checksum field itself is left out: the eight bytes before it are the seed, the rest is the input.
std::uint64_t record_checksum(const std::byte* at, std::size_t bytes) noexcept {
  std::uint64_t seed;
  std::memcpy(&seed, at, sizeof seed);
  return XXH3_64bits_withSeed(at + 16, bytes - 16, seed);
}

std::uint32_t run_checksum(const std::byte* at) noexcept {
  return static_cast<std::uint32_t>(XXH3_64bits(at, run_header_bytes - 4));
}

} // namespace

void encode_record(record_kind kind, const stream_key& key, sequence seq, std::int64_t time_ns,
                   std::string_view host, bytes_view payload, byte_buffer& out, std::uint8_t flags) {
  assert(host.size() <= host_name_bytes_max);
  assert(record_header_bytes + host.size() + payload.size() <= record_bytes_max);
  raw_record raw;
  raw.kind = static_cast<std::uint8_t>(kind);
  raw.bytes = static_cast<std::uint32_t>(record_header_bytes + host.size() + payload.size());
  raw.seq = seq;
  raw.tag = epoch_tag(key.edge, key.epoch);
  raw.flags = flags;
  raw.stream = static_cast<std::uint8_t>(key.stream);
  raw.host_bytes = static_cast<std::uint8_t>(host.size());
  raw.time_ns = time_ns;
  const auto at = out.size();
  out.reserve(at + raw.bytes);
  byte_writer w{out};
  w.fixed(raw);
  w.bytes(as_bytes(host));
  w.bytes(payload);
  raw.checksum = record_checksum(out.data() + at, raw.bytes);
  std::memcpy(out.data() + at + offsetof(raw_record, checksum), &raw.checksum, sizeof raw.checksum);
}

result<record_view> decode_record(bytes_view in) {
  raw_record raw;
  if (in.size() < record_header_bytes)
    return fail(errc::malformed, "a record is cut off in its header");
  std::memcpy(&raw, in.data(), sizeof raw);
  if (raw.magic != record_magic)
    return fail(errc::malformed, "no record starts here: the magic number does not match");
  if (raw.version > record_version)
    return fail(errc::unsupported_version, fmt::format("record format {} is newer than this build knows ({})",
                                                       raw.version, record_version));
  if (raw.bytes < record_header_bytes + raw.host_bytes || raw.bytes > record_bytes_max
      || raw.bytes > in.size())
    return fail(errc::malformed,
                fmt::format("a record of {} bytes does not fit into {}", raw.bytes, in.size()));
  if (record_checksum(in.data(), raw.bytes) != raw.checksum)
    return fail(errc::corrupt, fmt::format("the checksum of record {} does not match", raw.seq));
  record_view view;
  view.kind = static_cast<record_kind>(raw.kind);
  view.flags = raw.flags;
  view.seq = raw.seq;
  view.tag = raw.tag;
  view.time_ns = raw.time_ns;
  view.bytes = in.first(raw.bytes);
  view.host = as_text(view.bytes.subspan(record_header_bytes, raw.host_bytes));
  view.payload = view.bytes.subspan(record_header_bytes + raw.host_bytes);
  return view;
}

run_builder::run_builder(const stream_key& key, sequence first, tenant_id tenant) {
  header_.tenant = tenant;
  header_.key = key;
  header_.first = first;
  buffer_.resize(run_header_bytes);
}

sequence run_builder::append(record_kind kind, std::int64_t time_ns, std::string_view host,
                             bytes_view payload, std::uint64_t sequences, std::uint8_t flags) {
  const auto seq = header_.first + header_.sequence_count;
  encode_record(kind, header_.key, seq, time_ns, host, payload, buffer_, flags);
  header_.sequence_count += sequences;
  ++header_.record_count;
  return seq;
}

void run_builder::append(const record_view& record, std::uint64_t sequences) {
  assert(record.seq == header_.first + header_.sequence_count);
  buffer_.insert(buffer_.end(), record.bytes.begin(), record.bytes.end());
  header_.sequence_count += sequences;
  ++header_.record_count;
}

run run_builder::finish() && {
  assert(!empty());
  header_.records_bytes = static_cast<std::uint32_t>(buffer_.size() - run_header_bytes);
  raw_run raw;
  raw.stream = static_cast<std::uint8_t>(header_.key.stream);
  raw.tenant = header_.tenant;
  raw.record_count = header_.record_count;
  raw.edge = static_cast<std::uint64_t>(header_.key.edge);
  raw.boot_counter = header_.key.epoch.boot_counter;
  raw.random = header_.key.epoch.random;
  raw.first = header_.first;
  raw.last = header_.last();
  raw.records_bytes = header_.records_bytes;
  std::memcpy(buffer_.data(), &raw, sizeof raw);
  raw.checksum = run_checksum(buffer_.data());
  std::memcpy(buffer_.data() + offsetof(raw_run, checksum), &raw.checksum, sizeof raw.checksum);
  return {header_, shared_bytes::take(std::move(buffer_))};
}

result<run_header> decode_run_header(bytes_view in) {
  raw_run raw;
  if (in.size() < run_header_bytes)
    return fail(errc::malformed, "a run is cut off in its header");
  std::memcpy(&raw, in.data(), sizeof raw);
  if (raw.magic != run_magic)
    return fail(errc::malformed, "no run starts here: the magic number does not match");
  if (raw.version > run_version)
    return fail(errc::unsupported_version,
                fmt::format("run format {} is newer than this build knows ({})", raw.version, run_version));
  if (raw.checksum != run_checksum(in.data()))
    return fail(errc::corrupt, "the checksum of a run's header does not match");
  const auto covered = raw.last - raw.first;
  if (raw.first == 0 || raw.last < raw.first || raw.record_count == 0 || raw.record_count > run_records_max
      || covered < raw.record_count - 1 || raw.last == UINT64_MAX || !is_known(stream_id{raw.stream})
      || raw.records_bytes / record_header_bytes < raw.record_count)
    return fail(errc::malformed, "a run's header contradicts itself");
  run_header header;
  header.tenant = raw.tenant;
  header.key = {edge_id{raw.edge}, {raw.boot_counter, raw.random}, stream_id{raw.stream}};
  header.first = raw.first;
  header.sequence_count = covered + 1;
  header.record_count = raw.record_count;
  header.records_bytes = raw.records_bytes;
  return header;
}

result<run> decode_run(shared_bytes in) {
  BOOST_OUTCOME_TRY(header, decode_run_header(in.view));
  if (in.view.size() != run_header_bytes + std::size_t{header.records_bytes})
    return fail(errc::malformed, fmt::format("a run of {} bytes says that it has {}", in.view.size(),
                                             run_header_bytes + std::size_t{header.records_bytes}));
  return run{header, std::move(in)};
}

result<std::uint64_t> sequences_of(const record_view& record) {
  if (record.kind != record_kind::tombstone)
    return std::uint64_t{1};
  BOOST_OUTCOME_TRY(stone, decode_tombstone(record.payload));
  if (stone.last < record.seq || stone.last == UINT64_MAX)
    return fail(errc::malformed, fmt::format("tombstone {} ends at {}", record.seq, stone.last));
  return stone.last - record.seq + 1;
}

result<std::vector<record_view>> decode_records(const run& from) {
  std::vector<record_view> out;
  out.reserve(from.header.record_count);
  const auto tag = epoch_tag(from.header.key.edge, from.header.key.epoch);
  auto next = from.header.first;
  auto rest = from.records();
  while (!rest.empty()) {
    BOOST_OUTCOME_TRY(record, decode_record(rest));
    if (record.seq != next || record.tag != tag)
      return fail(errc::malformed, fmt::format("record {} stands where {} of {} belongs", record.seq, next,
                                               to_string(from.header.key)));
    BOOST_OUTCOME_TRY(sequences, sequences_of(record));
    if (sequences > from.header.last() - next + 1)
      return fail(errc::malformed, fmt::format("record {} reaches past the end of its run", record.seq));
    next += sequences;
    rest = rest.subspan(record.bytes.size());
    out.push_back(record);
  }
  if (next != from.header.last() + 1 || out.size() != from.header.record_count)
    return fail(errc::malformed, "a run holds fewer records than its header says");
  return out;
}

} // namespace skerry
