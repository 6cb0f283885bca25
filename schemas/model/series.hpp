#pragma once

// Labels, metric families and content-addressed series sets.
//
// A series set is up to 256 series of one source, in the source's order, cut at metric families. It is named by
// BLAKE2b-128 (RFC 7693, keyless, 16 bytes) of its encoded bytes and scoped to the edge that made it; a receiver
// hashes the bytes that it received and refuses those that do not match. docs/formats.md has the layout.

#include "schemas/bytes.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skerry {

inline constexpr std::string_view label_name = "__name__";
inline constexpr std::size_t set_series_max = 256;
inline constexpr std::size_t set_bytes_max = 4 << 20; // encoded, uncompressed
inline constexpr std::size_t set_expanded_bytes_max = 64
                                                      << 20; // names, values and help of all members, decoded
inline constexpr std::size_t label_value_bytes_max = 64 << 10;
inline constexpr std::size_t labels_max = 1 << 16; // of one series

struct label {
  std::string name;
  std::string value;

  auto operator<=>(const label&) const = default;
};

// Sorted by name, without duplicates and without empty values; `__name__` is among them.
using labels = std::vector<label>;

void sort_labels(labels& all); // sorts, and drops labels with an empty value; the last of equal names wins
[[nodiscard]] std::string_view value_of(const labels& all, std::string_view name) noexcept; // "" when absent
[[nodiscard]] std::string to_string(const labels& all);          // node_load1{host="a",job="b"}
[[nodiscard]] std::uint64_t hash_of(const labels& all) noexcept; // XXH3; for tables in memory, never stored

enum class metric_type : std::uint8_t {
  unknown = 0, // Prometheus' "untyped"
  counter,
  gauge,
  histogram,
  gauge_histogram,
  summary,
  info,
  stateset,
};
[[nodiscard]] std::string_view to_string(metric_type type) noexcept; // as /api/v1/metadata prints it

struct metric_family {
  std::string name; // as HELP and TYPE name it
  metric_type type = metric_type::unknown;
  std::string help;
  std::string unit;

  bool operator==(const metric_family&) const = default;
};

struct set_hash {
  std::array<std::uint8_t, 16> bytes{};

  auto operator<=>(const set_hash&) const = default;
};
[[nodiscard]] std::string to_string(const set_hash& hash); // 32 hexadecimal digits
[[nodiscard]] set_hash hash_set(bytes_view encoded) noexcept;

struct series {
  std::uint32_t family = 0; // index into series_set::families
  labels all;               // all that the data has; who sent it and for which host is said by key and frame
};

// Immutable once made; shared between threads by pointer.
struct series_set {
  set_hash hash;
  shared_bytes encoded; // what `hash` names
  std::vector<metric_family> families;
  std::vector<series> members; // 1 to 256
};
using series_set_ptr = std::shared_ptr<const series_set>;

// Encodes, hashes and keeps. Precondition: 1 to 256 members, each with a family that exists, labels sorted.
[[nodiscard]] series_set_ptr make_series_set(std::vector<metric_family> families,
                                             std::vector<series> members);
// Decodes bytes that someone else made. malformed: not a set, or over a bound above.
// The hash is computed from `encoded`: compare it with the one that was promised.
[[nodiscard]] result<series_set_ptr> decode_series_set(shared_bytes encoded);

} // namespace skerry

template <>
struct std::hash<skerry::set_hash> {
  std::size_t operator()(const skerry::set_hash& h) const noexcept {
    std::size_t v;
    std::memcpy(&v, h.bytes.data(), sizeof v);
    return v;
  }
};
