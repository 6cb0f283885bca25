#include "actors/promql/ast.hpp"

#include "actors/promql/functions.hpp"

#include <array>

namespace skerry::promql {

std::string_view to_string(value_type type) noexcept {
  switch (type) {
  case value_type::scalar: return "scalar";
  case value_type::string: return "string";
  case value_type::vector: return "vector";
  case value_type::matrix: return "matrix";
  }
  return "none";
}

std::string_view describe(value_type type) noexcept {
  switch (type) {
  case value_type::vector: return "instant vector";
  case value_type::matrix: return "range vector";
  default: return to_string(type);
  }
}

std::string_view to_string(binary_op op) noexcept {
  constexpr std::array<std::string_view, 16> names{
      "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", "<=", ">", ">=", "and", "or", "unless"};
  return names[static_cast<std::size_t>(op)];
}

std::string_view to_string(match_cardinality card) noexcept {
  constexpr std::array<std::string_view, 4> names{"one-to-one", "many-to-one", "one-to-many", "many-to-many"};
  return names[static_cast<std::size_t>(card)];
}

std::string_view to_string(aggregate_op op) noexcept {
  constexpr std::array<std::string_view, 12> names{"sum",  "avg",     "count",        "min",
                                                   "max",  "group",   "stddev",       "stdvar",
                                                   "topk", "bottomk", "count_values", "quantile"};
  return names[static_cast<std::size_t>(op)];
}

namespace {

struct type_visitor {
  value_type operator()(const number_literal&) const noexcept { return value_type::scalar; }
  value_type operator()(const string_literal&) const noexcept { return value_type::string; }
  value_type operator()(const vector_selector&) const noexcept { return value_type::vector; }
  value_type operator()(const matrix_selector&) const noexcept { return value_type::matrix; }
  value_type operator()(const subquery&) const noexcept { return value_type::matrix; }
  value_type operator()(const paren_expression& p) const noexcept { return type_of(*p.inner); }
  value_type operator()(const unary_expression& u) const noexcept { return type_of(*u.inner); }
  value_type operator()(const binary_expression& b) const noexcept {
    return type_of(*b.left) == value_type::scalar && type_of(*b.right) == value_type::scalar
               ? value_type::scalar
               : value_type::vector;
  }
  value_type operator()(const aggregation&) const noexcept { return value_type::vector; }
  value_type operator()(const call& c) const noexcept { return c.target->returns; }
};

} // namespace

value_type type_of(const expression& e) noexcept { return std::visit(type_visitor{}, e.node); }

const expression& unwrap(const expression& e) noexcept {
  const auto* at = &e;
  while (const auto* p = std::get_if<paren_expression>(&at->node))
    at = p->inner.get();
  return *at;
}

} // namespace skerry::promql
