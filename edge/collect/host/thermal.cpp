// Thermal zones and cooling devices, from /sys/class/thermal.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/files.hpp"
#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

namespace skerry::edge::host {

namespace {

constexpr std::string_view zone_prefix = "thermal_zone";
constexpr std::string_view cooler_prefix = "cooling_device";

class thermal_collector final : public collector {
public:
  explicit thermal_collector(const collector_context& context)
      : path_(context.config.sys / "class/thermal") {}

  result<void> collect(family_sink& sink) override {
    auto opened = directory::open(path_);
    if (!opened)
      return opened.error().code == errc::not_found ? result<void>(ok()) : result<void>(opened.error());
    BOOST_OUTCOME_TRY(names, opened.value().list());
    open_family temperature{"node_thermal_zone_temp", metric_type::gauge,
                            "Temperature of the zone, in Celsius."};
    open_family current{"node_cooling_device_cur_state", metric_type::gauge,
                        "How much the device cools now."};
    open_family maximum{"node_cooling_device_max_state", metric_type::gauge, "How much the device can cool."};
    std::size_t silent = 0;
    for (const auto& name : names) {
      const auto device = opened.value().sub(name.c_str());
      if (!device)
        continue;
      char page[small_file_bytes];
      const auto type_text = device.value().read("type", page);
      const std::string type(type_text ? type_text.value() : std::string_view{});
      const auto number = [&](const char* file) -> result<double> {
        BOOST_OUTCOME_TRY(text, device.value().read(file, page));
        const auto value = parse_number<std::int64_t>(text);
        if (!value)
          return fail(errc::malformed, "not a number");
        return static_cast<double>(*value);
      };
      const std::string_view view(name);
      if (view.starts_with(zone_prefix)) {
        if (const auto millidegrees = number("temp"))
          sink.add(temperature, millidegrees.value() / 1000.0,
                   {{"type", type}, {"zone", view.substr(zone_prefix.size())}});
        else if (millidegrees.error().code
                 != errc::unsupported) // a zone that is off has no data, and that is fine
          ++silent;
      } else if (view.starts_with(cooler_prefix)) {
        const auto now = number("cur_state");
        const auto most = number("max_state");
        const auto id = view.substr(cooler_prefix.size());
        if (now)
          sink.add(current, now.value(), {{"name", id}, {"type", type}});
        if (most)
          sink.add(maximum, most.value(), {{"name", id}, {"type", type}});
        silent += now && most ? 0 : 1;
      }
    }
    if (silent > 0)
      return fail(errc::io, fmt::format("{} of the devices in {} cannot be read", silent, path_.native()));
    return ok();
  }

private:
  std::filesystem::path path_;
};

} // namespace

collector_ptr make_thermal_zone(const collector_context& context) {
  return std::make_unique<thermal_collector>(context);
}

} // namespace skerry::edge::host
