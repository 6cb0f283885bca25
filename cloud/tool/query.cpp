#include "actors/api/parameters.hpp"
#include "actors/node/config.hpp"
#include "cloud/tool/format.hpp"
#include "cloud/tool/options.hpp"
#include "cloud/tool/plot.hpp"
#include "cloud/tool/table.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <sys/ioctl.h>
#include <unistd.h>

namespace skerry::cloud {

using nlohmann::json;

namespace {

constexpr double steps_default = 250;           // of a range, as promtool has it
constexpr std::chrono::minutes query_wait{2};   // query.timeout's default: the node gives up first
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

// Of a value as the API sends it; "NaN" and "+Inf" are doubles like all others.
double double_of(const json& text) {
  return std::strtod(text.get_ref<const std::string&>().c_str(), nullptr);
}

std::string plot_of(const json& data) {
  std::vector<plot_series> all;
  for (const auto& series : data.at("result")) {
    plot_series one{series_text(series.at("metric")), {}};
    for (const auto& pair : series.at("values"))
      one.points.emplace_back(pair.at(0).get<double>(), double_of(pair.at(1)));
    all.push_back(std::move(one));
  }
  plot_size size;
  winsize window{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) {
    size.width = window.ws_col;
    // Some lines are left for axis, names and prompt.
    size.height = std::clamp<std::size_t>(window.ws_row / 2, 8, 30);
  }
  return render_plot(all, size, ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr);
}

std::string csv_cell(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos)
    return std::string{text};
  std::string out = "\"";
  for (const char c : text)
    out += c == '"' ? std::string{"\"\""} : std::string{c};
  return out + '"';
}

// RFC 4180: a column a label, then time in seconds and value; one line a sample.
std::string csv_of(const json& data) {
  const auto& type = data.at("resultType").get_ref<const std::string&>();
  const auto& found = data.at("result");
  std::set<std::string> columns; // a label each
  const bool has_series = type == "vector" || type == "matrix";
  if (has_series)
    for (const auto& series : found)
      for (const auto& label : series.at("metric").items())
        columns.insert(label.key());
  std::string out;
  for (const auto& name : columns)
    out += csv_cell(name) + ',';
  out += "time,value\r\n";
  const auto add = [&](const json& metric, const json& pair) {
    for (const auto& name : columns) {
      if (const auto it = metric.find(name); it != metric.end())
        out += csv_cell(it->get_ref<const std::string&>());
      out += ',';
    }
    out += pair.at(0).dump() + ',' + csv_cell(pair.at(1).get_ref<const std::string&>()) + "\r\n";
  };
  if (!has_series) {
    add(json::object(), found);
    return out;
  }
  for (const auto& series : found)
    if (type == "vector")
      add(series.at("metric"), series.at("value"));
    else
      for (const auto& pair : series.at("values"))
        add(series.at("metric"), pair);
  return out;
}

// Whole seconds, at least one. A time that cannot be read is the node's to refuse.
std::string step_for(const std::string& start, const std::string& end) {
  const auto from = api::parse_time_ms(start);
  const auto to = api::parse_time_ms(end);
  const auto seconds =
      from && to ? static_cast<double>(to.value() - from.value()) / 1'000 / steps_default : 0;
  return fmt::format("{:.0f}", std::max(1.0, std::floor(seconds)));
}

} // namespace

int run_query(const global_options& global, const query_options& options) {
  auto to = global.for_reading();
  if (!to)
    return report(to.error());
  const auto asked = parse_duration(options.timeout);
  const auto patience =
      answer_wait + (asked ? std::chrono::ceil<std::chrono::milliseconds>(asked.value()) : query_wait);
  api_client client{std::move(to.value()), patience};
  form parameters{{"query", options.expression}};
  const bool range = !options.start.empty();
  if (range) {
    const auto end = options.end.empty() ? std::to_string(std::time(nullptr)) : options.end;
    parameters.emplace_back("start", options.start);
    parameters.emplace_back("end", end);
    parameters.emplace_back("step", options.step.empty() ? step_for(options.start, end) : options.step);
  } else if (!options.time.empty()) {
    parameters.emplace_back("time", options.time);
  }
  if (!options.timeout.empty())
    parameters.emplace_back("timeout", options.timeout);
  const auto data = client.post(range ? "/api/v1/query_range" : "/api/v1/query", parameters);
  if (!data)
    return report(data.error());
  for (const auto& remark : client.remarks()) // not on standard output, which may be read by a program
    fmt::print(stderr, "{}\n", remark);
  if (options.output == "json") {
    fmt::print("{}\n", data.value().dump(2, ' ', false, json::error_handler_t::replace));
    return exit_ok;
  }
  if (options.output == "csv") {
    fmt::print("{}", csv_of(data.value()));
    return exit_ok;
  }
  if (range && (options.output == "plot" || (options.output == "auto" && ::isatty(STDOUT_FILENO) == 1)))
    if (const auto plot = plot_of(data.value()); !plot.empty()) {
      fmt::print("{}", plot);
      return exit_ok;
    }
  const auto out = result_table(data.value());
  if (out.rows() == 0)
    fmt::print(stderr, "No series match at that time.{}\n",
               global.edge ? "" : " `skerry hosts` shows when each host was last heard of.");
  else
    fmt::print("{}", out.render());
  return exit_ok;
}

} // namespace skerry::cloud
