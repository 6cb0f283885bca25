#include "actors/promql/type_check.hpp"

#include "actors/promql/functions.hpp"
#include "actors/promql/parse_error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::promql {

namespace {

class checker {
public:
  explicit checker(std::string_view query) : query_(query) {}

  [[nodiscard]] result<void> check(const expression& e) const {
    return std::visit([&](const auto& node) { return check_node(e, node); }, e.node);
  }

private:
  [[nodiscard]] auto complain(std::size_t at, std::string_view what) const {
    return parse_failure(query_, at, what);
  }

  [[nodiscard]] result<void> expect(const expression& e, value_type wanted, std::string_view context) const {
    BOOST_OUTCOME_TRYV(check(e));
    if (const auto got = type_of(e); got != wanted)
      return complain(e.at.begin, fmt::format("expected type {} in {}, got {}", describe(wanted), context,
                                              describe(got)));
    return ok();
  }

  result<void> check_node(const expression&, const number_literal&) const { return ok(); }
  result<void> check_node(const expression&, const string_literal&) const { return ok(); }
  result<void> check_node(const expression& e, const vector_selector& v) const {
    return check_selector(v, e.at.begin, query_);
  }
  result<void> check_node(const expression& e, const matrix_selector& m) const {
    return check_selector(m.selector, e.at.begin, query_);
  }
  result<void> check_node(const expression&, const paren_expression& p) const { return check(*p.inner); }

  result<void> check_node(const expression& e, const subquery& s) const {
    BOOST_OUTCOME_TRYV(check(*s.inner));
    if (const auto type = type_of(*s.inner); type != value_type::vector)
      return complain(e.at.begin, fmt::format("subquery is only allowed on instant vector, got {} instead",
                                              to_string(type)));
    return ok();
  }

  result<void> check_node(const expression& e, const unary_expression& u) const {
    BOOST_OUTCOME_TRYV(check(*u.inner));
    if (const auto type = type_of(*u.inner); type != value_type::scalar && type != value_type::vector)
      return complain(e.at.begin,
                      fmt::format("unary expression only allowed on expressions of type scalar or "
                                  "instant vector, got \"{}\"",
                                  describe(type)));
    return ok();
  }

  result<void> check_node(const expression&, const aggregation& a) const {
    BOOST_OUTCOME_TRYV(expect(*a.inner, value_type::vector, "aggregation expression"));
    if (!a.parameter)
      return ok();
    return expect(*a.parameter, a.op == aggregate_op::count_values ? value_type::string : value_type::scalar,
                  "aggregation parameter");
  }

  result<void> check_node(const expression& e, const call& c) const {
    const auto& f = *c.target;
    const auto most = f.arguments.size();
    const auto got = c.arguments.size();
    if (f.variadic == 0) {
      if (got != most)
        return complain(e.at.begin, fmt::format("expected {} argument(s) in call to {}, got {}", most,
                                                quote(f.name), got));
    } else {
      const auto least = most - 1;
      if (got < least)
        return complain(e.at.begin, fmt::format("expected at least {} argument(s) in call to {}, got {}",
                                                least, quote(f.name), got));
      if (f.variadic > 0 && got > least + static_cast<std::size_t>(f.variadic))
        return complain(e.at.begin,
                        fmt::format("expected at most {} argument(s) in call to {}, got {}",
                                    least + static_cast<std::size_t>(f.variadic), quote(f.name), got));
    }
    for (std::size_t i = 0; i < got; ++i) {
      BOOST_OUTCOME_TRYV(expect(*c.arguments[i], f.arguments[std::min(i, most - 1)],
                                fmt::format("call to function {}", quote(f.name))));
    }
    return ok();
  }

  // Where the operator stands: what is between the operands.
  [[nodiscard]] std::size_t operator_at(const binary_expression& b) const {
    auto at = b.left->at.end;
    while (at < query_.size() && std::string_view{" \t\n\r"}.find(query_[at]) != std::string_view::npos)
      ++at;
    return at;
  }

  result<void> check_node(const expression& e, const binary_expression& b) const {
    BOOST_OUTCOME_TRYV(check(*b.left));
    BOOST_OUTCOME_TRYV(check(*b.right));
    const auto left = type_of(*b.left);
    const auto right = type_of(*b.right);
    if (b.return_bool && !is_comparison(b.op))
      return complain(operator_at(b), "bool modifier can only be used on comparison operators");
    if (is_comparison(b.op) && !b.return_bool && left == value_type::scalar && right == value_type::scalar)
      return complain(operator_at(b), "comparisons between scalars must use BOOL modifier");
    if (b.matching.on)
      for (const auto& label : b.matching.labels)
        if (std::find(b.matching.include.begin(), b.matching.include.end(), label)
            != b.matching.include.end())
          return complain(
              operator_at(b),
              fmt::format("label {} must not occur in ON and GROUP clause at once", quote(label)));
    for (const auto* side : {b.left.get(), b.right.get()})
      if (const auto type = type_of(*side); type != value_type::scalar && type != value_type::vector)
        return complain(side->at.begin,
                        "binary expression must contain only scalar and instant vector types");
    const bool between_vectors = left == value_type::vector && right == value_type::vector;
    if (!between_vectors && !b.matching.labels.empty())
      return complain(e.at.begin, "vector matching only allowed between instant vectors");
    if (between_vectors && is_set_operator(b.op) && b.matching.card != match_cardinality::many_to_many)
      return complain(e.at.begin,
                      fmt::format("no grouping allowed for {} operation", quote(to_string(b.op))));
    if (!between_vectors && is_set_operator(b.op))
      return complain(e.at.begin, fmt::format("set operator {} not allowed in binary scalar expression",
                                              quote(to_string(b.op))));
    return ok();
  }

  std::string_view query_;
};

} // namespace

result<void> check_selector(const vector_selector& selector, std::size_t at, std::string_view query) {
  if (!selector.name.empty()) {
    for (std::size_t i = 0; i + 1 < selector.matchers.size(); ++i)
      if (const auto& m = selector.matchers[i]; m.name() == label_name)
        return parse_failure(query, at,
                             fmt::format("metric name must not be set twice: {} or {}", quote(selector.name),
                                         quote(m.value())));
    return ok();
  }
  if (std::all_of(selector.matchers.begin(), selector.matchers.end(),
                  [](const matcher& m) { return m.matches(""); }))
    return parse_failure(query, at, "vector selector must contain at least one non-empty matcher");
  return ok();
}

result<void> check_types(const expression& tree, std::string_view query) {
  return checker{query}.check(tree);
}

} // namespace skerry::promql
