#pragma once

// Target files of `file_sd_configs`: JSON or YAML lists of {targets, labels}, read again when they change.
//
// A file that can't be read or parsed keeps the groups that it had, and is counted and logged once per
// change. A file that is gone has none. One thread at a time.

#include "edge/collect/scrape/scrape_config.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::edge {

inline constexpr std::size_t target_file_bytes_max = 64 << 20;
inline constexpr std::size_t target_file_targets_max = 1 << 20;
inline constexpr std::size_t target_files_max = 10'000; // that the globs of one configuration match

// malformed: with what is wrong, and where. `json` chooses the format.
[[nodiscard]] result<std::vector<target_group>> parse_target_groups(std::string_view text, bool json);

class target_files {
public:
  explicit target_files(std::vector<file_sd_config> configs) : configs_(std::move(configs)) {}

  // Looks at the files. True where groups may have changed.
  bool refresh();
  // Of all files, in the order of their paths, with `__meta_filepath` in each.
  [[nodiscard]] std::vector<target_group> groups() const;
  [[nodiscard]] std::uint64_t errors() const noexcept { return errors_; } // since the start

private:
  struct file_state {
    std::int64_t changed_ns = 0;
    std::int64_t inode = 0;
    std::int64_t size = -1;
    std::vector<target_group> groups;
  };
  std::vector<file_sd_config> configs_;
  std::map<std::filesystem::path, file_state> files_;
  std::uint64_t errors_ = 0;
};

} // namespace skerry::edge
