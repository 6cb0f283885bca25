#include "actors/node/metrics.hpp"

#include <prometheus/gauge.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <charconv>
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

namespace skerry {

namespace {

std::string read_small(const char* path) {
  std::string out;
  const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return out;
  std::array<char, 4096> buffer;
  for (ssize_t n; out.size() < (1 << 20) && (n = ::read(fd, buffer.data(), buffer.size())) > 0;)
    out.append(buffer.data(), static_cast<std::size_t>(n));
  ::close(fd);
  return out;
}

double number_at(std::string_view text) {
  const auto first = text.find_first_of("0123456789");
  double value = 0;
  if (first != std::string_view::npos)
    std::from_chars(text.data() + first, text.data() + text.size(), value);
  return value;
}

double number_after(std::string_view text, std::string_view key) {
  const auto at = text.find(key);
  return at == std::string_view::npos ? 0 : number_at(text.substr(at + key.size()));
}

double count_fds() {
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr)
    return 0;
  double count = -1; // the one that reads the folder
  while (const auto* entry = ::readdir(folder))
    if (entry->d_name[0] != '.')
      ++count;
  ::closedir(folder);
  return count;
}

prometheus::MetricFamily family(std::string name, std::string help, prometheus::MetricType type,
                                double value) {
  prometheus::MetricFamily out;
  out.name = std::move(name);
  out.help = std::move(help);
  out.type = type;
  auto& metric = out.metric.emplace_back();
  if (type == prometheus::MetricType::Counter)
    metric.counter.value = value;
  else
    metric.gauge.value = value;
  return out;
}

} // namespace

process_usage read_process_usage() {
  process_usage out;
  const auto stat = read_small("/proc/self/stat");
  std::string_view rest{stat};
  // The second field, the program's name, may hold spaces: count from its closing parenthesis.
  if (const auto name_end = rest.rfind(')'); name_end != std::string_view::npos) {
    rest.remove_prefix(name_end + 1);
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    std::array<double, 25> fields{}; // by their number in proc(5)
    for (std::size_t i = 3; i < fields.size() && !rest.empty(); ++i) {
      rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
      const auto end = std::min(rest.find(' '), rest.size());
      fields[i] = number_at(rest.substr(0, end));
      rest.remove_prefix(end);
    }
    out.cpu_seconds = (fields[14] + fields[15]) / ticks;
    out.virtual_bytes = fields[23];
    out.resident_bytes = fields[24] * static_cast<double>(::sysconf(_SC_PAGESIZE));
    static const double boot_seconds = number_after(read_small("/proc/stat"), "\nbtime ");
    out.start_time_seconds = boot_seconds + fields[22] / ticks;
  }
  out.resident_anonymous_bytes = number_after(read_small("/proc/self/status"), "\nRssAnon:") * 1024;
  out.open_fds = count_fds();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0)
    out.max_fds = static_cast<double>(limit.rlim_cur);
  return out;
}

struct node_metrics::impl {
  prometheus::Registry registry;
};

node_metrics::node_metrics(std::string_view version) : impl_(std::make_unique<impl>()) {
  prometheus::BuildGauge()
      .Name("skerry_build_info")
      .Help("Which build this is; always 1.")
      .Register(impl_->registry)
      .Add({{"version", std::string{version}}})
      .Set(1);
}

node_metrics::~node_metrics() = default;

prometheus::Registry& node_metrics::registry() noexcept { return impl_->registry; }

std::string node_metrics::text() const {
  using enum prometheus::MetricType;
  auto families = impl_->registry.Collect();
  const auto usage = read_process_usage();
  families.push_back(family("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.",
                            Counter, usage.cpu_seconds));
  families.push_back(
      family("process_virtual_memory_bytes", "Virtual memory size in bytes.", Gauge, usage.virtual_bytes));
  families.push_back(
      family("process_resident_memory_bytes", "Resident memory size in bytes.", Gauge, usage.resident_bytes));
  families.push_back(family("skerry_process_resident_anonymous_bytes",
                            "Resident memory without mapped files, in bytes.", Gauge,
                            usage.resident_anonymous_bytes));
  families.push_back(family("process_open_fds", "Number of open file descriptors.", Gauge, usage.open_fds));
  families.push_back(
      family("process_max_fds", "Maximum number of open file descriptors.", Gauge, usage.max_fds));
  families.push_back(family("process_start_time_seconds",
                            "Start time of the process since unix epoch in seconds.", Gauge,
                            usage.start_time_seconds));
  return prometheus::TextSerializer{}.Serialize(families);
}

http::route node_metrics::route() const {
  return {"GET", "/metrics", right::read, [this](const http::request&, http::responder_ptr to) {
            to->answer({200, "text/plain; version=0.0.4; charset=utf-8", text(), {}});
          }};
}

} // namespace skerry
