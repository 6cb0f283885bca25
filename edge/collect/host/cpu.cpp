// Time of each CPU by mode, throttling events, isolated CPUs.

#include "edge/collect/host/cpu_throttle.hpp"
#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unistd.h>

namespace skerry::edge::host {

namespace {

constexpr std::size_t cpus_max = 8192;
constexpr double idle_reset_seconds =
    3; // idle time that falls by more means that the CPU was off and on again

// As the columns of /proc/stat stand.
constexpr std::string_view modes[] = {"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"};
constexpr std::size_t idle = 3;
constexpr std::size_t guest = std::size(modes); // then guest and guest_nice
constexpr std::size_t stat_columns = guest + 2;

class cpu_collector final : public collector {
public:
  explicit cpu_collector(const collector_context& context)
      : stat_(context.stat), throttle_(context.config.sys), isolated_(isolated_cpus(context.config.sys)) {
    const long ticks = ::sysconf(_SC_CLK_TCK);
    ticks_per_second_ = ticks > 0 ? static_cast<double>(ticks) : 100;
  }

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(text, stat_.read());
    BOOST_OUTCOME_TRYV(parse(text));
    open_family seconds{"node_cpu_seconds_total", metric_type::counter,
                        "Time that each CPU spent in each mode."};
    open_family guests{"node_cpu_guest_seconds_total", metric_type::counter,
                       "Time that each CPU spent running guests; part of the modes user and nice."};
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      const fmt::format_int cpu(i);
      const std::string_view number(cpu.data(), cpu.size());
      for (std::size_t m = 0; m < std::size(modes); ++m)
        sink.add(seconds, shown_[i][m], {{"cpu", number}, {"mode", modes[m]}});
      sink.add(guests, shown_[i][guest], {{"cpu", number}, {"mode", "user"}});
      sink.add(guests, shown_[i][guest + 1], {{"cpu", number}, {"mode", "nice"}});
    }
    open_family isolated{"node_cpu_isolated", metric_type::gauge,
                         "1 for each CPU that the scheduler leaves alone."};
    for (const auto& cpu : isolated_)
      sink.add(isolated, 1, {{"cpu", cpu}});
    throttle_.collect(sink, shown_.size());
    return ok();
  }

private:
  using times = std::array<double, stat_columns>;

  result<void> parse(std::string_view rest) {
    now_.clear();
    std::string_view line;
    while (next_line(rest, line)) {
      auto key = next_word(line);
      if (!key.starts_with("cpu") || key == "cpu")
        continue;
      const auto index = parse_number<std::size_t>(key.substr(3));
      if (!index || *index >= cpus_max)
        return fail(errc::malformed, fmt::format("/proc/stat: \"{}\" is no CPU", key));
      if (now_.size() <= *index)
        now_.resize(*index + 1, times{}); // a CPU that is off has no line and shows zeros
      for (auto& column : now_[*index]) {
        const auto word = next_word(line);
        if (word.empty())
          break; // older kernels have fewer columns
        const auto ticks = parse_number<std::uint64_t>(word);
        if (!ticks)
          return fail(errc::malformed, fmt::format("/proc/stat: not a number in the line of {}", key));
        column = static_cast<double>(*ticks) / ticks_per_second_;
      }
    }
    keep_monotonic();
    return ok();
  }

  // The kernel's idle and iowait times may step back a little; counters must not.
  void keep_monotonic() {
    if (shown_.size() != now_.size())
      shown_.assign(now_.size(), times{});
    for (std::size_t i = 0; i < now_.size(); ++i) {
      if (shown_[i][idle] - now_[i][idle] >= idle_reset_seconds)
        shown_[i] = times{};
      for (std::size_t c = 0; c < stat_columns; ++c)
        shown_[i][c] = std::max(shown_[i][c], now_[i][c]);
    }
  }

  // "1,3-5" of sysfs, one text each. Fixed at boot.
  static std::vector<std::string> isolated_cpus(const std::filesystem::path& sys) {
    std::vector<std::string> all;
    const auto cpus = directory::open(sys / "devices/system/cpu");
    char page[small_file_bytes];
    const auto listed =
        cpus ? cpus.value().read("isolated", page) : result<std::string_view>(std::string_view{});
    std::string_view rest = listed ? listed.value() : std::string_view{};
    while (!rest.empty()) {
      const auto item = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), item.size() + 1));
      const auto dash = item.find('-');
      const auto first = parse_number<std::size_t>(item.substr(0, dash));
      const auto last =
          dash == std::string_view::npos ? first : parse_number<std::size_t>(item.substr(dash + 1));
      if (!first || !last)
        continue;
      for (std::size_t cpu = *first; cpu <= std::min(*last, cpus_max - 1) && all.size() < cpus_max; ++cpu)
        all.push_back(std::to_string(cpu));
    }
    return all;
  }

  stat_file& stat_;
  cpu_throttle throttle_;
  std::vector<std::string> isolated_;
  double ticks_per_second_;
  std::vector<times> now_;
  std::vector<times> shown_;
};

} // namespace

collector_ptr make_cpu(const collector_context& context) { return std::make_unique<cpu_collector>(context); }

} // namespace skerry::edge::host
