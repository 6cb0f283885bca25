#pragma once

// How hwmon names files and devices, and how metrics are named after them.

#include <optional>
#include <string>
#include <string_view>

namespace skerry::edge::host {

// "temp2_crit_alarm" → temp, 2, "crit_alarm". "beep_enable" → beep_enable, 0, "".
struct sensor_file {
  std::string_view type;
  int number = 0;
  std::string_view property;
};

// Nothing for files that are no sensor's.
[[nodiscard]] std::optional<sensor_file> parse_sensor_file(std::string_view name) noexcept;

// Lower case, everything but letters, digits, ':' and '_' replaced by '_', none of those at the ends.
[[nodiscard]] std::string clean_name(std::string_view text);

// What a sensor's value is called and in which unit it comes.
struct sensor_metric {
  std::string name;
  double factor = 1;  // from sysfs to base units: times factor, through divisor
  double divisor = 1; // dividing by a million is exact where multiplying by a millionth is not
  bool counter = false;
};
// `has_plain`: the sensor also has a file without a property ("pwm1" beside "pwm1_input").
[[nodiscard]] sensor_metric name_sensor(std::string_view type, std::string_view property, bool has_plain);

} // namespace skerry::edge::host
