#pragma once

// The list of targets that a configuration and its target files describe. A target that stays the same
// through a reload or a change of files keeps its series and its memory; one that goes leaves stale markers
// behind.
//
// One thread at a time; no clock: times are given. The targets may be scraped on other threads meanwhile.

#include "edge/collect/scrape/file_sd.hpp"
#include "edge/collect/scrape/scrape_target.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace skerry::edge {

inline constexpr std::size_t targets_max = fetch_slots_max;
// Target files and secret files are looked at this often, or at a file_sd_config's refresh_interval if that
// is shorter.
inline constexpr std::int64_t files_refresh_ns = 5'000'000'000;

using scrape_target_ptr = std::shared_ptr<scrape_target>;

// What the fetcher needs for a target. io: a secret file can't be read; the message names the file, never its
// content.
[[nodiscard]] result<fetch_options> make_fetch_options(const scrape_config& config,
                                                       const resolved_target& target);

struct managed_target {
  scrape_target_ptr target;
  result<fetch_options> options;     // failed: the target can't be asked; say why with fail()
  std::uint64_t options_version = 0; // open a new fetch_slot when it changes
  scrape_config_ptr config;
};

// Targets that are no more: end() them and send what that gives.
struct target_changes {
  std::vector<scrape_target_ptr> removed;
  std::size_t added = 0;
};

class target_manager {
public:
  target_manager(std::uint64_t seed, scrape_metrics& metrics) : seed_(seed), metrics_(metrics) {}

  // Takes a configuration, the first or a new one.
  target_changes apply(const scrape_settings& settings);
  // Looks at files when that is due. Call it every second or so.
  target_changes refresh(std::int64_t monotonic_ns);

  [[nodiscard]] const std::vector<managed_target>& targets() const noexcept { return targets_; }
  [[nodiscard]] std::uint64_t version() const noexcept { return version_; } // changes with the list

private:
  struct job {
    scrape_config_ptr config;
    target_files files;
  };
  target_changes rebuild();

  std::uint64_t seed_;
  scrape_metrics& metrics_;
  std::vector<job> jobs_;
  std::vector<managed_target> targets_;
  std::int64_t refreshed_ns_ = 0;
  std::int64_t refresh_every_ns_ = files_refresh_ns;
  std::uint64_t file_errors_ = 0;
  std::uint64_t version_ = 0;
  std::uint64_t next_options_version_ = 1;
};

} // namespace skerry::edge
