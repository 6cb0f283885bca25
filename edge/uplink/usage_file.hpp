#pragma once

// What the link has carried, and whether the backlog is paused, kept over restarts in one small text file: a line
// "skerry-usage 2 SINCE_NS PAUSED PASSED CLAIMED WAITED DAY BYTES DAY BYTES …" (docs/formats.md).

#include "edge/uplink/usage.hpp"

#include <filesystem>
#include <utility>

namespace skerry::edge {

// A file that is missing or damaged counts as empty; damage is logged. unsupported_version: written by a newer one.
[[nodiscard]] result<kept_usage> load_usage(const std::filesystem::path& file);
[[nodiscard]] result<void> store_usage(const std::filesystem::path& file, const kept_usage& from);

class usage_file final : public usage_keeper {
public:
  explicit usage_file(std::filesystem::path path) : path_(std::move(path)) {}
  result<kept_usage> load() override { return load_usage(path_); }
  result<void> store(const kept_usage& from) override { return store_usage(path_, from); }

private:
  std::filesystem::path path_;
};

} // namespace skerry::edge
