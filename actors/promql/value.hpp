#pragma once

// What a PromQL expression evaluates to. Times are milliseconds since 1970; plain data, no thread rules.

#include "schemas/model/series.hpp"

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace skerry::promql {

// The one NaN that says "this series ended here"; every other NaN is a value.
inline constexpr std::uint64_t stale_nan_bits = 0x7ff0000000000002;
[[nodiscard]] inline bool is_stale(double value) noexcept {
  return std::bit_cast<std::uint64_t>(value) == stale_nan_bits;
}
[[nodiscard]] inline double stale_marker() noexcept { return std::bit_cast<double>(stale_nan_bits); }

enum class value_type : std::uint8_t { scalar, string, vector, matrix };
[[nodiscard]] std::string_view to_string(value_type type) noexcept; // as JSON has it: "vector"
[[nodiscard]] std::string_view describe(value_type type) noexcept;  // as messages have it: "instant vector"

struct point {
  std::int64_t time_ms = 0;
  double value = 0;
};

struct scalar_value {
  point at;
};
struct string_value {
  std::int64_t time_ms = 0;
  std::string text;
};
struct vector_sample {
  labels metric;
  point at;
};
struct matrix_series {
  labels metric;
  std::vector<point> points; // ascending by time, never empty
};
// Both sorted by labels, each label set once.
using vector_value = std::vector<vector_sample>;
using matrix_value = std::vector<matrix_series>;

using value = std::variant<scalar_value, string_value, vector_value, matrix_value>;

[[nodiscard]] inline value_type type_of(const value& v) noexcept {
  return static_cast<value_type>(v.index());
}

} // namespace skerry::promql
