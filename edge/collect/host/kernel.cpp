// The small ones: load, file descriptors, entropy, pressure stalls.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

namespace skerry::edge::host {

namespace {

class loadavg_collector final : public collector {
public:
  explicit loadavg_collector(const collector_context& context) : file_(context.config.proc / "loadavg") {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(content, file_.read(buffer_));
    std::string_view rest = trim(content);
    constexpr std::pair<std::string_view, std::string_view> loads[] = {
        {"node_load1", "Tasks that run or wait, averaged over 1 minute."},
        {"node_load5", "Tasks that run or wait, averaged over 5 minutes."},
        {"node_load15", "Tasks that run or wait, averaged over 15 minutes."},
    };
    for (const auto& [name, help] : loads) {
      const auto value = parse_number<double>(next_word(rest));
      if (!value)
        return fail(errc::malformed, fmt::format("{} has not three numbers", file_.path().native()));
      sink.single(name, metric_type::gauge, help, *value);
    }
    return ok();
  }

private:
  kept_file file_;
  std::string buffer_;
};

class filefd_collector final : public collector {
public:
  explicit filefd_collector(const collector_context& context)
      : file_(context.config.proc / "sys/fs/file-nr") {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(content, file_.read(buffer_));
    std::string_view rest = trim(content);
    const auto allocated = parse_number<double>(next_word(rest));
    static_cast<void>(next_word(rest)); // allocated and unused: always 0 since Linux 2.6
    const auto maximum = parse_number<double>(next_word(rest));
    if (!allocated || !maximum)
      return fail(errc::malformed, fmt::format("{} has not three numbers", file_.path().native()));
    sink.single("node_filefd_allocated", metric_type::gauge, "File descriptors in use on the whole host.",
                *allocated);
    sink.single("node_filefd_maximum", metric_type::gauge, "File descriptors that the host allows.",
                *maximum);
    return ok();
  }

private:
  kept_file file_;
  std::string buffer_;
};

class entropy_collector final : public collector {
public:
  explicit entropy_collector(const collector_context& context)
      : available_(context.config.proc / "sys/kernel/random/entropy_avail"),
        pool_(context.config.proc / "sys/kernel/random/poolsize") {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRY(available, number(available_));
    sink.single("node_entropy_available_bits", metric_type::gauge, "Entropy that the kernel has gathered.",
                available);
    BOOST_OUTCOME_TRY(pool, number(pool_));
    sink.single("node_entropy_pool_size_bits", metric_type::gauge, "Entropy that the kernel's pool can hold.",
                pool);
    return ok();
  }

private:
  result<double> number(kept_file& file) {
    BOOST_OUTCOME_TRY(content, file.read(buffer_));
    const auto value = parse_number<double>(trim(content));
    if (!value)
      return fail(errc::malformed, fmt::format("{} is not a number", file.path().native()));
    return *value;
  }

  kept_file available_;
  kept_file pool_;
  std::string buffer_;
};

class pressure_collector final : public collector {
public:
  explicit pressure_collector(const collector_context& context)
      : cpu_(context.config.proc / "pressure/cpu"),
        io_(context.config.proc / "pressure/io"),
        memory_(context.config.proc / "pressure/memory") {}

  result<void> collect(family_sink& sink) override {
    BOOST_OUTCOME_TRYV(
        add(sink, cpu_, {"node_pressure_cpu_waiting_seconds_total", "Time that some task waited for a CPU."},
            {}));
    BOOST_OUTCOME_TRYV(
        add(sink, io_, {"node_pressure_io_waiting_seconds_total", "Time that some task waited for I/O."},
            {"node_pressure_io_stalled_seconds_total", "Time that no task could go on because of I/O."}));
    return add(
        sink, memory_,
        {"node_pressure_memory_waiting_seconds_total", "Time that some task waited for memory."},
        {"node_pressure_memory_stalled_seconds_total", "Time that no task could go on for lack of memory."});
  }

private:
  struct metric {
    std::string_view name;
    std::string_view help;
  };

  result<void> add(family_sink& sink, kept_file& file, metric some, metric full) {
    auto content = file.read(buffer_);
    if (!content) // a kernel without pressure accounting, or with it turned off
      return fail(content.error().code == errc::unsupported ? errc::not_found : content.error().code,
                  content.error().message);
    std::string_view rest = content.value();
    std::string_view line;
    while (next_line(rest, line)) {
      const auto kind = next_word(line);
      const metric& to = kind == "some" ? some : full;
      if (to.name.empty())
        continue;
      const auto at = line.find("total=");
      const auto total = at == std::string_view::npos
                             ? std::nullopt
                             : parse_number<std::uint64_t>(trim(line.substr(at + 6)));
      if (!total)
        return fail(errc::malformed, fmt::format("{}: no total after {}", file.path().native(), kind));
      sink.single(to.name, metric_type::counter, to.help, static_cast<double>(*total) / 1000.0 / 1000.0);
    }
    return ok();
  }

  kept_file cpu_;
  kept_file io_;
  kept_file memory_;
  std::string buffer_;
};

} // namespace

collector_ptr make_loadavg(const collector_context& c) { return std::make_unique<loadavg_collector>(c); }
collector_ptr make_filefd(const collector_context& c) { return std::make_unique<filefd_collector>(c); }
collector_ptr make_entropy(const collector_context& c) { return std::make_unique<entropy_collector>(c); }
collector_ptr make_pressure(const collector_context& c) { return std::make_unique<pressure_collector>(c); }

} // namespace skerry::edge::host
