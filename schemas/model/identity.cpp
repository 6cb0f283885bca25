#include "schemas/model/identity.hpp"

#include "schemas/bytes.hpp"

#include <fmt/format.h>

#include <charconv>
#include <xxhash.h>

namespace skerry {

bool is_known(stream_id stream) noexcept {
  return stream == stream_id::alert || stream == stream_id::telemetry;
}

std::string_view to_string(stream_id stream) noexcept {
  switch (stream) {
  case stream_id::alert: return "alert";
  case stream_id::telemetry: return "telemetry";
  }
  return "unknown";
}

std::string to_string(edge_id edge) { return fmt::format("{:016x}", static_cast<std::uint64_t>(edge)); }

// By hand: the store's keys contain it, and are made for each part of a batch.
std::string to_string(const epoch_id& epoch) {
  constexpr std::string_view digits = "0123456789abcdef";
  auto out = std::to_string(epoch.boot_counter) + '-';
  for (const auto byte : epoch.random) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::string to_string(const stream_key& key) {
  return fmt::format("{}/{}/{}", to_string(key.edge), to_string(key.epoch), to_string(key.stream));
}

result<edge_id> parse_edge_id(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != 16 || code != std::errc{} || end != text.data() + text.size() || value == 0)
    return fail(errc::malformed, fmt::format("'{}' is no edge id: 16 hexadecimal digits are expected", text));
  return edge_id{value};
}

std::uint32_t epoch_tag(edge_id edge, const epoch_id& epoch) noexcept {
  std::array<std::byte, 32> key{};
  std::memcpy(key.data(), &edge, 8);
  std::memcpy(key.data() + 8, &epoch.boot_counter, 8);
  std::memcpy(key.data() + 16, epoch.random.data(), 16);
  return static_cast<std::uint32_t>(XXH3_64bits(key.data(), key.size()));
}

} // namespace skerry
