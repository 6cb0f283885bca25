#pragma once

// All partitions of a store: opens them when they are needed, closes the least used beyond a bound, sets
// damaged ones aside and notes what is missing so, deletes those past retention. Thread-safe.

#include "cloud/store/damage_ledger.hpp"
#include "cloud/store/data_changes.hpp"
#include "cloud/store/partition.hpp"
#include "cloud/store/store_metrics.hpp"

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace skerry::cloud {

class partition_catalog {
public:
  partition_catalog(std::filesystem::path root, std::filesystem::path damaged, std::size_t open_max,
                    store_metrics& metrics, data_changes& changes, damage_ledger& damages);

  // Reads the names; opens nothing. What was set aside before is noted again, if it is not known.
  [[nodiscard]] result<void> load();
  // Those that overlap [from, to], newest first.
  [[nodiscard]] std::vector<partition_id> overlapping(std::int64_t from_ns, std::int64_t to_ns) const;
  // not_found: there is none (any more). corrupt: it was set aside just now.
  [[nodiscard]] result<std::shared_ptr<partition>> open(const partition_id& id);
  // Makes it when it is absent, or a new one when the old one is damaged.
  [[nodiscard]] result<std::shared_ptr<partition>> open_to_write(const partition_id& id);
  // The newest sample of any; INT64_MIN: there is none. Opens those that may have it.
  [[nodiscard]] std::int64_t newest_ns();
  struct size_of_one {
    partition_id id;
    std::uint64_t samples = 0; // as far as it was opened
  };
  // Those that end before.
  [[nodiscard]] std::vector<size_of_one> ending_before(std::int64_t time_ns) const;
  // Deletes it, whoever reads it.
  void expire(const partition_id& id);
  // Checks it again before it is opened the next time, which is as soon as nobody reads it.
  void distrust(const partition_id& id);
  void note_samples(const partition_id& id, std::uint64_t samples);
  [[nodiscard]] std::uint64_t samples() const; // as far as they were opened
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] damage_ledger& damages() noexcept { return damages_; }
  [[nodiscard]] std::filesystem::path path_of(const partition_id& id) const { return root_ / to_string(id); }

private:
  struct slot {
    std::mutex opening;
    std::shared_ptr<partition> open;
    bool checked = false;
    bool distrusted = false;
    bool gone = false; // deleted or set aside: never open it again
    std::atomic<std::uint64_t> used_at{0};
    std::atomic<std::uint64_t> samples{0};
  };
  result<std::shared_ptr<partition>> open_slot(const partition_id& id, slot& in);
  void close_least_used();

  const std::filesystem::path root_;
  const std::filesystem::path damaged_;
  const std::size_t open_max_;
  store_metrics& metrics_;
  data_changes& changes_;
  damage_ledger& damages_;
  mutable std::mutex mutex_; // of the map; never held while a partition is opened
  std::map<partition_id, std::shared_ptr<slot>> slots_;
  std::atomic<std::uint64_t> uses_{0};
};

} // namespace skerry::cloud
