#include "actors/api/query_stats.hpp"

#include "actors/promql/json.hpp"

#include <fmt/format.h>

namespace skerry::api {

promql::each_series counting_source::pass(const promql::select_request&, const promql::each_series& each) {
  return [this, &each](const promql::series_view& series) {
    const std::uint64_t count = series.times_ms.size();
    samples_ += count;
    auto peak = peak_.load();
    while (count > peak && !peak_.compare_exchange_weak(peak, count)) {
    }
    each(series);
  };
}

void append_stats(std::string& out, const query_timings& times, const counting_source& counted) {
  const auto put = [&out](std::string_view name, std::chrono::duration<double> took) {
    out += name;
    promql::append_number(out, took.count());
  };
  const auto evaluation = times.evaluated - times.started;
  put(R"(,"stats":{"timings":{"evalTotalTime":)", evaluation);
  out += R"(,"resultSortTime":0,"queryPreparationTime":0)";
  put(R"(,"innerEvalTime":)", evaluation);
  put(R"(,"execQueueTime":)", times.started - times.received);
  put(R"(,"execTotalTime":)", times.evaluated - times.received);
  out += fmt::format(R"(}},"samples":{{"totalQueryableSamples":{},"peakSamples":{}}}}})", counted.samples(),
                     counted.peak());
}

} // namespace skerry::api
