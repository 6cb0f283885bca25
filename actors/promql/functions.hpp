#pragma once

// What PromQL's functions are called, take and give, and what computes them: one table (function_table.cpp).

#include "actors/promql/value.hpp"

#include <span>
#include <string_view>
#include <vector>

namespace skerry::promql {

struct call;
class evaluation;
class series_sink;
struct step_range;
struct window_input;

// Exactly one of these is set.
struct function_implementation {
  double (*math)(double) = nullptr; // of each value alone
  // Of a series' windows: one result per step, the stale marker where there is none.
  void (*windows)(const window_input& in, std::span<double> out) = nullptr;
  void (*vector)(evaluation&, const call&, const step_range&, const series_sink&) = nullptr;
  void (*scalar)(evaluation&, const call&, const step_range&, std::vector<double>& out) = nullptr;
};

inline constexpr int variadic_any = -1;

struct function {
  std::string_view name;
  std::span<const value_type> arguments;
  // 0: all arguments are needed. n > 0: the last one may be left out or stand up to n times. variadic_any: or
  // as often as one likes.
  int variadic = 0;
  value_type returns = value_type::vector;
  // The result depends on the time of evaluation even where all arguments are pinned with `@`.
  bool step_dependent = false;
  function_implementation run;
};

[[nodiscard]] const function* find_function(std::string_view name) noexcept; // null: none
[[nodiscard]] std::span<const function> all_functions() noexcept;            // sorted by name

} // namespace skerry::promql
