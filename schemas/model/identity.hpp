#pragma once

// Who made a record and which one it is: (edge, epoch, stream, sequence). docs/delivery.md has the rules.

#include "schemas/error.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace skerry {

// Tenant 0 is the only one today; it stands in every stored key.
using tenant_id = std::uint32_t;
inline constexpr tenant_id tenant_default = 0;

// Assigned by the cloud when an edge joins: random, never 0, printed as 16 hexadecimal digits.
// It is not a key: an edge has one or more keys over time.
enum class edge_id : std::uint64_t { none = 0 };
// Who numbers what is pushed to the cloud itself: no edge ever has it.
inline constexpr edge_id edge_pushed{~std::uint64_t{0}};

// One opening of a spool for writing. `boot_counter` orders the openings that one disk has seen; the random part
// tells restored or cloned disks apart that count alike.
struct epoch_id {
  std::uint64_t boot_counter = 0;
  std::array<std::uint8_t, 16> random{};

  auto operator<=>(const epoch_id&) const = default;
};

enum class stream_id : std::uint8_t { alert = 1, telemetry = 2 };

// The first record of a stream has sequence 1; 0 stands for "none".
using sequence = std::uint64_t;

// One gap-free sequence of records.
struct stream_key {
  edge_id edge = edge_id::none;
  epoch_id epoch;
  stream_id stream = stream_id::telemetry;

  auto operator<=>(const stream_key&) const = default;
};

struct record_identity {
  stream_key key;
  sequence seq = 0;

  auto operator<=>(const record_identity&) const = default;
};

[[nodiscard]] bool is_known(stream_id stream) noexcept;
[[nodiscard]] std::string_view to_string(stream_id stream) noexcept;
[[nodiscard]] std::string to_string(edge_id edge);          // "00c0ffee00c0ffee"
[[nodiscard]] std::string to_string(const epoch_id& epoch); // "7-0123…" (counter, 32 hexadecimal digits)
[[nodiscard]] std::string to_string(const stream_key& key); // "edge/epoch/stream"
[[nodiscard]] result<edge_id> parse_edge_id(std::string_view text);

// 32 bits of XXH3 over edge and epoch: enough to notice that a record sits in the wrong run, too few to name one.
[[nodiscard]] std::uint32_t epoch_tag(edge_id edge, const epoch_id& epoch) noexcept;

} // namespace skerry
