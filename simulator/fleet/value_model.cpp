#include "simulator/fleet/value_model.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <numbers>
#include <numeric>

namespace skerry::sim {

namespace {

constexpr double day_s = 86'400;
constexpr double wave_s = 600;        // of a counter's rate
constexpr double wave_share = 0.15;   // by so much it swings
constexpr double jitter_share = 0.25; // of what a counter gains in one interval; with the wave below 1
constexpr std::int64_t wander_s = 60; // between two turning points of a gauge
constexpr std::int64_t burst_slot_s = 300;
constexpr double burst_chance = 0.05;
constexpr std::array<std::string_view, value_kinds> kind_names{"counter", "gauge", "diurnal", "burst"};

std::uint64_t mix_bits(std::uint64_t x) noexcept {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9;
  x ^= x >> 27;
  x *= 0x94d049bb133111eb;
  return x ^ x >> 31;
}

std::uint64_t combine(std::uint64_t a, std::uint64_t b) noexcept {
  return mix_bits(a + 0x9e3779b97f4a7c15 * (b + 1));
}

double unit(std::uint64_t bits) noexcept { return static_cast<double>(bits >> 11) * 0x1p-53; } // [0, 1)

double wave(double time_s, double period_s, double phase) noexcept {
  return std::sin(2 * std::numbers::pi * (time_s / period_s + phase));
}

double thousandths(double value) noexcept { return std::round(value * 1000) / 1000; }

// Straight lines between random points, in [-1, 1].
double wander(std::uint64_t key, std::int64_t time_ns) noexcept {
  const auto step_ns = wander_s * 1'000'000'000;
  const auto slot = time_ns / step_ns;
  const auto at = static_cast<double>(time_ns % step_ns) / static_cast<double>(step_ns);
  const auto from = unit(combine(key, static_cast<std::uint64_t>(slot)));
  const auto to = unit(combine(key, static_cast<std::uint64_t>(slot + 1)));
  return 2 * (from + (to - from) * at) - 1;
}

double counter(std::uint64_t key, std::int64_t time_ns, std::int64_t interval_ns) noexcept {
  const auto rate = std::pow(10.0, 4 * unit(combine(key, 1)) - 1); // 0.1 to 1,000 a second
  const auto life_s = (20 + 20 * unit(combine(key, 2))) * day_s;
  const auto up_s = std::fmod(static_cast<double>(time_ns) / 1e9 + unit(combine(key, 3)) * life_s, life_s);
  const auto swing =
      wave_share * wave_s / (2 * std::numbers::pi) * (1 + wave(up_s, wave_s, unit(combine(key, 4))));
  const auto noise = jitter_share * static_cast<double>(interval_ns) / 1e9
                     * unit(combine(key, static_cast<std::uint64_t>(time_ns)));
  return std::floor(rate * (up_s + swing + noise));
}

} // namespace

std::string_view to_string(value_kind kind) noexcept { return kind_names[static_cast<std::size_t>(kind)]; }

result<value_mix> value_mix::parse(std::string_view text) {
  value_mix out;
  out.parts.fill(0);
  while (!text.empty()) {
    const auto one = text.substr(0, text.find(','));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    const auto equals = one.find('=');
    const auto name = one.substr(0, equals);
    std::size_t kind = 0;
    while (kind < value_kinds && kind_names[kind] != name)
      ++kind;
    if (kind == value_kinds)
      return fail(
          errc::invalid_argument,
          fmt::format("there are no values of kind '{}'; use counter, gauge, diurnal and burst, as in "
                      "counter=40,gauge=30,diurnal=20,burst=10",
                      name));
    const auto number = equals == std::string_view::npos ? std::string_view{} : one.substr(equals + 1);
    const auto [end, wrong] = std::from_chars(number.data(), number.data() + number.size(), out.parts[kind]);
    if (wrong != std::errc{} || end != number.data() + number.size() || out.parts[kind] > 1'000'000)
      return fail(errc::invalid_argument, fmt::format("'{}' needs a whole number, as in {}=40", one, name));
  }
  if (std::accumulate(out.parts.begin(), out.parts.end(), std::uint64_t{0}) == 0)
    return fail(errc::invalid_argument, "a mix of values needs one kind above 0");
  return out;
}

value_model::value_model(std::uint64_t seed, value_mix mix, std::size_t series_per_host,
                         std::chrono::nanoseconds interval)
    : seed_(mix_bits(seed + 1)), series_per_host_(series_per_host), interval_ns_(interval.count()) {
  const auto total = std::accumulate(mix.parts.begin(), mix.parts.end(), std::uint64_t{0});
  std::uint64_t before = 0;
  for (std::size_t kind = 0; kind < value_kinds; ++kind) {
    before += mix.parts[kind];
    ends_[kind] = static_cast<std::size_t>(series_per_host * before / total);
  }
}

value_kind value_model::kind_of(std::size_t series) const noexcept {
  std::size_t kind = 0;
  while (kind + 1 < value_kinds && series >= ends_[kind])
    ++kind;
  return static_cast<value_kind>(kind);
}

double value_model::value(std::uint64_t host, std::uint64_t site, std::size_t series,
                          std::int64_t time_ns) const noexcept {
  const auto key = combine(combine(seed_, host), series);
  const auto kind = kind_of(series);
  if (kind == value_kind::counter)
    return counter(key, time_ns, interval_ns_);
  const auto base = std::pow(10.0, 3 * unit(combine(key, 1))); // 1 to 1,000
  const auto noise = 2 * unit(combine(key, static_cast<std::uint64_t>(time_ns))) - 1;
  switch (kind) {
  case value_kind::diurnal: {
    const auto hour = unit(combine(combine(seed_, site), ~std::uint64_t{0}));
    return thousandths(base
                       * (1 + 0.6 * wave(static_cast<double>(time_ns) / 1e9, day_s, hour) + 0.05 * noise));
  }
  case value_kind::burst: {
    const auto slot = static_cast<std::uint64_t>(time_ns / (burst_slot_s * 1'000'000'000));
    if (unit(combine(key ^ 0x5bd1e995, slot)) >= burst_chance)
      return std::floor(base / 100);
    return std::floor(base * (10 + 5 * noise));
  }
  default: return thousandths(base * (1 + 0.2 * wander(key, time_ns) + 0.01 * noise));
  }
}

} // namespace skerry::sim
