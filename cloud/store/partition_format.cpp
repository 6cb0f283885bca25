#include "cloud/store/partition_format.hpp"

#include <algorithm>

namespace skerry::cloud {

namespace {

constexpr std::size_t name_bytes_max = 160; // in a key, of at most 511 bytes
constexpr std::size_t value_bytes_max = 300;

// A cut string ends in a byte that UTF-8 never has and the hash of the whole.
std::string cut(std::string_view text, std::size_t bytes_max) {
  const auto hash = hash_set(as_bytes(text));
  std::string out{text.substr(0, bytes_max - 20)};
  std::replace(out.begin(), out.end(), '\0', '\xff');
  out += '\xff';
  for (const auto b : hash.bytes) // no zero byte may stand in a name
    out += static_cast<char>(b | 1);
  return out;
}

std::string key_name(std::string_view name, bool& exact) {
  if (name.size() <= name_bytes_max && name.find('\0') == std::string_view::npos
      && name.find('\xff') == std::string_view::npos)
    return std::string{name};
  exact = false;
  return cut(name, name_bytes_max);
}

} // namespace

posting_key make_posting_key(std::string_view name, std::string_view value) {
  posting_key k;
  k.key = key_name(name, k.exact);
  k.key += '\0';
  if (value.size() <= value_bytes_max) {
    k.key += value;
  } else {
    k.exact = false;
    k.key += cut(value, value_bytes_max);
  }
  return k;
}

std::string posting_prefix(std::string_view name) {
  bool exact = true;
  return key_name(name, exact) + '\0';
}

result<posting_content> read_posting(bytes_view content) {
  byte_reader r{content};
  posting_content to;
  to.exact = r.fixed<std::uint8_t>() != 0;
  if (!to.exact) {
    to.name = r.text();
    to.value = r.text();
  }
  if (r.failed())
    return fail(errc::corrupt, "a posting does not decode");
  to.bitmap = r.rest();
  return to;
}

result<Roaring> read_bitmap(bytes_view bytes) {
  const auto* data = reinterpret_cast<const char*>(bytes.data());
  // The size is looked at first: the reader that checks bounds throws on damage.
  if (roaring_bitmap_portable_deserialize_size(data, bytes.size()) != bytes.size())
    return fail(errc::corrupt, "a bitmap does not decode");
  try {
    return Roaring::readSafe(data, bytes.size());
  } catch (const std::exception& e) {
    return fail(errc::corrupt, std::string{"a bitmap does not decode: "} + e.what());
  }
}

key_builder source_lookup_key(const partition_source& s, std::uint64_t probe) {
  key_builder key;
  key.number(static_cast<std::uint64_t>(s.edge));
  key.bytes(std::as_bytes(std::span{s.set.bytes}));
  key.number(static_cast<std::uint64_t>(make_host_id(s.tenant, s.site, s.host)) + probe);
  return key;
}

} // namespace skerry::cloud
