#include "actors/node/reload.hpp"

#include "actors/base/clock.hpp"

#include <fmt/format.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <mutex>

namespace skerry {

bool settings_watch::is_live(std::string_view path) const {
  return std::any_of(live_.begin(), live_.end(), [&](const std::string& live) {
    return path.starts_with(live) && (path.size() == live.size() || path[live.size()] == '.');
  });
}

std::string settings_watch::take(const settings_digest& now) {
  std::vector<std::string> live;
  std::vector<std::string> restart;
  const auto changed = [&](const std::string& path) { (is_live(path) ? live : restart).push_back(path); };
  for (const auto& [path, hash] : in_force_)
    if (const auto at = now.find(path); at == now.end() || at->second != hash)
      changed(path);
  for (const auto& [path, hash] : now)
    if (!in_force_.contains(path))
      changed(path);
  for (const auto& path : live) {
    if (const auto at = now.find(path); at != now.end())
      in_force_[path] = at->second;
    else
      in_force_.erase(path);
  }
  std::string said = "the configuration was read again";
  if (live.empty() && restart.empty())
    return said + "; nothing has changed";
  if (!live.empty())
    said += fmt::format("; in force from now on: {}", fmt::join(live, ", "));
  if (!restart.empty())
    said += fmt::format("; changed, and needs a restart: {}", fmt::join(restart, ", "));
  return said;
}

namespace {
constexpr double ns_per_s = 1e9;
} // namespace

struct config_reload::impl {
  std::string node;
  reader read;
  prometheus::Gauge& successful;
  prometheus::Gauge& successful_at;
  std::mutex mutex;

  void note(bool success) {
    successful.Set(success ? 1 : 0);
    if (success)
      successful_at.Set(static_cast<double>(system_clock().wall_ns()) / ns_per_s);
  }
};

namespace {

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

} // namespace

config_reload::config_reload(std::string node, prometheus::Registry& metrics, reader read)
    : impl_(new impl{std::move(node),
                     std::move(read),
                     gauge(metrics, "skerry_config_last_reload_successful",
                           "Whether the last attempt to read the configuration again succeeded."),
                     gauge(metrics, "skerry_config_last_reload_success_timestamp_seconds",
                           "When the configuration was last read with success."),
                     {}}) {
  impl_->note(true);
}

config_reload::~config_reload() = default;

result<std::string> config_reload::operator()() {
  const std::lock_guard lock{impl_->mutex};
  auto said = impl_->read();
  impl_->note(said.has_value());
  if (said) {
    spdlog::info("{}: {}", impl_->node, said.value());
  } else {
    spdlog::error("{}: the configuration was not reloaded, the old one stays: {}", impl_->node,
                  said.error().message);
  }
  return said;
}

config_reload::outcome config_reload::last() const {
  return {impl_->successful.Value() != 0, static_cast<std::int64_t>(impl_->successful_at.Value() * ns_per_s)};
}

} // namespace skerry
