#include "actors/promql/parser.hpp"

#include "actors/promql/functions.hpp"
#include "actors/promql/selector_parser.hpp"
#include "actors/promql/type_check.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::promql {

std::string line_and_column(std::string_view query, std::size_t at) {
  at = std::min(at, query.size());
  const auto before = query.substr(0, at);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const auto line_break = before.rfind('\n');
  const auto column = line_break == std::string_view::npos ? at + 1 : at - line_break;
  return fmt::format("{}:{}", line, column);
}

std::string at_position(std::string_view query, std::size_t at, std::string_view what) {
  return fmt::format("{}: parse error: {}", line_and_column(query, at), what);
}

std::string lower(std::string_view text) {
  std::string out{text};
  for (auto& c : out)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

bool is_keyword(const token& t, std::string_view word) {
  return t.kind == token_kind::keyword && lower(t.text) == word;
}

bool is_sign(const token& t) noexcept { return t.kind == token_kind::op && (t.text == "+" || t.text == "-"); }

namespace {

// How tightly operators bind; all but the last to the left.
enum precedence : int {
  lowest = 0,
  binds_or,
  binds_and,
  binds_compare,
  binds_add,
  binds_multiply,
  binds_power
};

int precedence_of(binary_op op) noexcept {
  switch (op) {
  case binary_op::set_or: return binds_or;
  case binary_op::set_and:
  case binary_op::set_unless: return binds_and;
  case binary_op::add:
  case binary_op::subtract: return binds_add;
  case binary_op::multiply:
  case binary_op::divide:
  case binary_op::modulo:
  case binary_op::atan2: return binds_multiply;
  case binary_op::power: return binds_power;
  default: return binds_compare;
  }
}

template <class Enum, std::size_t Count>
Enum by_name(std::string_view text) { // the lexer took it, so it is one of them
  const auto name = lower(text);
  for (std::size_t i = 0; i < Count; ++i)
    if (to_string(static_cast<Enum>(i)) == name)
      return static_cast<Enum>(i);
  return Enum{};
}
binary_op operator_of(const token& t) { return by_name<binary_op, 16>(t.text); }
aggregate_op aggregator_of(const token& t) { return by_name<aggregate_op, 12>(t.text); }

// Words that may name a metric although they mean something elsewhere.
bool starts_selector(const token& t) {
  switch (t.kind) {
  case token_kind::identifier:
  case token_kind::metric_identifier:
  case token_kind::aggregate:
  case token_kind::left_brace: return true;
  case token_kind::keyword:
    for (const auto* word : {"by", "without", "offset", "start", "end"})
      if (is_keyword(t, word))
        return true;
    return false;
  case token_kind::op: {
    const auto op = operator_of(t);
    return is_set_operator(op);
  }
  default: return false;
  }
}

class parser : private selector_parser {
public:
  using selector_parser::selector_parser;

  result<expression_ptr> run() {
    if (next().kind == token_kind::end)
      return complain(0, "no expression found in input");
    BOOST_OUTCOME_TRYV(charge(sizeof(std::string) * query().size() / 2)); // names of labels take most: (a,b)
    BOOST_OUTCOME_TRY(made, expression_at(lowest));
    if (next().kind != token_kind::end)
      return unexpected();
    BOOST_OUTCOME_TRYV(check_types(*made, query()));
    return expression_ptr{std::move(made)};
  }

  result<std::vector<matcher>> run_selector(bool anything) {
    if (next().kind == token_kind::end)
      return complain(0, "no expression found in input");
    if (!starts_selector(next()))
      return unexpected();
    BOOST_OUTCOME_TRY(made, selector_here());
    if (next().kind != token_kind::end)
      return unexpected();
    auto& selector = std::get<vector_selector>(made->node);
    if (!anything || !selector.name.empty()) {
      BOOST_OUTCOME_TRYV(check_selector(selector, made->at.begin, query()));
    }
    return std::move(selector.matchers);
  }

private:
  // Counts how deep the recursion is.
  class level {
  public:
    explicit level(std::size_t& depth) noexcept : depth_(depth) { ++depth_; }
    ~level() { --depth_; }
    level(const level&) = delete;
    level& operator=(const level&) = delete;

  private:
    std::size_t& depth_;
  };

  // Operands joined by operators that bind tighter than `above`.
  result<tree> expression_at(int above) {
    const level one{depth_};
    if (depth_ > depth_max + 1)
      return complain(next().at.begin, fmt::format("expressions are nested more than {} deep", depth_max));
    BOOST_OUTCOME_TRY(left, operand());
    while (next().kind == token_kind::op) {
      const auto op = operator_of(next());
      const auto binds = precedence_of(op);
      if (binds <= above)
        break;
      take();
      binary_expression b;
      b.op = op;
      BOOST_OUTCOME_TRYV(matching(b));
      // The right side takes what binds tighter; a power also takes further powers.
      BOOST_OUTCOME_TRY(right, expression_at(op == binary_op::power ? binds - 1 : binds));
      const position_range at{left->at.begin, right->at.end};
      const auto below = std::max(left->depth, right->depth);
      const bool invariant = left->step_invariant && right->step_invariant;
      b.left = std::move(left);
      b.right = std::move(right);
      BOOST_OUTCOME_TRY(joined, make(at, std::move(b), below, invariant));
      left = std::move(joined);
    }
    return left;
  }

  result<void> matching(binary_expression& b) {
    auto& m = b.matching;
    if (is_keyword(next(), "bool")) {
      take();
      b.return_bool = true;
    }
    const bool on = is_keyword(next(), "on");
    if (on || is_keyword(next(), "ignoring")) {
      take();
      m.on = on;
      BOOST_OUTCOME_TRYV(grouping_labels(m.labels));
      const bool left = is_keyword(next(), "group_left");
      if (left || is_keyword(next(), "group_right")) {
        take();
        m.card = left ? match_cardinality::many_to_one : match_cardinality::one_to_many;
        if (next().kind == token_kind::left_paren) {
          BOOST_OUTCOME_TRYV(grouping_labels(m.include));
        }
      }
    }
    if (is_set_operator(b.op) && m.card == match_cardinality::one_to_one)
      m.card = match_cardinality::many_to_many;
    return ok();
  }

  // (a, b): any word may be a label's name.
  result<void> grouping_labels(std::vector<std::string>& into) {
    constexpr std::string_view context = "grouping opts";
    if (next().kind != token_kind::left_paren)
      return unexpected(context, "\"(\"");
    take();
    while (next().kind != token_kind::right_paren) {
      const auto& t = next();
      if (!is_label_name(t.text) || t.kind == token_kind::number)
        return unexpected(context, "label");
      take();
      into.emplace_back(t.text);
      if (next().kind == token_kind::comma)
        take();
      else if (next().kind != token_kind::right_paren)
        return unexpected(context, "\",\" or \")\"");
    }
    take();
    return ok();
  }

  // A sign with what it stands before, or a primary with what may follow it: [range], offset, @.
  result<tree> operand() {
    if (is_sign(next()))
      return signed_operand();
    BOOST_OUTCOME_TRY(made, primary());
    for (;;) {
      const auto& t = next();
      if (t.kind == token_kind::left_bracket) {
        BOOST_OUTCOME_TRYV(range(made));
      } else if (is_keyword(t, "offset")) {
        BOOST_OUTCOME_TRYV(offset(*made));
      } else if (t.kind == token_kind::at) {
        BOOST_OUTCOME_TRYV(at_modifier(*made));
      } else {
        return made;
      }
    }
  }

  // Binds like a multiplication: -a ^ b is -(a ^ b), -a * b is (-a) * b.
  result<tree> signed_operand() {
    const auto sign = take();
    BOOST_OUTCOME_TRY(inner, expression_at(binds_multiply));
    const bool negative = sign.text == "-";
    if (auto* number = std::get_if<number_literal>(&inner->node)) {
      if (negative)
        number->value = -number->value;
      inner->at.begin = sign.at.begin;
      return inner;
    }
    const position_range at{sign.at.begin, inner->at.end};
    const auto below = inner->depth;
    const bool invariant = inner->step_invariant;
    return make(at, unary_expression{negative, std::move(inner)}, below, invariant);
  }

  result<tree> primary() {
    const auto& t = next();
    switch (t.kind) {
    case token_kind::number: {
      take();
      const auto value = parse_number(t.text);
      if (!value)
        return complain(t.at.begin, "error parsing number: " + value.error().message);
      return make(t.at, number_literal{value.value()}, 0, true);
    }
    case token_kind::string: take(); return make(t.at, string_literal{unquote(t.text)}, 0, true);
    case token_kind::left_paren: return parentheses();
    default: break;
    }
    if (!starts_selector(t))
      return unexpected();
    const auto& after = next(1);
    if (t.kind == token_kind::aggregate
        && (after.kind == token_kind::left_paren || is_keyword(after, "by") || is_keyword(after, "without")))
      return aggregation_here();
    if (t.kind == token_kind::identifier && after.kind == token_kind::left_paren)
      return call_here();
    return selector_here();
  }

  result<tree> parentheses() {
    const auto begin = take().at.begin;
    BOOST_OUTCOME_TRY(inner, expression_at(lowest));
    if (next().kind != token_kind::right_paren)
      return unexpected();
    take();
    const auto below = inner->depth;
    const bool invariant = inner->step_invariant;
    return make({begin, last_end()}, paren_expression{std::move(inner)}, below, invariant);
  }

  // The arguments of a function or aggregation, from "(" to ")".
  result<std::vector<tree>> arguments() {
    std::vector<tree> all;
    take();
    if (next().kind == token_kind::right_paren) {
      take();
      return all;
    }
    for (;;) {
      BOOST_OUTCOME_TRY(one, expression_at(lowest));
      all.push_back(std::move(one));
      if (next().kind == token_kind::right_paren)
        break;
      if (next().kind != token_kind::comma)
        return unexpected();
      const auto comma = take().at.begin;
      if (next().kind == token_kind::right_paren)
        return complain(comma, "trailing commas not allowed in function call args");
    }
    take();
    return all;
  }

  result<tree> call_here() {
    const auto& name = take();
    BOOST_OUTCOME_TRY(given, arguments());
    call c;
    c.target = find_function(name.text);
    if (!c.target)
      return complain(name.at.begin, fmt::format("unknown function with name {}", quote(name.text)));
    std::uint32_t below = 0;
    bool invariant = !c.target->step_dependent;
    for (auto& argument : given) {
      below = std::max(below, argument->depth);
      invariant = invariant && argument->step_invariant;
      c.arguments.push_back(std::move(argument));
    }
    return make({name.at.begin, last_end()}, std::move(c), below, invariant);
  }

  result<bool> aggregation_modifier(aggregation& a) {
    const bool by = is_keyword(next(), "by");
    if (!by && !is_keyword(next(), "without"))
      return false;
    take();
    a.without = !by;
    BOOST_OUTCOME_TRYV(grouping_labels(a.grouping));
    return true;
  }

  result<tree> aggregation_here() {
    const auto& name = take();
    aggregation a;
    a.op = aggregator_of(name);
    std::vector<tree> given;
    {
      const level one{aggregations_};
      BOOST_OUTCOME_TRY(modified, aggregation_modifier(a));
      if (next().kind != token_kind::left_paren)
        return unexpected();
      BOOST_OUTCOME_TRY(all, arguments());
      given = std::move(all);
      if (!modified) {
        BOOST_OUTCOME_TRY(after, aggregation_modifier(a));
        static_cast<void>(after);
      }
    }
    const std::size_t wanted = takes_parameter(a.op) ? 2 : 1;
    if (given.empty())
      return complain(name.at.begin, "no arguments for aggregate expression provided");
    if (given.size() != wanted)
      return complain(name.at.begin,
                      fmt::format("wrong number of arguments for aggregate expression provided, expected {}, "
                                  "got {}",
                                  wanted, given.size()));
    const auto below = std::max(given.front()->depth, given.back()->depth);
    const bool invariant = given.back()->step_invariant; // whatever the parameter is, as in Prometheus
    a.inner = std::move(given.back());
    if (wanted == 2)
      a.parameter = std::move(given.front());
    return make({name.at.begin, last_end()}, std::move(a), below, invariant);
  }

  std::size_t depth_ = 0; // of the recursion
};

result<void> check_size(std::string_view query) {
  if (query.size() > query_bytes_max)
    return fail(errc::invalid_argument,
                fmt::format("the query has {} bytes; at most {} are taken", query.size(), query_bytes_max));
  return ok();
}

} // namespace

result<expression_ptr> parse(std::string_view query, query_memory* memory) {
  BOOST_OUTCOME_TRYV(check_size(query));
  return parser{query, memory}.run();
}

result<std::vector<matcher>> parse_selector(std::string_view text, bool anything, query_memory* memory) {
  BOOST_OUTCOME_TRYV(check_size(text));
  return parser{text, memory}.run_selector(anything);
}

} // namespace skerry::promql
