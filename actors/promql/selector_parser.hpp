#pragma once

// Selectors and what may follow them: matchers, ranges, subqueries, offset, @.

#include "actors/promql/parser_cursor.hpp"

namespace skerry::promql {

class selector_parser : public parser_cursor {
public:
  using parser_cursor::parser_cursor;

  result<tree> selector_here();
  // From the bracket on: a range or a subquery of what stands before it.
  result<void> range(tree& of);
  result<void> offset(expression& of);
  result<void> at_modifier(expression& of);

private:
  result<void> matchers(vector_selector& into);
  result<void> subquery_range(tree& of, std::int64_t range_ms);
  result<std::int64_t> positive_duration();
};

} // namespace skerry::promql
