#include "edge/collect/host/hwmon_name.hpp"

#include "edge/collect/host/text.hpp"

#include <algorithm>

namespace skerry::edge::host {

namespace {

constexpr std::string_view sensor_types[] = {
    "beep_enable", "cpu", "curr", "energy",          "fan", "humidity", "in", "intrusion",
    "power",       "pwm", "temp", "update_interval", "vrm",
};
constexpr double milli = 0.001;
constexpr double millionths = 1'000'000.0;

} // namespace

std::optional<sensor_file> parse_sensor_file(std::string_view name) noexcept {
  sensor_file file;
  const auto digits = std::min(name.find_first_of("0123456789"), name.size());
  file.type = name.substr(0, digits);
  if (std::find(std::begin(sensor_types), std::end(sensor_types), file.type) == std::end(sensor_types))
    return std::nullopt;
  const auto after = std::min(name.find_first_not_of("0123456789", digits), name.size());
  if (after > digits) {
    const auto number = parse_number<int>(name.substr(digits, after - digits));
    if (!number)
      return std::nullopt;
    file.number = *number;
  }
  const auto rest = name.substr(after);
  if (rest.empty())
    return file;
  if (rest.front() != '_' || rest.size() < 2)
    return std::nullopt;
  file.property = rest.substr(1);
  return file;
}

std::string clean_name(std::string_view text) {
  std::string clean;
  for (char c : text) {
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
    const bool keep = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ':' || c == '_';
    clean += keep ? c : '_';
  }
  const auto begin = clean.find_first_not_of('_');
  return begin == std::string::npos ? std::string()
                                    : clean.substr(begin, clean.find_last_not_of('_') - begin + 1);
}

sensor_metric name_sensor(std::string_view type, std::string_view property, bool has_plain) {
  sensor_metric m;
  m.name.append("node_hwmon_").append(type);
  if (property == "input") {
    if (has_plain)
      m.name += "_input";
  } else if (!property.empty()) {
    m.name.append("_").append(clean_name(property));
  }
  const auto is = [&](auto... any) { return ((property == any) || ...); };
  const auto with = [&](std::string_view suffix, double factor, double divisor = 1) {
    m.name += suffix;
    m.factor = factor;
    m.divisor = divisor;
    return m;
  };
  if (is("fault", "alarm"))
    return m;
  if (is("beep"))
    return with("_enabled", 1);
  if (type == "in" || type == "cpu")
    return with("_volts", milli);
  if (type == "temp" && !is("type"))
    return with("_celsius", milli);
  if (type == "curr")
    return with("_amps", milli);
  if (type == "energy") {
    m.counter = true;
    return with("_joule_total", 1, millionths);
  }
  if (type == "power" && is("accuracy"))
    return with("", 1, millionths);
  if (type == "power" && is("average_interval", "average_interval_min", "average_interval_max"))
    return with("_seconds", milli);
  if (type == "power")
    return with("_watt", 1, millionths);
  if (type == "humidity")
    return with("", 1, millionths);
  if (type == "fan" && is("input", "min", "max", "target"))
    return with("_rpm", 1);
  return m;
}

} // namespace skerry::edge::host
