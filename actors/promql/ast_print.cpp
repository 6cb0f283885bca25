#include "actors/promql/ast_print.hpp"

#include "actors/promql/functions.hpp"
#include "actors/promql/literals.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace skerry::promql {

namespace {

std::string modifiers_to_string(const time_modifiers& when) {
  std::string out;
  switch (when.at) {
  case at_kind::none: break;
  case at_kind::time: out += fmt::format(" @ {:.3f}", static_cast<double>(when.at_ms) / 1000); break;
  case at_kind::query_start: out += " @ start()"; break;
  case at_kind::query_end: out += " @ end()"; break;
  }
  if (when.offset_ms != 0)
    out += fmt::format(" offset {}{}", when.offset_ms < 0 ? "-" : "",
                       duration_to_string(std::abs(when.offset_ms)));
  return out;
}

std::string selector_to_string(const vector_selector& v, std::string_view range) {
  std::vector<std::string> shown;
  for (const auto& m : v.matchers)
    if (m.name() != label_name || m.op() != match_op::equal || m.value() != v.name)
      shown.push_back(to_string(m));
  std::sort(shown.begin(), shown.end());
  auto out = v.name;
  if (!shown.empty())
    out += fmt::format("{{{}}}", fmt::join(shown, ","));
  out += range;
  return out + modifiers_to_string(v.when);
}

std::string suffix_of(const subquery& s) {
  return fmt::format("[{}:{}]{}", duration_to_string(s.range_ms),
                     s.step_ms == 0 ? "" : duration_to_string(s.step_ms), modifiers_to_string(s.when));
}

// "sum by (a, b) "
std::string head_of(const aggregation& a) {
  std::string out{to_string(a.op)};
  if (a.without)
    out += fmt::format(" without ({}) ", fmt::join(a.grouping, ", "));
  else if (!a.grouping.empty())
    out += fmt::format(" by ({}) ", fmt::join(a.grouping, ", "));
  return out;
}

// "== bool on (a) group_left (b)"
std::string operator_of(const binary_expression& b) {
  std::string out{to_string(b.op)};
  if (b.return_bool)
    out += " bool";
  const auto& m = b.matching;
  const bool between_vectors =
      type_of(*b.left) == value_type::vector && type_of(*b.right) == value_type::vector;
  if (!between_vectors || (m.labels.empty() && !m.on))
    return out;
  out += fmt::format(" {} ({})", m.on ? "on" : "ignoring", fmt::join(m.labels, ", "));
  if (m.card == match_cardinality::many_to_one || m.card == match_cardinality::one_to_many)
    out += fmt::format(" group_{} ({})", m.card == match_cardinality::many_to_one ? "left" : "right",
                       fmt::join(m.include, ", "));
  return out;
}

struct printer {
  std::string operator()(const number_literal& n) const { return number_to_string(n.value); }
  std::string operator()(const string_literal& s) const { return quote(s.text); }
  std::string operator()(const vector_selector& v) const { return selector_to_string(v, ""); }
  std::string operator()(const matrix_selector& m) const {
    return selector_to_string(m.selector, fmt::format("[{}]", duration_to_string(m.range_ms)));
  }
  std::string operator()(const subquery& s) const { return to_string(*s.inner) + suffix_of(s); }
  std::string operator()(const paren_expression& p) const { return '(' + to_string(*p.inner) + ')'; }
  std::string operator()(const unary_expression& u) const {
    return (u.negative ? '-' : '+') + to_string(*u.inner);
  }
  std::string operator()(const binary_expression& b) const {
    auto left = to_string(*b.left);
    // A power binds more tightly than a sign: "+Inf ^ x" would be read as +(Inf ^ x).
    if (b.op == binary_op::power && std::holds_alternative<number_literal>(b.left->node)
        && left.front() == '+')
      left.erase(0, 1);
    return fmt::format("{} {} {}", left, operator_of(b), to_string(*b.right));
  }
  std::string operator()(const aggregation& a) const {
    const auto parameter = a.parameter ? to_string(*a.parameter) + ", " : std::string{};
    return fmt::format("{}({}{})", head_of(a), parameter, to_string(*a.inner));
  }
  std::string operator()(const call& c) const {
    std::vector<std::string> shown;
    for (const auto& argument : c.arguments)
      shown.push_back(to_string(*argument));
    return fmt::format("{}({})", c.target->name, fmt::join(shown, ", "));
  }
};

std::string indent(std::size_t level) { return std::string(2 * level, ' '); }

std::string pretty_at(const expression& e, std::size_t level, std::size_t line_max);

// Parts that are too long for a line, over several. Every part but a subquery's or sign's brings its indent.
struct breaker {
  std::size_t level;
  std::size_t line_max;

  std::string operator()(const subquery& s) const {
    return pretty_at(*s.inner, level, line_max) + suffix_of(s);
  }
  std::string operator()(const paren_expression& p) const {
    return fmt::format("{0}(\n{1}\n{0})", indent(level), pretty_at(*p.inner, level + 1, line_max));
  }
  std::string operator()(const binary_expression& b) const {
    return fmt::format("{}\n{}{}\n{}", pretty_at(*b.left, level + 1, line_max), indent(level), operator_of(b),
                       pretty_at(*b.right, level + 1, line_max));
  }
  std::string operator()(const aggregation& a) const {
    const auto parameter = a.parameter ? pretty_at(*a.parameter, level + 1, line_max) + ",\n" : std::string{};
    return fmt::format("{0}{1}(\n{2}{3}\n{0})", indent(level), head_of(a), parameter,
                       pretty_at(*a.inner, level + 1, line_max));
  }
  std::string operator()(const call& c) const {
    std::vector<std::string> shown;
    for (const auto& argument : c.arguments)
      shown.push_back(pretty_at(*argument, level + 1, line_max));
    return fmt::format("{0}{1}(\n{2}\n{0})", indent(level), c.target->name, fmt::join(shown, ",\n"));
  }
  template <class Leaf>
  std::string operator()(const Leaf& leaf) const {
    return indent(level) + printer{}(leaf);
  }
};

std::string pretty_at(const expression& e, std::size_t level, std::size_t line_max) {
  if (const auto* u = std::get_if<unary_expression>(&e.node)) {
    auto inner = pretty_at(*u->inner, level, line_max);
    inner.erase(0, inner.find_first_not_of(" \n"));
    return indent(level) + (u->negative ? '-' : '+') + inner;
  }
  auto line = to_string(e);
  if (line.size() <= line_max)
    return std::holds_alternative<subquery>(e.node) ? line : indent(level) + line;
  return std::visit(breaker{level, line_max}, e.node);
}

} // namespace

std::string to_string(const expression& e) { return std::visit(printer{}, e.node); }

std::string pretty(const expression& e, std::size_t line_max) { return pretty_at(e, 0, line_max); }

std::string to_string(const matcher& m) {
  constexpr std::string_view operators[]{"=", "!=", "=~", "!~"};
  return m.name() + std::string{operators[static_cast<std::size_t>(m.op())]} + quote(m.value());
}

} // namespace skerry::promql
