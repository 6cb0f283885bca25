#pragma once

// One collector, and the table of all. Inside this folder only.

#include "actors/base/clock.hpp"
#include "edge/collect/host/deadline_runner.hpp"
#include "edge/collect/host/family_sink.hpp"
#include "edge/collect/host/host_config.hpp"
#include "edge/collect/host/stat_file.hpp"
#include "schemas/error.hpp"

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <sys/vfs.h>

namespace skerry::edge::host {

// What collectors share. It outlives them, except those with `may_block`: these can outlive everything but
// what they copy, and may copy from `config` only.
struct collector_context {
  using statfs_function = std::function<int(const char* path, struct statfs* to)>;

  const host_config& config;
  clock_source& clock;
  stat_file& stat;                   // /proc/stat, read once per collection
  deadline_runner& runner;           // for single calls that can hang
  statfs_function statfs = ::statfs; // a test's own may hang
};

class collector {
public:
  virtual ~collector() = default;
  // not_found: this host has nothing of the kind; reported as no success, but neither logged nor counted.
  // Every other error is a failure. What was added before it stays.
  [[nodiscard]] virtual result<void> collect(family_sink& sink) = 0;
};

struct collector_entry {
  std::string_view name;
  bool on_by_default;
  bool may_block; // reads hardware that can hang: runs on the helper thread, against a deadline
  std::unique_ptr<collector> (*make)(const collector_context& context);
};

[[nodiscard]] std::span<const collector_entry> collector_table() noexcept; // sorted by name

} // namespace skerry::edge::host
