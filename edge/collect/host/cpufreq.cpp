// Clock frequencies of each CPU, as the hardware and the governor see them; sysfs has kHz.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/files.hpp"
#include "edge/collect/host/text.hpp"

namespace skerry::edge::host {

namespace {

struct frequency {
  const char* file;
  std::string_view name;
  std::string_view help;
};
constexpr frequency frequencies[] = {
    {"cpuinfo_cur_freq", "node_cpu_frequency_hertz", "Frequency that the hardware reports for this CPU."},
    {"cpuinfo_min_freq", "node_cpu_frequency_min_hertz", "Lowest frequency of this CPU."},
    {"cpuinfo_max_freq", "node_cpu_frequency_max_hertz", "Highest frequency of this CPU."},
    {"scaling_cur_freq", "node_cpu_scaling_frequency_hertz",
     "Frequency that the governor has set for this CPU."},
    {"scaling_min_freq", "node_cpu_scaling_frequency_min_hertz",
     "Lowest frequency that the governor may set."},
    {"scaling_max_freq", "node_cpu_scaling_frequency_max_hertz",
     "Highest frequency that the governor may set."},
};

class cpufreq_collector final : public collector {
public:
  explicit cpufreq_collector(const collector_context& context)
      : cpus_(context.config.sys / "devices/system/cpu") {}

  result<void> collect(family_sink& sink) override {
    auto opened = directory::open(cpus_);
    if (!opened)
      return opened.error().code == errc::not_found ? result<void>(ok()) : result<void>(opened.error());
    BOOST_OUTCOME_TRY(names, opened.value().list());
    open_family families[std::size(frequencies)];
    for (std::size_t i = 0; i < std::size(frequencies); ++i)
      families[i] = {frequencies[i].name, metric_type::gauge, frequencies[i].help};
    char page[small_file_bytes];
    for (const auto& name : names) {
      if (!name.starts_with("cpu") || name.size() < 4 || name[3] < '0' || name[3] > '9')
        continue;
      const auto cpu = opened.value().sub((name + "/cpufreq").c_str());
      if (!cpu)
        continue; // this one's clock is not ours to see
      for (std::size_t i = 0; i < std::size(frequencies); ++i) {
        const auto text = cpu.value().read(frequencies[i].file, page);
        if (const auto khz = text ? parse_number<std::uint64_t>(text.value()) : std::nullopt)
          sink.add(families[i], static_cast<double>(*khz) * 1000,
                   {{"cpu", std::string_view(name).substr(3)}});
      }
    }
    return ok();
  }

private:
  std::filesystem::path cpus_;
};

} // namespace

collector_ptr make_cpufreq(const collector_context& context) {
  return std::make_unique<cpufreq_collector>(context);
}

} // namespace skerry::edge::host
