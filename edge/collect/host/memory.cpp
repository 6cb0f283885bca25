// meminfo: /proc/meminfo, each line a gauge. vmstat: those fields of /proc/vmstat that the filter lets
// through.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/name_filter.hpp"
#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

namespace skerry::edge::host {

namespace {

constexpr std::string_view meminfo_prefix = "node_memory_";
constexpr std::string_view vmstat_prefix = "node_vmstat_";

// "Active(anon):" → "node_memory_Active_anon"
void meminfo_name(std::string_view key, std::string& to) {
  to = meminfo_prefix;
  key.remove_suffix(key.ends_with(':') ? 1 : 0);
  for (const char c : key) {
    if (c == '(')
      to += '_';
    else if (c != ')')
      to += c;
  }
}

class meminfo_collector final : public collector {
public:
  explicit meminfo_collector(const collector_context& context) : file_(context.config.proc / "meminfo") {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(rest, file_.read(buffer_));
    std::string_view line;
    while (next_line(rest, line)) {
      const auto key = next_word(line);
      if (key.empty())
        continue;
      const auto value = parse_number<double>(next_word(line));
      const auto unit = next_word(line);
      if (!value || !(unit.empty() || unit == "kB"))
        return fail(errc::malformed, fmt::format("/proc/meminfo: the line of {} has no number of kB", key));
      meminfo_name(key, name_);
      if (!unit.empty())
        name_ += "_bytes";
      sink.single(name_, metric_type::gauge, "A field of /proc/meminfo; bytes where the kernel says kB.",
                  unit.empty() ? *value : *value * 1024);
    }
    return ok();
  }

private:
  kept_file file_;
  std::string buffer_;
  std::string name_;
};

class vmstat_collector final : public collector {
public:
  explicit vmstat_collector(const collector_context& context)
      : file_(context.config.proc / "vmstat"), fields_(context.config.vmstat_fields) {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(rest, file_.read(buffer_));
    std::string_view line;
    while (next_line(rest, line)) {
      const auto key = next_word(line);
      if (key.empty() || !fields_.matches(key))
        continue;
      const auto value = parse_number<double>(next_word(line));
      if (!value)
        return fail(errc::malformed, fmt::format("/proc/vmstat: not a number after {}", key));
      name_.assign(vmstat_prefix).append(key);
      sink.single(name_, metric_type::unknown, "A field of /proc/vmstat.", *value);
    }
    return ok();
  }

private:
  kept_file file_;
  name_filter fields_;
  std::string buffer_;
  std::string name_;
};

} // namespace

collector_ptr make_meminfo(const collector_context& context) {
  return std::make_unique<meminfo_collector>(context);
}
collector_ptr make_vmstat(const collector_context& context) {
  return std::make_unique<vmstat_collector>(context);
}

} // namespace skerry::edge::host
