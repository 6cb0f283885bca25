#pragma once

// What the link has carried, and whether the backlog is paused, kept over restarts in one small text file: a line
// "skerry-usage 2 SINCE_NS PAUSED PASSED CLAIMED WAITED DAY BYTES DAY BYTES …" (docs/formats.md).

#include "actors/delivery/quota.hpp"

#include <filesystem>
#include <string>

namespace skerry::edge {

struct kept_usage {
  delivery::link_usage usage;
  std::string clock; // quota_meter::clock_note()
  bool backlog_paused = false;

  bool operator==(const kept_usage&) const = default;
};

// A file that is missing or damaged counts as empty; damage is logged. unsupported_version: written by a newer one.
[[nodiscard]] result<kept_usage> load_usage(const std::filesystem::path& file);
[[nodiscard]] result<void> store_usage(const std::filesystem::path& file, const kept_usage& from);

} // namespace skerry::edge
