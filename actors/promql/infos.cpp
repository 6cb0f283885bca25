#include "actors/promql/infos.hpp"

#include "actors/promql/functions.hpp"
#include "actors/promql/parse_error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::promql {

namespace {

struct collector {
  std::string_view query;
  std::vector<std::string>& out;

  void visit(const expression& e) const {
    std::visit([this](const auto& node) { in(node); }, e.node);
  }
  void visit(const expression_ptr& e) const {
    if (e)
      visit(*e);
  }

  template <class Leaf>
  void in(const Leaf&) const {}
  void in(const subquery& s) const { visit(s.inner); }
  void in(const paren_expression& p) const { visit(p.inner); }
  void in(const unary_expression& u) const { visit(u.inner); }
  void in(const binary_expression& b) const {
    visit(b.left);
    visit(b.right);
  }
  void in(const aggregation& a) const {
    visit(a.parameter);
    visit(a.inner);
  }
  void in(const call& c) const {
    for (const auto& argument : c.arguments) {
      if (c.target->name == "rate" || c.target->name == "increase")
        check_counter(*argument);
      visit(argument);
    }
  }

  void check_counter(const expression& e) const {
    const auto* m = std::get_if<matrix_selector>(&unwrap(e).node);
    const std::string_view name = m != nullptr ? std::string_view{m->selector.name} : std::string_view{};
    if (name.empty() || name.ends_with("_total") || name.ends_with("_sum") || name.ends_with("_count")
        || name.ends_with("_bucket"))
      return;
    auto text = fmt::format("PromQL info: metric might not be a counter, name does not end in "
                            "_total/_sum/_count/_bucket: \"{}\" ({})",
                            name, line_and_column(query, e.at.begin));
    if (out.size() < infos_max && std::find(out.begin(), out.end(), text) == out.end())
      out.push_back(std::move(text));
  }
};

} // namespace

std::vector<std::string> infos_of(const expression& e, std::string_view query) {
  std::vector<std::string> out;
  collector{query, out}.visit(e);
  return out;
}

} // namespace skerry::promql
