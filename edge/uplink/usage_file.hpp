#pragma once

// What the link has carried, and whether the backlog is paused, kept over restarts in one small text file: a line
// "skerry-usage 1 DAY MONTH DAY_BYTES MONTH_BYTES SINCE_NS PAUSED" (docs/formats.md).

#include "actors/delivery/quota.hpp"

#include <filesystem>

namespace skerry::edge {

struct kept_usage {
  delivery::link_usage usage;
  bool backlog_paused = false;

  bool operator==(const kept_usage&) const = default;
};

// A file that is missing or damaged counts as empty; damage is logged. unsupported_version: written by a newer one.
[[nodiscard]] result<kept_usage> load_usage(const std::filesystem::path& file);
[[nodiscard]] result<void> store_usage(const std::filesystem::path& file, const kept_usage& from);

} // namespace skerry::edge
