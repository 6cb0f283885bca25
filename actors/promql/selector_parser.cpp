#include "actors/promql/selector_parser.hpp"

#include <cmath>

namespace skerry::promql {

namespace {

// What `offset` and `@` may change; null where they may not stand.
time_modifiers* modifiers_of(expression& e) noexcept {
  if (auto* v = std::get_if<vector_selector>(&e.node))
    return &v->when;
  if (auto* m = std::get_if<matrix_selector>(&e.node))
    return &m->selector.when;
  if (auto* s = std::get_if<subquery>(&e.node))
    return &s->when;
  return nullptr;
}

} // namespace

result<parser_cursor::tree> selector_parser::selector_here() {
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

result<void> selector_parser::range(tree& of) {
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
  BOOST_OUTCOME_TRY(
      made, make({of->at.begin, last_end()}, matrix_selector{std::move(*selector), range_ms}, 0, invariant));
  of = std::move(made);
  return ok();
}

result<void> selector_parser::offset(expression& of) {
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

result<void> selector_parser::at_modifier(expression& of) {
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
    return complain(of.at.begin, "@ modifier must be preceded by an instant vector selector or range vector "
                                 "selector or a subquery");
  if (when->at != at_kind::none)
    return complain(of.at.begin, "@ <timestamp> may not be set multiple times");
  when->at = kind;
  when->at_ms = at_ms;
  of.at.end = last_end();
  of.step_invariant = true;
  return ok();
}

result<std::int64_t> selector_parser::positive_duration() {
  const auto& t = take();
  const auto parsed = parse_duration_ms(t.text);
  if (!parsed)
    return complain(t.at.begin, parsed.error().message);
  if (parsed.value() == 0)
    return complain(t.at.begin, "duration must be greater than 0");
  return parsed.value();
}

result<void> selector_parser::matchers(vector_selector& into) {
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
    BOOST_OUTCOME_TRYV(charge(made.value().memory_bytes()));
    into.matchers.push_back(std::move(made.value()));
    if (next().kind == token_kind::comma)
      take();
    else if (next().kind != token_kind::right_brace)
      return unexpected(context, "\",\" or \"}\"");
  }
  take();
  return ok();
}

result<void> selector_parser::subquery_range(tree& of, std::int64_t range_ms) {
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

} // namespace skerry::promql
