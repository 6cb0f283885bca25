#include "actors/api/parameters.hpp"

#include "actors/promql/lexer.hpp"
#include "actors/promql/parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace skerry::api {

using promql::quote;

namespace {

std::optional<double> parse_float(std::string_view text) {
  if (text.starts_with('+'))
    text.remove_prefix(1);
  double value = 0;
  const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || stop != text.data() + text.size() || std::isnan(value))
    return std::nullopt;
  return value;
}

// A number of exactly `digits` digits at the front, which is taken off.
std::optional<int> take_digits(std::string_view& text, std::size_t digits) {
  if (text.size() < digits)
    return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, digits)) {
    if (c < '0' || c > '9')
      return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, std::string_view any) {
  if (text.empty() || any.find(text.front()) == std::string_view::npos)
    return false;
  text.remove_prefix(1);
  return true;
}

// 2015-07-01T20:10:51.781Z, 2015-07-01T22:10:51+02:00
std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, "-"))
    return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, "-"))
    return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || !take(text, "T"))
    return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ":"))
    return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ":"))
    return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second || *hour > 23 || *minute > 59 || *second > 59)
    return std::nullopt;
  std::int64_t ms = 0;
  if (take(text, ".,")) {
    std::int64_t unit = 100;
    std::size_t digits = 0;
    for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), ++digits) {
      ms += (text.front() - '0') * unit;
      unit /= 10;
    }
    if (digits == 0)
      return std::nullopt;
  }
  std::int64_t zone_minutes = 0;
  if (text != "Z") {
    const bool west = text.starts_with('-');
    if (!take(text, "+-"))
      return std::nullopt;
    const auto hours = take_digits(text, 2);
    if (!hours || !take(text, ":"))
      return std::nullopt;
    const auto minutes = take_digits(text, 2);
    if (!minutes || !text.empty() || *hours > 23 || *minutes > 59)
      return std::nullopt;
    zone_minutes = (west ? -1 : 1) * (*hours * 60 + *minutes);
  }
  const std::chrono::year_month_day date{std::chrono::year{*year},
                                         std::chrono::month{static_cast<unsigned>(*month)},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!date.ok())
    return std::nullopt;
  const std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  const auto seconds = days * 86'400 + (*hour * 60 + *minute - zone_minutes) * 60 + *second;
  return seconds * 1'000 + ms;
}

} // namespace

result<std::int64_t> parse_time_ms(std::string_view text) {
  if (const auto seconds = parse_float(text)) {
    if (std::abs(*seconds) >= static_cast<double>(time_ms_max) / 1'000)
      return *seconds < 0 ? time_ms_min : time_ms_max;
    double whole = 0;
    const auto fraction = std::modf(*seconds, &whole);
    return static_cast<std::int64_t>(whole) * 1'000 + static_cast<std::int64_t>(std::round(fraction * 1'000));
  }
  if (const auto ms = parse_rfc3339(text))
    return std::clamp(*ms, time_ms_min, time_ms_max);
  return fail(errc::invalid_argument, fmt::format("cannot parse {} to a valid timestamp", quote(text)));
}

result<std::chrono::nanoseconds> parse_duration_parameter(std::string_view text) {
  constexpr double ns_max = 9.2e18;
  if (const auto seconds = parse_float(text)) {
    const auto ns = *seconds * 1e9;
    if (std::abs(ns) > ns_max)
      return fail(errc::invalid_argument,
                  fmt::format("cannot parse {} to a valid duration. It overflows int64", quote(text)));
    return std::chrono::nanoseconds{static_cast<std::int64_t>(ns)};
  }
  if (const auto ms = promql::parse_duration_ms(text))
    return std::chrono::nanoseconds{std::chrono::milliseconds{ms.value()}};
  return fail(errc::invalid_argument, fmt::format("cannot parse {} to a valid duration", quote(text)));
}

error invalid_parameter(std::string_view name, std::string_view what) {
  return {errc::invalid_argument, fmt::format("invalid parameter {}: {}", quote(name), what)};
}

std::string_view text_parameter(const http::request& request, std::string_view name) {
  const auto* text = request.parameter(name);
  return text ? std::string_view{*text} : std::string_view{};
}

result<std::int64_t> time_parameter(const http::request& request, std::string_view name,
                                    std::int64_t otherwise) {
  const auto text = text_parameter(request, name);
  if (text.empty())
    return otherwise;
  auto parsed = parse_time_ms(text);
  if (!parsed)
    return invalid_parameter(name,
                             fmt::format("Invalid time value for '{}': {}", name, parsed.error().message));
  return parsed;
}

result<std::chrono::nanoseconds> duration_parameter(const http::request& request, std::string_view name,
                                                    std::chrono::nanoseconds otherwise) {
  const auto text = text_parameter(request, name);
  if (text.empty())
    return otherwise;
  auto parsed = parse_duration_parameter(text);
  if (!parsed)
    return invalid_parameter(name, parsed.error().message);
  return parsed;
}

result<std::optional<std::uint64_t>> limit_parameter(const http::request& request) {
  const auto text = text_parameter(request, "limit");
  if (text.empty())
    return std::optional<std::uint64_t>{};
  std::int64_t limit = 0;
  const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (failed != std::errc{} || stop != text.data() + text.size())
    return fail(errc::invalid_argument, "limit must be a number");
  if (limit < 0) // as Prometheus: none
    return std::optional<std::uint64_t>{};
  return std::optional{static_cast<std::uint64_t>(limit)};
}

result<std::vector<promql::select_request>> select_parameters(const http::request& request,
                                                              promql::query_memory& memory, bool anything) {
  promql::select_request base;
  BOOST_OUTCOME_TRY(from_ms, time_parameter(request, "start", time_ms_min));
  BOOST_OUTCOME_TRY(to_ms, time_parameter(request, "end", time_ms_max));
  base.from_ms = from_ms;
  base.to_ms = to_ms;
  base.memory = &memory;
  std::vector<promql::select_request> out;
  for (const auto text : request.all("match[]")) {
    auto parsed = promql::parse_selector(text, anything, &memory);
    if (!parsed && parsed.error().code != errc::invalid_argument)
      return parsed.error();
    if (!parsed)
      return invalid_parameter("match[]", parsed.error().message);
    std::uint64_t bytes = sizeof base;
    for (const auto& m : parsed.value())
      bytes += m.matching_bytes();
    if (!memory.take(bytes))
      return memory.refusal();
    out.push_back(base);
    out.back().matchers = std::move(parsed.value());
  }
  if (out.empty())
    out.push_back(std::move(base));
  return out;
}

} // namespace skerry::api
