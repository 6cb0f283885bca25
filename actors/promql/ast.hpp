#pragma once

// The tree that a query parses to. Every node knows where in the query it stands. Immutable after parsing, so
// threads may share it.

#include "actors/promql/lexer.hpp"
#include "actors/promql/series_source.hpp"
#include "actors/promql/value.hpp"

#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace skerry::promql {

struct expression;
using expression_ptr = std::unique_ptr<const expression>;

struct number_literal {
  double value = 0;
};
struct string_literal {
  std::string text;
};
struct vector_selector {
  std::string name;              // "" where only matchers were given
  std::vector<matcher> matchers; // the name's among them
  std::int64_t offset_ms = 0;
};
struct matrix_selector {
  vector_selector selector;
  std::int64_t range_ms = 0; // > 0
};
struct paren_expression {
  expression_ptr inner;
};

struct expression {
  position_range at;
  std::variant<number_literal, string_literal, vector_selector, matrix_selector, paren_expression> node;
};

// What it evaluates to in an instant query.
[[nodiscard]] value_type type_of(const expression& e) noexcept;

} // namespace skerry::promql
