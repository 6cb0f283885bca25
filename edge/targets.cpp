#include "edge/targets.hpp"

#include "actors/node/config.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace skerry::edge {

namespace {

nlohmann::json json_of(const labels& all) {
  auto out = nlohmann::json::object();
  for (const auto& [name, value] : all)
    out[name] = value;
  return out;
}

std::string_view health_of(target_health health) {
  switch (health) {
  case target_health::up: return "up";
  case target_health::down: return "down";
  case target_health::unknown: break;
  }
  return "unknown";
}

// RFC 3339; Go's zero time stands for never.
std::string time_of(std::int64_t ns) {
  if (ns == 0)
    return "0001-01-01T00:00:00Z";
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z", fmt::gmtime(static_cast<std::time_t>(ns / 1'000'000'000)),
                     ns % 1'000'000'000);
}

} // namespace

nlohmann::json targets_json(const std::vector<scrape_target_ptr>& targets, std::string_view state,
                            std::string_view pool) {
  auto active = nlohmann::json::array();
  if (state != "dropped")
    for (const auto& target : targets) {
      if (!pool.empty() && target->job() != pool)
        continue;
      const auto& resolved = target->resolved();
      const auto now = target->status();
      active.push_back({{"discoveredLabels", json_of(resolved.discovered)},
                        {"labels", json_of(resolved.public_labels())},
                        {"scrapePool", target->job()},
                        {"scrapeUrl", resolved.url},
                        {"globalUrl", resolved.url},
                        {"lastError", now.last_error},
                        {"lastScrape", time_of(now.last_scrape_ns)},
                        {"lastScrapeDuration", now.last_duration_seconds},
                        {"health", health_of(now.health)},
                        {"scrapeInterval", format_duration(resolved.interval)},
                        {"scrapeTimeout", format_duration(resolved.timeout)}});
    }
  return {{"activeTargets", std::move(active)}, {"droppedTargets", nlohmann::json::array()}};
}

} // namespace skerry::edge
