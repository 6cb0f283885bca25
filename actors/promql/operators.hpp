#pragma once

// Picks an operator once per column instead of once per value.

#include "actors/promql/ast.hpp"

#include <cmath>
#include <functional>
#include <numbers>

namespace skerry::promql {

// As Go's math.Atan2, by the quotient: where that is too small for a number, the sign of y is lost, which C's keeps.
inline double atan2_by_quotient(double y, double x) noexcept {
  if (y == 0 || x == 0 || !std::isfinite(y) || !std::isfinite(x))
    return std::atan2(y, x);
  const auto q = std::atan(y / x);
  if (x > 0)
    return q;
  return q <= 0 ? q + std::numbers::pi : q - std::numbers::pi;
}

// f(op) with a function object of two doubles: numbers for arithmetic, bools for comparisons.
template <class F>
decltype(auto) with_operator(binary_op op, F f) {
  switch (op) {
  case binary_op::add: return f(std::plus<double>{});
  case binary_op::subtract: return f(std::minus<double>{});
  case binary_op::multiply: return f(std::multiplies<double>{});
  case binary_op::divide: return f(std::divides<double>{});
  case binary_op::modulo: return f([](double a, double b) { return std::fmod(a, b); });
  case binary_op::power: return f([](double a, double b) { return std::pow(a, b); });
  case binary_op::atan2: return f(atan2_by_quotient);
  case binary_op::equal: return f(std::equal_to<double>{});
  case binary_op::not_equal: return f(std::not_equal_to<double>{});
  case binary_op::less: return f(std::less<double>{});
  case binary_op::less_equal: return f(std::less_equal<double>{});
  case binary_op::greater: return f(std::greater<double>{});
  default: return f(std::greater_equal<double>{}); // set operators do not stand between numbers
  }
}

// What `left op right` gives in an instant vector; `kept` is what a comparison lets pass.
template <class Op>
double value_or_absent(Op op, double left, double right, double kept, bool return_bool, double absent) {
  const auto made = op(left, right);
  if constexpr (std::is_same_v<decltype(made), const bool>)
    return return_bool ? (made ? 1.0 : 0.0) : made ? kept : absent;
  else
    return made;
}

} // namespace skerry::promql
