// Encoding and decoding of what stands in a segment. README.md has the layout.

#include "edge/spool/segment.hpp"
#include "schemas/model/frame.hpp"

#include <fmt/format.h>

#include <memory>
#include <xxhash.h>
#include <zstd.h>

namespace skerry::edge {

namespace {

constexpr std::uint32_t head_magic = 0x44484b53;     // "SKHD"
constexpr std::uint32_t stream_magic = 0x58494b53;   // "SKIX"
constexpr std::uint32_t released_magic = 0x4c524b53; // "SKRL"
constexpr std::uint32_t set_magic = 0x54534b53;      // "SKST"
constexpr std::size_t entry_header_bytes = 16;       // magic, bytes of the body, checksum of the body
constexpr std::size_t entry_bytes_max = 4 << 20;
constexpr int set_compression_level = 3;

template <class T>
void put_big_endian(T value, byte_writer& out) {
  for (int shift = (static_cast<int>(sizeof value) - 1) * 8; shift >= 0; shift -= 8)
    out.fixed(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> shift));
}

std::uint64_t take_big_endian(byte_reader& in) {
  std::uint64_t out = 0;
  for (int i = 0; i < 8; ++i)
    out = out << 8 | in.fixed<std::uint8_t>();
  return out;
}

byte_buffer seal_entry(std::uint32_t magic, const byte_buffer& body) {
  byte_buffer out;
  byte_writer w{out};
  w.fixed(magic);
  w.fixed(static_cast<std::uint32_t>(body.size()));
  w.fixed(static_cast<std::uint64_t>(XXH3_64bits_withSeed(body.data(), body.size(), magic)));
  w.bytes(body);
  return out;
}

void put_ranges(const range_set& ranges, byte_writer& w) {
  byte_buffer encoded;
  encode_ranges(ranges, encoded);
  w.varint(encoded.size());
  w.bytes(encoded);
}

} // namespace

void put_stream_key(const stream_key& key, byte_writer& out) {
  put_big_endian(tenant_default, out); // an edge belongs to one tenant; the only one today
  put_big_endian(static_cast<std::uint64_t>(key.edge), out);
  put_big_endian(key.epoch.boot_counter, out);
  for (const auto byte : key.epoch.random)
    out.fixed(byte);
  out.fixed(static_cast<std::uint8_t>(key.stream));
}

result<stream_key> take_stream_key(byte_reader& in) {
  stream_key key;
  if (in.fixed<tenant_id>() != tenant_default) // zero in either byte order
    return fail(errc::corrupt, "a stream's key names a tenant that this build does not know");
  key.edge = edge_id{take_big_endian(in)};
  key.epoch.boot_counter = take_big_endian(in);
  for (auto& byte : key.epoch.random)
    byte = in.fixed<std::uint8_t>();
  key.stream = stream_id{in.fixed<std::uint8_t>()};
  if (in.failed() || !is_known(key.stream))
    return fail(errc::corrupt, "a stream's key does not decode");
  return key;
}

byte_buffer encode_run_key(const stream_key& key, sequence first) {
  byte_buffer out;
  byte_writer w{out};
  put_stream_key(key, w);
  put_big_endian(first, w);
  return out;
}

byte_buffer encode_set_key(const set_name& name) {
  byte_buffer out;
  byte_writer w{out};
  put_big_endian(tenant_default, w);
  put_big_endian(static_cast<std::uint64_t>(name.edge), w);
  for (const auto byte : name.hash.bytes)
    w.fixed(byte);
  return out;
}

byte_buffer encode_stream_key(char kind, const stream_key& key) {
  byte_buffer out;
  byte_writer w{out};
  w.fixed(kind);
  put_stream_key(key, w);
  return out;
}

byte_buffer encode_head(const segment_head& head) {
  byte_buffer body;
  byte_writer w{body};
  w.varint(head.number);
  w.varint(head.transaction);
  w.varint(head.streams);
  w.varint(head.runs);
  w.varint(head.sets);
  w.varint(head.writer.boot_counter);
  for (const auto byte : head.writer.random)
    w.fixed(byte);
  return seal_entry(head_magic, body);
}

byte_buffer encode_index_entry(const stream_key& key, const segment_stream& stream) {
  byte_buffer body;
  byte_writer w{body};
  put_stream_key(key, w);
  w.varint(stream.records);
  w.varint(stream.bytes);
  w.signed_varint(stream.from_ns);
  w.signed_varint(stream.to_ns);
  w.signed_varint(stream.last_commit_ns);
  w.fixed(stream.last_digest);
  put_ranges(stream.stored, w);
  return seal_entry(stream_magic, body);
}

byte_buffer encode_index_entry(const stream_key& key, const released_entry& released) {
  byte_buffer body;
  byte_writer w{body};
  put_stream_key(key, w);
  w.varint(released.last);
  put_ranges(released.released, w);
  return seal_entry(released_magic, body);
}

namespace {

// Checks magic and checksum; returns the body.
result<bytes_view> open_entry(bytes_view in, std::uint32_t magic) {
  byte_reader r{in};
  const auto found = r.fixed<std::uint32_t>();
  const auto bytes = r.fixed<std::uint32_t>();
  const auto checksum = r.fixed<std::uint64_t>();
  if (r.failed() || found != magic || bytes > entry_bytes_max || bytes > r.remaining())
    return fail(errc::corrupt, "an entry does not decode");
  const auto body = r.bytes(bytes);
  if (XXH3_64bits_withSeed(body.data(), body.size(), magic) != checksum)
    return fail(errc::corrupt, "an entry's checksum does not match");
  return body;
}

result<segment_head> decode_head(bytes_view in) {
  BOOST_OUTCOME_TRY(body, open_entry(in, head_magic));
  byte_reader r{body};
  segment_head head;
  head.number = r.varint();
  head.transaction = r.varint();
  head.streams = r.varint();
  head.runs = r.varint();
  head.sets = r.varint();
  head.writer.boot_counter = r.varint();
  for (auto& byte : head.writer.random)
    byte = r.fixed<std::uint8_t>();
  if (r.failed())
    return fail(errc::corrupt, "the head entry does not decode");
  return head;
}

} // namespace

result<index_entry> decode_index_entry(bytes_view in, std::size_t& bytes) {
  byte_reader magic_reader{in};
  const auto magic = magic_reader.fixed<std::uint32_t>();
  if (magic != stream_magic && magic != released_magic)
    return fail(errc::corrupt, "no index entry starts here");
  BOOST_OUTCOME_TRY(body, open_entry(in, magic));
  bytes = entry_header_bytes + body.size();
  byte_reader r{body};
  index_entry out;
  BOOST_OUTCOME_TRY(key, take_stream_key(r));
  out.key = key;
  if (magic == stream_magic) {
    segment_stream stream;
    stream.records = r.varint();
    stream.bytes = r.varint();
    stream.from_ns = r.signed_varint();
    stream.to_ns = r.signed_varint();
    stream.last_commit_ns = r.signed_varint();
    stream.last_digest = r.fixed<std::uint64_t>();
    BOOST_OUTCOME_TRY(stored, decode_ranges(r.bytes(r.varint())));
    stream.stored = std::move(stored);
    out.stream = std::move(stream);
  } else {
    released_entry released;
    released.last = r.varint();
    BOOST_OUTCOME_TRY(ranges, decode_ranges(r.bytes(r.varint())));
    released.released = std::move(ranges);
    out.released = std::move(released);
  }
  if (r.failed() || r.remaining() != 0)
    return fail(errc::corrupt, "an index entry does not decode");
  return out;
}

byte_buffer encode_set_value(const set_name& name, bytes_view encoded) {
  byte_buffer compressed(ZSTD_compressBound(encoded.size()));
  const auto n = ZSTD_compress(compressed.data(), compressed.size(), encoded.data(), encoded.size(),
                               set_compression_level);
  compressed.resize(ZSTD_isError(n) != 0 ? 0 : n); // cannot fail with a buffer of that bound
  byte_buffer out;
  out.reserve(set_header_bytes + compressed.size());
  byte_writer w{out};
  w.fixed(set_magic);
  w.fixed(static_cast<std::uint32_t>(compressed.size()));
  w.fixed(static_cast<std::uint64_t>(name.edge));
  for (const auto byte : name.hash.bytes)
    w.fixed(byte);
  w.fixed(static_cast<std::uint32_t>(encoded.size()));
  w.fixed(std::uint32_t{0}); // reserved: codec
  const auto seed = XXH3_64bits(out.data(), out.size());
  w.fixed(static_cast<std::uint64_t>(XXH3_64bits_withSeed(compressed.data(), compressed.size(), seed)));
  w.bytes(compressed);
  return out;
}

result<set_value> decode_set_value(bytes_view in) {
  byte_reader r{in};
  set_value out;
  const auto magic = r.fixed<std::uint32_t>();
  const auto bytes = r.fixed<std::uint32_t>();
  out.name.edge = edge_id{r.fixed<std::uint64_t>()};
  for (auto& byte : out.name.hash.bytes)
    byte = r.fixed<std::uint8_t>();
  out.encoded_bytes = r.fixed<std::uint32_t>();
  const auto codec = r.fixed<std::uint32_t>();
  const auto checksum = r.fixed<std::uint64_t>();
  out.compressed = r.bytes(bytes);
  if (r.failed() || magic != set_magic || codec != 0 || out.encoded_bytes > set_bytes_max)
    return fail(errc::corrupt, "a stored series set does not decode");
  const auto seed = XXH3_64bits(in.data(), set_header_bytes - 8);
  if (XXH3_64bits_withSeed(out.compressed.data(), out.compressed.size(), seed) != checksum)
    return fail(errc::corrupt, "the checksum of a stored series set does not match");
  out.bytes = set_header_bytes + bytes;
  return out;
}

result<shared_bytes> expand_set(const set_value& value) {
  byte_buffer encoded(value.encoded_bytes);
  const auto n =
      ZSTD_decompress(encoded.data(), encoded.size(), value.compressed.data(), value.compressed.size());
  if (ZSTD_isError(n) != 0 || n != encoded.size() || hash_set(encoded) != value.name.hash)
    return fail(errc::corrupt, fmt::format("series set {} does not expand to what its hash names",
                                           to_string(value.name.hash)));
  return shared_bytes::take(std::move(encoded));
}

void for_each_set(record_kind kind, bytes_view payload, const std::function<void(const set_hash&)>& visit) {
  if (!policy_of(kind).names_sets)
    return;
  thread_local frame scratch;
  if (!decode_frame_sections(payload, scratch))
    return;
  for (const auto& section : scratch.sections)
    visit(section.set);
}

std::uint64_t checksum_of(bytes_view record) noexcept {
  std::uint64_t out = 0;
  if (record.size() >= record_header_bytes)
    std::memcpy(&out, record.data() + 8, sizeof out); // docs/formats.md#record
  return out;
}

// ---- segment_reader::load_index needs the head's decoder; the rest of the class is in segment_reader.cpp
// ----

result<segment_index> segment_reader::load_index() const {
  BOOST_OUTCOME_TRY(in, newest());
  segment_index out;
  lmdb_cursor main{file_, in, in.main};
  BOOST_OUTCOME_TRY(has_head, main.seek_exactly(as_bytes(head_key)));
  if (!has_head)
    return fail(errc::corrupt, "the head entry is missing");
  BOOST_OUTCOME_TRY(head_bytes, main.value());
  BOOST_OUTCOME_TRY(head, decode_head(head_bytes));
  out.head = head;
  if (head.transaction != in.transaction)
    return fail(errc::corrupt, fmt::format("the head entry is of transaction {}, the meta page of {}",
                                           head.transaction, in.transaction));
  BOOST_OUTCOME_TRY(tree, find_tree(file_, in, index_database));
  lmdb_cursor cursor{file_, in, tree};
  std::uint64_t seen = 0;
  BOOST_OUTCOME_TRY(more, cursor.first());
  while (more && seen < tree.entries) {
    BOOST_OUTCOME_TRY(bytes, cursor.value());
    std::size_t used = 0;
    BOOST_OUTCOME_TRY(entry, decode_index_entry(bytes, used));
    const auto expected = encode_stream_key(entry.stream ? 'S' : 'R', entry.key);
    if (used != bytes.size()
        || !std::equal(expected.begin(), expected.end(), cursor.key().begin(), cursor.key().end()))
      return fail(errc::corrupt, "an index entry stands under another key");
    if (entry.stream)
      out.streams[entry.key] = std::move(*entry.stream);
    else
      out.released[entry.key] = std::move(*entry.released);
    ++seen;
    BOOST_OUTCOME_TRY(again, cursor.next());
    more = again;
  }
  if (more || seen != tree.entries || out.streams.size() != head.streams
      || out.streams.size() + out.released.size() != seen)
    return fail(errc::corrupt, "the index has another number of entries than it says");
  return out;
}

} // namespace skerry::edge
