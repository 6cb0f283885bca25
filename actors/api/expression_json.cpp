#include "actors/api/expression_json.hpp"

#include "actors/promql/functions.hpp"
#include "actors/promql/json.hpp"

#include <nlohmann/json.hpp>

namespace skerry::api {

using nlohmann::json; // sorts keys, as Go does

namespace {

json node_json(const promql::expression& e);

json child(const promql::expression_ptr& of) { return of ? node_json(*of) : json{}; }

std::string_view symbol(promql::match_op op) noexcept {
  switch (op) {
  case promql::match_op::equal: return "=";
  case promql::match_op::not_equal: return "!=";
  case promql::match_op::regex: return "=~";
  case promql::match_op::not_regex: return "!~";
  }
  return "=";
}

json matchers_json(const std::vector<promql::matcher>& all) {
  json out = json::array();
  for (const auto& m : all)
    out.push_back({{"name", m.name()}, {"value", m.value()}, {"type", symbol(m.op())}});
  return out;
}

void add_modifiers(json& to, const promql::time_modifiers& when) {
  to["offset"] = when.offset_ms;
  to["timestamp"] = when.at == promql::at_kind::time ? json(when.at_ms) : json{};
  to["startOrEnd"] = when.at == promql::at_kind::query_start ? json("start")
                     : when.at == promql::at_kind::query_end ? json("end")
                                                             : json{};
}

struct node_writer {
  const promql::expression& of;

  json operator()(const promql::number_literal& n) const {
    std::string text;
    promql::append_number_plain(text, n.value);
    return {{"type", "numberLiteral"}, {"val", text}};
  }
  json operator()(const promql::string_literal& s) const {
    return {{"type", "stringLiteral"}, {"val", s.text}};
  }
  json operator()(const promql::vector_selector& s) const {
    json out{{"type", "vectorSelector"}, {"name", s.name}, {"matchers", matchers_json(s.matchers)}};
    add_modifiers(out, s.when);
    return out;
  }
  json operator()(const promql::matrix_selector& m) const {
    auto out = (*this)(m.selector);
    out["type"] = "matrixSelector";
    out["range"] = m.range_ms;
    return out;
  }
  json operator()(const promql::subquery& s) const {
    json out{{"type", "subquery"}, {"expr", child(s.inner)}, {"range", s.range_ms}, {"step", s.step_ms}};
    add_modifiers(out, s.when);
    return out;
  }
  json operator()(const promql::paren_expression& p) const {
    return {{"type", "parenExpr"}, {"expr", child(p.inner)}};
  }
  json operator()(const promql::unary_expression& u) const {
    return {{"type", "unaryExpr"}, {"op", u.negative ? "-" : "+"}, {"expr", child(u.inner)}};
  }
  json operator()(const promql::binary_expression& b) const {
    json matching;
    if (promql::type_of(*b.left) == promql::value_type::vector
        && promql::type_of(*b.right) == promql::value_type::vector)
      matching = {{"card", to_string(b.matching.card)},
                  {"labels", b.matching.labels},
                  {"on", b.matching.on},
                  {"include", b.matching.include}};
    return {{"type", "binaryExpr"},  {"op", to_string(b.op)}, {"lhs", child(b.left)},
            {"rhs", child(b.right)}, {"matching", matching},  {"bool", b.return_bool}};
  }
  json operator()(const promql::aggregation& a) const {
    return {{"type", "aggregation"},       {"op", to_string(a.op)},  {"expr", child(a.inner)},
            {"param", child(a.parameter)}, {"grouping", a.grouping}, {"without", a.without}};
  }
  json operator()(const promql::call& c) const {
    json types = json::array(), arguments = json::array();
    for (const auto type : c.target->arguments)
      types.push_back(to_string(type));
    for (const auto& argument : c.arguments)
      arguments.push_back(child(argument));
    return {{"type", "call"},
            {"func",
             {{"name", c.target->name},
              {"argTypes", types},
              {"variadic", c.target->variadic},
              {"returnType", to_string(c.target->returns)}}},
            {"args", arguments}};
  }
};

json node_json(const promql::expression& e) { return std::visit(node_writer{e}, e.node); }

} // namespace

std::string to_json(const promql::expression& e) {
  return node_json(e).dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace skerry::api
