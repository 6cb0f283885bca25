// Interrupts, context switches, forks, boot time and the run queue: the lines of /proc/stat that are not per
// CPU.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/text.hpp"

namespace skerry::edge::host {

namespace {

struct stat_line {
  std::string_view key;
  std::string_view name;
  metric_type type;
  std::string_view help;
};
constexpr stat_line stat_lines[] = {
    {"intr", "node_intr_total", metric_type::counter, "Interrupts serviced since boot."},
    {"ctxt", "node_context_switches_total", metric_type::counter, "Context switches since boot."},
    {"processes", "node_forks_total", metric_type::counter, "Processes and threads created since boot."},
    {"btime", "node_boot_time_seconds", metric_type::gauge, "When the host booted, in seconds since 1970."},
    {"procs_running", "node_procs_running", metric_type::gauge, "Tasks that run or wait for a CPU."},
    {"procs_blocked", "node_procs_blocked", metric_type::gauge, "Tasks that wait for I/O."},
};

class stat_collector final : public collector {
public:
  explicit stat_collector(const collector_context& context) : stat_(context.stat) {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(rest, stat_.read());
    std::string_view line;
    while (next_line(rest, line)) {
      const auto key = next_word(line);
      for (const auto& known : stat_lines) {
        if (known.key != key)
          continue;
        const auto value = parse_number<double>(next_word(line));
        if (!value)
          return fail(errc::malformed, std::string("/proc/stat: not a number after ").append(key));
        sink.single(known.name, known.type, known.help, *value);
      }
    }
    return ok();
  }

private:
  stat_file& stat_;
};

} // namespace

collector_ptr make_stat(const collector_context& context) {
  return std::make_unique<stat_collector>(context);
}

} // namespace skerry::edge::host
