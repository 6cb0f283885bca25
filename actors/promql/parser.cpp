#include "actors/promql/parser.hpp"

#include "actors/promql/functions.hpp"
#include "actors/promql/parse_error.hpp"
#include "actors/promql/type_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace skerry::promql {

std::string at_position(std::string_view query, std::size_t at, std::string_view what) {
  at = std::min(at, query.size());
  const auto before = query.substr(0, at);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const auto line_break = before.rfind('\n');
  const auto column = line_break == std::string_view::npos ? at + 1 : at - line_break;
  return fmt::format("{}:{}: parse error: {}", line, column, what);
}

namespace {

using tree = std::unique_ptr<expression>; // while it grows

std::string lower(std::string_view text) {
  std::string out{text};
  for (auto& c : out)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

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

bool is_keyword(const token& t, std::string_view word) {
  return t.kind == token_kind::keyword && lower(t.text) == word;
}
bool is_sign(const token& t) noexcept { return t.kind == token_kind::op && (t.text == "+" || t.text == "-"); }

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

class parser {
public:
  explicit parser(std::string_view query) : query_(query), tokens_(lex(query)) {}

  result<expression_ptr> run() {
    if (next().kind == token_kind::end)
      return complain(0, "no expression found in input");
    BOOST_OUTCOME_TRY(made, expression_at(lowest));
    if (next().kind != token_kind::end)
      return unexpected();
    BOOST_OUTCOME_TRYV(check_types(*made, query_));
    return expression_ptr{std::move(made)};
  }

  result<std::vector<matcher>> run_selector() {
    if (next().kind == token_kind::end)
      return complain(0, "no expression found in input");
    if (!starts_selector(next()))
      return unexpected();
    BOOST_OUTCOME_TRY(made, selector_here());
    if (next().kind != token_kind::end)
      return unexpected();
    auto& selector = std::get<vector_selector>(made->node);
    BOOST_OUTCOME_TRYV(check_selector(selector, made->at.begin, query_));
    return std::move(selector.matchers);
  }

private:
  using failure = decltype(fail(errc::invalid_argument, std::string{}));

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

  [[nodiscard]] const token& next(std::size_t ahead = 0) const noexcept {
    return tokens_[std::min(index_ + ahead, tokens_.size() - 1)];
  }
  const token& take() noexcept { return tokens_[index_ + 1 < tokens_.size() ? index_++ : index_]; }
  [[nodiscard]] std::size_t last_end() const noexcept { return index_ == 0 ? 0 : tokens_[index_ - 1].at.end; }

  [[nodiscard]] failure complain(std::size_t at, std::string_view what) const {
    return parse_failure(query_, at, what);
  }
  [[nodiscard]] failure unexpected(std::string_view context = {}, std::string_view expected = {}) const {
    const auto& t = next();
    if (t.kind == token_kind::error)
      return complain(t.at.begin, t.message);
    if (context.empty() && aggregations_ > 0)
      context = "aggregation";
    std::string what = "unexpected " + describe(t);
    if (!context.empty())
      what += fmt::format(" in {}", context);
    if (!expected.empty())
      what += fmt::format(", expected {}", expected);
    return complain(t.at.begin, what);
  }

  template <class Node>
  [[nodiscard]] result<tree> make(position_range at, Node node, std::uint32_t depth_below,
                                  bool invariant) const {
    if (depth_below >= tree_depth_max)
      return complain(at.begin, fmt::format("the expression is more than {} levels deep", tree_depth_max));
    return std::make_unique<expression>(expression{at, std::move(node), invariant, depth_below + 1});
  }

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

  result<tree> selector_here() {
    const auto begin = next().at.begin;
    vector_selector made;
    if (next().kind != token_kind::left_brace)
      made.name = std::string{take().text};
    if (next().kind == token_kind::left_brace) {
      BOOST_OUTCOME_TRYV(matchers(made));
    }
    if (!made.name.empty()) {
      BOOST_OUTCOME_TRY(by_name, matcher::make(match_op::equal, std::string{label_name}, made.name));
      made.matchers.push_back(std::move(by_name));
    }
    return make({begin, last_end()}, std::move(made), 0, false);
  }

  result<void> matchers(vector_selector& into) {
    constexpr std::string_view context = "label matching";
    take();
    while (next().kind != token_kind::right_brace) {
      const auto& name = next();
      if (name.kind != token_kind::identifier)
        return unexpected(context, "identifier or \"}\"");
      take();
      auto op = match_op::equal;
      switch (next().kind) {
      case token_kind::assign: break;
      case token_kind::match_not_equal: op = match_op::not_equal; break;
      case token_kind::match_regex: op = match_op::regex; break;
      case token_kind::match_not_regex: op = match_op::not_regex; break;
      default: return unexpected(context, "label matching operator");
      }
      take();
      if (next().kind != token_kind::string)
        return unexpected(context, "string");
      auto made = matcher::make(op, std::string{name.text}, unquote(take().text));
      if (!made)
        return complain(name.at.begin, made.error().message);
      if (into.matchers.size() >= matchers_max)
        return complain(name.at.begin, fmt::format("more than {} matchers", matchers_max));
      into.matchers.push_back(std::move(made.value()));
      if (next().kind == token_kind::comma)
        take();
      else if (next().kind != token_kind::right_brace)
        return unexpected(context, "\",\" or \"}\"");
    }
    take();
    return ok();
  }

  result<void> range(tree& of) {
    const auto bracket = take().at.begin;
    if (next().kind != token_kind::duration)
      return unexpected("subquery selector", "duration");
    BOOST_OUTCOME_TRY(range_ms, positive_duration());
    if (next().kind == token_kind::colon)
      return subquery_range(of, range_ms);
    if (next().kind != token_kind::right_bracket)
      return unexpected("subquery or range", "\":\" or \"]\"");
    take();
    auto* selector = std::get_if<vector_selector>(&of->node);
    if (!selector)
      return complain(bracket, "ranges only allowed for vector selectors");
    if (selector->when.offset_ms != 0)
      return complain(bracket, "no offset modifiers allowed before range");
    if (selector->when.at == at_kind::time)
      return complain(bracket, "no @ modifiers allowed before range");
    const bool invariant = of->step_invariant; // of @ start() and @ end(), which may stand before the range
    BOOST_OUTCOME_TRY(made, make({of->at.begin, last_end()}, matrix_selector{std::move(*selector), range_ms},
                                 0, invariant));
    of = std::move(made);
    return ok();
  }

  result<void> subquery_range(tree& of, std::int64_t range_ms) {
    take();
    subquery s;
    s.range_ms = range_ms;
    const bool with_step = next().kind == token_kind::duration;
    if (with_step) {
      BOOST_OUTCOME_TRY(step_ms, positive_duration());
      s.step_ms = step_ms;
    }
    if (next().kind != token_kind::right_bracket)
      return unexpected("subquery selector", with_step ? "\"]\"" : "duration or \"]\"");
    take();
    const position_range at{of->at.begin, last_end()};
    const auto below = of->depth;
    s.inner = std::move(of);
    BOOST_OUTCOME_TRY(made, make(at, std::move(s), below, false));
    of = std::move(made);
    return ok();
  }

  // What `offset` and `@` may change; null where they may not stand.
  static time_modifiers* modifiers_of(expression& e) noexcept {
    if (auto* v = std::get_if<vector_selector>(&e.node))
      return &v->when;
    if (auto* m = std::get_if<matrix_selector>(&e.node))
      return &m->selector.when;
    if (auto* s = std::get_if<subquery>(&e.node))
      return &s->when;
    return nullptr;
  }

  result<void> offset(expression& of) {
    take();
    std::int64_t sign = 1;
    if (next().kind == token_kind::op && next().text == "-") {
      take();
      sign = -1;
    }
    if (next().kind != token_kind::duration)
      return unexpected("offset", "duration");
    BOOST_OUTCOME_TRY(offset_ms, positive_duration());
    auto* when = modifiers_of(of);
    if (!when)
      return complain(of.at.begin, "offset modifier must be preceded by an instant vector selector or range "
                                   "vector selector or a subquery");
    if (when->offset_ms != 0)
      return complain(of.at.begin, "offset may not be set multiple times");
    when->offset_ms = sign * offset_ms;
    of.at.end = last_end();
    return ok();
  }

  result<void> at_modifier(expression& of) {
    take();
    auto kind = at_kind::time;
    double seconds = 0;
    const bool start = is_keyword(next(), "start");
    if (start || is_keyword(next(), "end")) {
      take();
      for (const auto paren : {token_kind::left_paren, token_kind::right_paren}) {
        if (next().kind != paren)
          return unexpected("@", "timestamp");
        take();
      }
      kind = start ? at_kind::query_start : at_kind::query_end;
    } else {
      const double sign = is_sign(next()) && take().text == "-" ? -1 : 1;
      if (next().kind != token_kind::number)
        return unexpected("@", "timestamp");
      const auto& number = take();
      const auto value = parse_number(number.text);
      if (!value)
        return complain(number.at.begin, "error parsing number: " + value.error().message);
      seconds = sign * value.value();
    }
    std::int64_t at_ms = 0;
    if (!seconds_to_ms(seconds, at_ms))
      return complain(of.at.begin, fmt::format("timestamp out of bounds for @ modifier: {}",
                                               std::isfinite(seconds) ? fmt::format("{:f}", seconds)
                                               : std::isnan(seconds)  ? "NaN"
                                               : seconds < 0          ? "-Inf"
                                                                      : "+Inf"));
    auto* when = modifiers_of(of);
    if (!when)
      return complain(of.at.begin,
                      "@ modifier must be preceded by an instant vector selector or range vector "
                      "selector or a subquery");
    if (when->at != at_kind::none)
      return complain(of.at.begin, "@ <timestamp> may not be set multiple times");
    when->at = kind;
    when->at_ms = at_ms;
    of.at.end = last_end();
    of.step_invariant = true;
    return ok();
  }

  result<std::int64_t> positive_duration() {
    const auto& t = take();
    const auto parsed = parse_duration_ms(t.text);
    if (!parsed)
      return complain(t.at.begin, parsed.error().message);
    if (parsed.value() == 0)
      return complain(t.at.begin, "duration must be greater than 0");
    return parsed.value();
  }

  std::string_view query_;
  std::vector<token> tokens_;
  std::size_t index_ = 0;
  std::size_t depth_ = 0;
  std::size_t aggregations_ = 0; // that the parser is inside of; messages say so
};

result<void> check_size(std::string_view query) {
  if (query.size() > query_bytes_max)
    return fail(errc::invalid_argument,
                fmt::format("the query has {} bytes; at most {} are taken", query.size(), query_bytes_max));
  return ok();
}

} // namespace

result<expression_ptr> parse(std::string_view query) {
  BOOST_OUTCOME_TRYV(check_size(query));
  return parser{query}.run();
}

result<std::vector<matcher>> parse_selector(std::string_view text) {
  BOOST_OUTCOME_TRYV(check_size(text));
  return parser{text}.run_selector();
}

} // namespace skerry::promql
