// Sensors of the hardware: temperatures, fans, voltages, power, from /sys/class/hwmon.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/files.hpp"
#include "edge/collect/host/hwmon_name.hpp"
#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <system_error>
#include <utility>

namespace skerry::edge::host {

namespace {

constexpr std::size_t readings_max = 65'536; // files of one chip; more is a fault of its driver, and said

using readings = std::map<std::string, std::string>; // by property
struct sensor {
  std::string type;
  readings values;
};
using sensors = std::map<std::string, sensor>;               // by name, "temp1"
using taken = std::set<std::pair<std::string, std::string>>; // chip and sensor

// Families of all chips by name: they come in any order, and each appears once.
class families {
public:
  open_family& of(std::string_view name, metric_type type, std::string_view help) {
    const auto found = all_.find(name);
    if (found != all_.end())
      return found->second;
    const auto made = all_.emplace(name, open_family{{}, type, help}).first;
    made->second.name = made->first;
    return made->second;
  }

private:
  std::map<std::string, open_family, std::less<>> all_;
};

std::string base_name(const std::filesystem::path& path) { return clean_name(path.filename().native()); }

class hwmon_collector final : public collector {
public:
  explicit hwmon_collector(const collector_context& context) : path_(context.config.sys / "class/hwmon") {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(opened,
                      directory::open(path_)); // not_found: nothing to measure with, as on virtual machines
    BOOST_OUTCOME_TRY(names, opened.list());
    families to;
    taken seen;
    std::size_t nameless = 0;
    std::size_t beyond = 0;
    // hwmon2 before hwmon10: of two chips with one name the older one keeps it.
    std::stable_sort(names.begin(), names.end(),
                     [](const std::string& a, const std::string& b) { return a.size() < b.size(); });
    for (const auto& name : names) {
      const auto chip = opened.sub(name.c_str());
      if (!chip)
        continue;
      const auto title = chip_name(path_ / name, chip.value());
      if (title.empty())
        ++nameless;
      else
        beyond += add_chip(sink, to, seen, title, name, chip.value());
    }
    if (nameless > 0)
      return fail(errc::io, fmt::format("{} chips in {} have no name", nameless, path_.native()));
    if (beyond > 0)
      return fail(errc::exhausted, fmt::format("{} files of chips in {} are not read: one has more than {}",
                                               beyond, path_.native(), readings_max));
    return ok();
  }

private:
  // After the device it belongs to, which is stable, else what it calls itself, else its place in sysfs.
  static std::string chip_name(const std::filesystem::path& path, const directory& chip) {
    std::error_code failed;
    const auto device = std::filesystem::canonical(path / "device", failed);
    if (!failed) {
      const auto name = base_name(device);
      const auto bus = base_name(device.parent_path());
      if (!name.empty())
        return bus.empty() ? name : bus + "_" + name;
    }
    if (auto own = own_name(chip); !own.empty())
      return own;
    const auto real = std::filesystem::canonical(path, failed);
    return failed ? std::string() : base_name(real);
  }

  static std::string own_name(const directory& chip) {
    char page[small_file_bytes];
    const auto text = chip.read("name", page);
    return text ? clean_name(text.value()) : std::string();
  }

  // How many files were not looked at.
  static std::size_t read_sensors(const directory& from, sensors& to) {
    const auto names = from.list(true);
    if (!names)
      return 0;
    char page[small_file_bytes];
    std::size_t count = 0;
    std::size_t beyond = 0;
    for (const auto& name : names.value()) {
      const auto file = parse_sensor_file(name);
      if (!file)
        continue;
      if (++count > readings_max) {
        ++beyond;
        continue;
      }
      const auto text = from.read(name.c_str(), page);
      if (!text)
        continue; // a sensor that is absent or off
      auto& s = to[fmt::format("{}{}", file->type, file->number)];
      s.type = file->type;
      s.values[std::string(file->property)] = text.value();
    }
    return beyond;
  }

  // A device may have several chips, and those a sensor of the same name each: then the later chips are told apart by
  // what they call themselves, else by their place.
  static std::string unlike_others(const taken& seen, const std::string& chip, const std::string& own,
                                   const std::string& place, const sensors& all) {
    const auto taken_already = [&](const std::string& title) {
      return std::any_of(all.begin(), all.end(), [&](const auto& each) {
        return seen.contains({title, each.first});
      });
    };
    for (const auto& title : {chip, own.empty() ? chip : chip + "_" + own})
      if (!taken_already(title))
        return title;
    return chip + "_" + clean_name(place);
  }

  // How many of its files were not looked at.
  static std::size_t add_chip(family_sink& sink, families& to, taken& seen, const std::string& title,
                              const std::string& place, const directory& from) {
    sensors all;
    auto beyond = read_sensors(from, all);
    if (const auto device = from.sub("device")) // older drivers keep their files there
      beyond += read_sensors(device.value(), all);
    const auto own = own_name(from);
    const auto chip = unlike_others(seen, title, own, place, all);
    for (const auto& [name, s] : all)
      seen.insert({chip, name});
    if (!own.empty() && seen.insert({chip, "named " + own}).second)
      sink.add(
          to.of("node_hwmon_chip_names", metric_type::gauge, "1 for each chip, with the name of its kind."),
          1, {{"chip", chip}, {"chip_name", own}});
    for (const auto& [name, s] : all) {
      if (const auto label = s.values.find("label"); label != s.values.end())
        sink.add(to.of("node_hwmon_sensor_label", metric_type::gauge,
                       "1 for each sensor that says what it measures."),
                 1, {{"chip", chip}, {"label", label->second}, {"sensor", name}});
      add_sensor(sink, to, chip, name, s);
    }
    return beyond;
  }

  static void add_sensor(family_sink& sink, families& to, const std::string& chip, const std::string& name,
                         const sensor& s) {
    const label_view labels[] = {{"chip", chip}, {"sensor", name}};
    const auto plain = s.values.find("");
    const bool has_plain = plain != s.values.end();
    if (s.type == "beep_enable") {
      sink.add(to.of("node_hwmon_beep_enabled", metric_type::gauge, "1 where the chip beeps on alarms."),
               has_plain && plain->second == "1" ? 1 : 0, labels);
      return;
    }
    if (s.type == "vrm" || s.type == "update_interval") {
      const auto value =
          parse_number<double>(has_plain ? std::string_view(plain->second) : std::string_view{});
      if (value && s.type == "vrm")
        sink.add(to.of("node_hwmon_voltage_regulator_version", metric_type::gauge,
                       "Version of the voltage regulator."),
                 *value, labels);
      else if (value)
        sink.add(
            to.of("node_hwmon_update_interval_seconds", metric_type::gauge, "How often the chip measures."),
            *value * 0.001, labels);
      return;
    }
    for (const auto& [property, text] : s.values) {
      if (property == "label")
        continue;
      const auto number = parse_number<double>(text);
      if (!number)
        continue;
      const auto metric = name_sensor(s.type, property, has_plain);
      sink.add(to.of(metric.name, metric.counter ? metric_type::counter : metric_type::gauge,
                     "A reading or setting of a hardware sensor, in base units."),
               *number * metric.factor / metric.divisor, labels);
    }
  }

  std::filesystem::path path_;
};

} // namespace

collector_ptr make_hwmon(const collector_context& context) {
  return std::make_unique<hwmon_collector>(context);
}

} // namespace skerry::edge::host
