#include "actors/promql/ast.hpp"
#include "cloud/query/result_cache.hpp"

#include <algorithm>

namespace skerry::cloud {

namespace {

using promql::expression;

constexpr std::int64_t never = INT64_MIN; // looks at no data
constexpr std::int64_t too_far = std::int64_t{1} << 60;

struct look {
  std::int64_t ahead = never;
  bool known = true;

  void add(const look& other) {
    known = known && other.known;
    ahead = std::max(ahead, other.ahead);
  }
};

look look_of(const expression& e);

look shifted(look inner, const promql::time_modifiers& when) {
  if (when.at != promql::at_kind::none || when.offset_ms <= -too_far || when.offset_ms >= too_far)
    return {never, false};
  if (inner.ahead == never)
    return inner;
  inner.ahead -= when.offset_ms;
  inner.known = inner.known && inner.ahead < too_far && inner.ahead > -too_far;
  return inner;
}

struct visitor {
  look operator()(const promql::number_literal&) const { return {}; }
  look operator()(const promql::string_literal&) const { return {}; }
  look operator()(const promql::vector_selector& v) const { return shifted({0, true}, v.when); }
  look operator()(const promql::matrix_selector& m) const { return shifted({0, true}, m.selector.when); }
  look operator()(const promql::subquery& s) const { return shifted(look_of(*s.inner), s.when); }
  look operator()(const promql::paren_expression& p) const { return look_of(*p.inner); }
  look operator()(const promql::unary_expression& u) const { return look_of(*u.inner); }
  look operator()(const promql::binary_expression& b) const {
    auto both = look_of(*b.left);
    both.add(look_of(*b.right));
    return both;
  }
  look operator()(const promql::aggregation& a) const {
    auto all = look_of(*a.inner);
    if (a.parameter)
      all.add(look_of(*a.parameter));
    return all;
  }
  look operator()(const promql::call& c) const {
    look all;
    for (const auto& argument : c.arguments)
      all.add(look_of(*argument));
    return all;
  }
};

look look_of(const expression& e) { return std::visit(visitor{}, e.node); }

} // namespace

std::optional<std::int64_t> looks_ahead(const expression& e) {
  const auto all = look_of(e);
  if (!all.known)
    return std::nullopt;
  return all.ahead == never ? -too_far : all.ahead;
}

} // namespace skerry::cloud
