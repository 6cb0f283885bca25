// time: the wall clock, its zone and the kernel's clock sources. timex: how well the clock is kept. uname:
// which kernel.

#include "edge/collect/host/factories.hpp"
#include "edge/collect/host/files.hpp"
#include "edge/collect/host/text.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <sys/timex.h>
#include <sys/utsname.h>

namespace skerry::edge::host {

namespace {

class time_collector final : public collector {
public:
  explicit time_collector(const collector_context& context)
      : clock_(context.clock), sources_(context.config.sys / "devices/system/clocksource") {}

  result<void> collect(family_sink& sink) override {
    const std::int64_t now_ns = clock_.wall_ns();
    sink.single("node_time_seconds", metric_type::gauge, "The host's clock, in seconds since 1970.",
                static_cast<double>(now_ns) / 1e9);
    const std::time_t now = static_cast<std::time_t>(now_ns / 1'000'000'000);
    std::tm local{};
    if (::localtime_r(&now, &local) != nullptr) {
      open_family zone{"node_time_zone_offset_seconds", metric_type::gauge,
                       "How far the host's time zone is ahead of UTC."};
      sink.add(zone, static_cast<double>(local.tm_gmtoff),
               {{"time_zone", local.tm_zone ? local.tm_zone : ""}});
    }
    return clock_sources(sink);
  }

private:
  result<void> clock_sources(family_sink& sink) {
    auto opened = directory::open(sources_);
    if (!opened)
      return opened.error().code == errc::not_found ? result<void>(ok()) : result<void>(opened.error());
    BOOST_OUTCOME_TRY(names, opened.value().list());
    open_family available{"node_time_clocksource_available_info", metric_type::gauge,
                          "1 for each clock source that the kernel could use."};
    open_family current{"node_time_clocksource_current_info", metric_type::gauge,
                        "1 for the clock source that the kernel uses."};
    std::size_t device = 0;
    char page[small_file_bytes];
    for (const auto& name : names) {
      if (!name.starts_with("clocksource"))
        continue;
      const auto number = fmt::format_int(device++).str();
      BOOST_OUTCOME_TRY(all, opened.value().read((name + "/available_clocksource").c_str(), page));
      for (auto source = next_word(all); !source.empty(); source = next_word(all))
        sink.add(available, 1, {{"clocksource", source}, {"device", number}});
      BOOST_OUTCOME_TRY(used, opened.value().read((name + "/current_clocksource").c_str(), page));
      sink.add(current, 1, {{"clocksource", used}, {"device", number}});
    }
    return ok();
  }

  clock_source& clock_;
  std::filesystem::path sources_;
};

class timex_collector final : public collector {
public:
  result<void> collect(family_sink& sink) override {
    ::timex state{}; // no modes: only asks
    const int answer = ::adjtimex(&state);
    if (answer < 0)
      return fail(errno == EPERM || errno == EACCES ? errc::not_found : errc::io,
                  fmt::format("adjtimex: {}", std::strerror(errno)));
    constexpr double micro = 1'000'000;
    constexpr double ppm = 1'000'000.0 * 65536.0; // parts per million with 16 binary places
    const double unit = (state.status & STA_NANO) != 0 ? 1'000'000'000 : micro;
    const auto number = [](auto v) { return static_cast<double>(v); };
    const auto gauge = [&](std::string_view name, double value, std::string_view help) {
      sink.single(name, metric_type::gauge, help, value);
    };
    const auto counter = [&](std::string_view name, double value, std::string_view help) {
      sink.single(name, metric_type::counter, help, value);
    };
    gauge("node_timex_sync_status", answer == TIME_ERROR ? 0 : 1,
          "1 while the clock follows a reliable server.");
    gauge("node_timex_offset_seconds", number(state.offset) / unit,
          "How far the clock is from its reference.");
    gauge("node_timex_frequency_adjustment_ratio", 1 + number(state.freq) / ppm,
          "How much faster than its hardware the clock is made to run.");
    gauge("node_timex_maxerror_seconds", number(state.maxerror) / micro,
          "Largest error that the clock can have.");
    gauge("node_timex_estimated_error_seconds", number(state.esterror) / micro,
          "Error that the clock likely has.");
    gauge("node_timex_status", number(state.status), "Status bits of the kernel's clock discipline.");
    gauge("node_timex_loop_time_constant", number(state.constant), "Time constant of the phase-locked loop.");
    gauge("node_timex_tick_seconds", number(state.tick) / micro, "Time between clock ticks.");
    gauge("node_timex_pps_frequency_hertz", number(state.ppsfreq) / ppm,
          "Frequency of the pulse-per-second signal.");
    gauge("node_timex_pps_jitter_seconds", number(state.jitter) / unit,
          "Jitter of the pulse-per-second signal.");
    gauge("node_timex_pps_shift_seconds", number(state.shift),
          "Length of a pulse-per-second calibration interval.");
    gauge("node_timex_pps_stability_hertz", number(state.stabil) / ppm,
          "Mean change of the pulse-per-second frequency.");
    counter("node_timex_pps_jitter_total", number(state.jitcnt), "Pulses whose jitter was beyond the limit.");
    counter("node_timex_pps_calibration_total", number(state.calcnt),
            "Pulse-per-second calibration intervals.");
    counter("node_timex_pps_error_total", number(state.errcnt), "Pulse-per-second calibrations that failed.");
    counter("node_timex_pps_stability_exceeded_total", number(state.stbcnt),
            "Times that the pulse-per-second frequency changed beyond the limit.");
    gauge("node_timex_tai_offset_seconds", number(state.tai),
          "How far International Atomic Time is ahead of UTC.");
    return ok();
  }
};

class uname_collector final : public collector {
public:
  result<void> collect(family_sink& sink) override {
    ::utsname names{};
    if (::uname(&names) != 0)
      return fail(errc::io, fmt::format("uname: {}", std::strerror(errno)));
    open_family info{"node_uname_info", metric_type::gauge,
                     "The kernel and the host, as uname(2) names them."};
    sink.add(info, 1,
             {{"domainname", names.domainname},
              {"machine", names.machine},
              {"nodename", names.nodename},
              {"release", names.release},
              {"sysname", names.sysname},
              {"version", names.version}});
    return ok();
  }
};

} // namespace

collector_ptr make_time(const collector_context& c) { return std::make_unique<time_collector>(c); }
collector_ptr make_timex(const collector_context&) { return std::make_unique<timex_collector>(); }
collector_ptr make_uname(const collector_context&) { return std::make_unique<uname_collector>(); }

} // namespace skerry::edge::host
