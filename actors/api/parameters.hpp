#pragma once

// Request parameters as Prometheus reads them. Failures are invalid_argument, worded as Prometheus words
// them, with the parameter's name.

#include "actors/http/server.hpp"
#include "actors/promql/query_memory.hpp"
#include "actors/promql/series_source.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace skerry::api {

// What fits nanoseconds in 64 bits; times beyond are cut to it.
inline constexpr std::int64_t time_ms_max = 9'223'372'036'854;
inline constexpr std::int64_t time_ms_min = -time_ms_max;

// "1435781430.781" or RFC 3339, to milliseconds.
[[nodiscard]] result<std::int64_t> parse_time_ms(std::string_view text);
// "15", "0.5" (seconds) or "1h30m".
[[nodiscard]] result<std::chrono::nanoseconds> parse_duration_parameter(std::string_view text);

// invalid parameter "NAME": WHAT
[[nodiscard]] error invalid_parameter(std::string_view name, std::string_view what);

// Absent or empty: `otherwise`.
[[nodiscard]] result<std::int64_t> time_parameter(const http::request& request, std::string_view name,
                                                  std::int64_t otherwise);
[[nodiscard]] result<std::chrono::nanoseconds>
duration_parameter(const http::request& request, std::string_view name, std::chrono::nanoseconds otherwise);
// Empty text where it is absent.
[[nodiscard]] std::string_view text_parameter(const http::request& request, std::string_view name);
// limit=N, 0 for none; nullopt when absent or below 0.
[[nodiscard]] result<std::optional<std::uint64_t>> limit_parameter(const http::request& request);
// start, end and every match[]: one request to the store each, or one without matchers when there is no
// match[]. As Prometheus takes it, the end may be before the start: nothing is there. `anything`: also a selector that
// every series matches. They are counted in `memory`, as will be what answering them takes.
[[nodiscard]] result<std::vector<promql::select_request>>
select_parameters(const http::request& request, promql::query_memory& memory, bool anything = false);

} // namespace skerry::api
