#include "actors/promql/ast.hpp"

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

namespace {

struct type_visitor {
  value_type operator()(const number_literal&) const noexcept { return value_type::scalar; }
  value_type operator()(const string_literal&) const noexcept { return value_type::string; }
  value_type operator()(const vector_selector&) const noexcept { return value_type::vector; }
  value_type operator()(const matrix_selector&) const noexcept { return value_type::matrix; }
  value_type operator()(const paren_expression& p) const noexcept { return type_of(*p.inner); }
};

} // namespace

value_type type_of(const expression& e) noexcept { return std::visit(type_visitor{}, e.node); }

} // namespace skerry::promql
