#include "actors/node/config.hpp"
#include "cloud/tool/format.hpp"
#include "cloud/tool/options.hpp"
#include "cloud/tool/table.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdio>

namespace skerry::cloud {

using nlohmann::json;

namespace {

constexpr const char* step_default = "15s";
constexpr std::chrono::seconds answer_wait{10}; // beyond what the query itself may take

// node_load1{host="a"}
std::string series_text(const json& metric) {
  std::string name;
  std::string rest;
  for (const auto& [key, value] : metric.items()) {
    if (key == "__name__")
      name = value.get<std::string>();
    else
      rest += fmt::format("{}{}={}", rest.empty() ? "" : ", ", key,
                          value.dump(-1, ' ', false, json::error_handler_t::replace));
  }
  if (!rest.empty() || name.empty())
    name += "{" + rest + "}";
  return name;
}

table result_table(const json& data) {
  const auto& type = data.at("resultType").get_ref<const std::string&>();
  const auto& found = data.at("result");
  const auto at = [](const json& pair) { return format_time(pair.at(0).get<double>()); };
  const auto value = [](const json& pair) { return pair.at(1).get<std::string>(); };
  if (type == "scalar" || type == "string") {
    table out{{{"TIME"}, {"VALUE", align::right}}};
    out.add({at(found), value(found)});
    return out;
  }
  table out{{{"SERIES"}, {"TIME"}, {"VALUE", align::right}}};
  for (const auto& series : found) {
    const auto name = series_text(series.at("metric"));
    if (type == "vector")
      out.add({name, at(series.at("value")), value(series.at("value"))});
    else
      for (const auto& pair : series.at("values"))
        out.add({name, at(pair), value(pair)});
  }
  return out;
}

} // namespace

int run_query(const global_options& global, const query_options& options) {
  auto to = global.for_reading();
  if (!to)
    return report(to.error());
  std::chrono::milliseconds patience = answer_wait;
  if (const auto asked = parse_duration(options.timeout))
    patience += std::chrono::duration_cast<std::chrono::milliseconds>(asked.value());
  api_client client{std::move(to.value()), patience};
  form parameters{{"query", options.expression}};
  const bool range = !options.start.empty();
  if (range) {
    parameters.emplace_back("start", options.start);
    parameters.emplace_back("end", options.end.empty()
                                       ? fmt::format("{:.3f}", static_cast<double>(std::time(nullptr)))
                                       : options.end);
    parameters.emplace_back("step", options.step.empty() ? step_default : options.step);
  } else if (!options.time.empty()) {
    parameters.emplace_back("time", options.time);
  }
  if (!options.timeout.empty())
    parameters.emplace_back("timeout", options.timeout);
  const auto data = client.post(range ? "/api/v1/query_range" : "/api/v1/query", parameters);
  if (!data)
    return report(data.error());
  if (global.json) {
    fmt::print("{}\n", data.value().dump(2, ' ', false, json::error_handler_t::replace));
    return exit_ok;
  }
  const auto out = result_table(data.value());
  if (out.rows() == 0)
    fmt::print(stderr,
               "No series match at that time. `skerry hosts` shows when each host was last heard of.\n");
  else
    fmt::print("{}", out.render());
  return exit_ok;
}

} // namespace skerry::cloud
