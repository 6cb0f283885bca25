#pragma once

// The tree that a query parses to. Every node knows where in the query it stands. Immutable after parsing, so
// threads may share it.

#include "actors/promql/lexer.hpp"
#include "actors/promql/series_source.hpp"
#include "actors/promql/value.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace skerry::promql {

struct expression;
struct function; // functions.hpp
using expression_ptr = std::unique_ptr<const expression>;

// What `@` pins a selector to, if anything.
enum class at_kind : std::uint8_t { none, time, query_start, query_end };

// `offset` and `@` of a selector or subquery. The two commute.
struct time_modifiers {
  std::int64_t offset_ms = 0;
  std::int64_t at_ms = 0; // of at_kind::time
  at_kind at = at_kind::none;
};

struct number_literal {
  double value = 0;
};
struct string_literal {
  std::string text;
};
struct vector_selector {
  std::string name;              // "" where only matchers were given
  std::vector<matcher> matchers; // the name's among them, last
  time_modifiers when;
};
struct matrix_selector {
  vector_selector selector;
  std::int64_t range_ms = 0; // > 0
};
struct subquery {
  expression_ptr inner; // an instant vector
  std::int64_t range_ms = 0;
  std::int64_t step_ms = 0; // 0: the default step
  time_modifiers when;
};
struct paren_expression {
  expression_ptr inner;
};
struct unary_expression {
  bool negative = false;
  expression_ptr inner;
};

enum class binary_op : std::uint8_t {
  add,
  subtract,
  multiply,
  divide,
  modulo,
  power,
  atan2,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  set_and,
  set_or,
  set_unless,
};
[[nodiscard]] std::string_view to_string(binary_op op) noexcept; // as it is written
[[nodiscard]] constexpr bool is_comparison(binary_op op) noexcept {
  return op >= binary_op::equal && op <= binary_op::greater_equal;
}
[[nodiscard]] constexpr bool is_set_operator(binary_op op) noexcept { return op >= binary_op::set_and; }
// atan2 keeps the name, as in Prometheus.
[[nodiscard]] constexpr bool drops_name(binary_op op) noexcept { return op <= binary_op::power; }

enum class match_cardinality : std::uint8_t { one_to_one, many_to_one, one_to_many, many_to_many };
[[nodiscard]] std::string_view to_string(match_cardinality card) noexcept; // "many-to-one"

// How the series of two instant vectors find each other.
struct vector_matching {
  match_cardinality card = match_cardinality::one_to_one;
  bool on = false;                 // else ignoring
  std::vector<std::string> labels; // of on or ignoring
  std::vector<std::string> include;
};
struct binary_expression {
  binary_op op = binary_op::add;
  bool return_bool = false;
  vector_matching matching; // means something between instant vectors only
  expression_ptr left;
  expression_ptr right;
};

enum class aggregate_op : std::uint8_t {
  sum,
  avg,
  count,
  min,
  max,
  group,
  stddev,
  stdvar,
  topk,
  bottomk,
  count_values,
  quantile,
};
[[nodiscard]] std::string_view to_string(aggregate_op op) noexcept;
[[nodiscard]] constexpr bool takes_parameter(aggregate_op op) noexcept { return op >= aggregate_op::topk; }

struct aggregation {
  aggregate_op op = aggregate_op::sum;
  bool without = false;
  std::vector<std::string> grouping; // as written
  expression_ptr parameter;          // null unless takes_parameter(op)
  expression_ptr inner;
};
struct call {
  const function* target = nullptr;
  std::vector<expression_ptr> arguments;
};

struct expression {
  using node_type = std::variant<number_literal, string_literal, vector_selector, matrix_selector, subquery,
                                 paren_expression, unary_expression, binary_expression, aggregation, call>;

  position_range at;
  node_type node;
  // The value is the same at every step of a range query, so it is evaluated once.
  bool step_invariant = false;
  std::uint32_t depth = 1; // of the tree below, itself included; at most tree_depth_max
};

// What it evaluates to in an instant query.
[[nodiscard]] value_type type_of(const expression& e) noexcept;

// Parentheses change nothing once the tree is built.
[[nodiscard]] const expression& unwrap(const expression& e) noexcept;

} // namespace skerry::promql
