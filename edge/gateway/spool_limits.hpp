#pragma once

// Keeps a spool within its limits: what they force out is replaced by tombstones over the same sequences, which are
// delivered like data. Plain logic over the `spool` interface; on the spool's writer thread.

#include "actors/base/log_limiter.hpp"
#include "actors/base/planted.hpp"
#include "actors/delivery/claims.hpp"
#include "edge/spool/spool.hpp"
#include "schemas/model/payload.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace skerry::edge {

enum class full_policy : std::uint8_t {
  drop_oldest, // the oldest records make room
  drop_newest, // what comes is not taken, and reported as not collected
  thin_oldest, // of the oldest records one a step and source stays; thinned already, they go
};

struct spool_limits_config {
  full_policy policy = full_policy::drop_oldest;
  std::chrono::nanoseconds thin_step = std::chrono::minutes{1};
  std::chrono::nanoseconds age_max{0}; // records that wait for longer are dropped; 0: never
  std::uint64_t free_disk_min = 0;     // the disk keeps so much free; 0: not looked at
  planted_faults planted = nullptr;    // by the simulator alone

  [[nodiscard]] result<void> validate() const;
};

struct spool_limits_counters {
  std::uint64_t dropped_records = 0;
  std::uint64_t thinned_records = 0;
  std::uint64_t dropped_samples = 0; // thinned ones too
};

class spool_limits {
public:
  // `free_disk` tells the free bytes of the spool's disk (may be empty); `replaced` is given every run that took the
  // place of others, and whether it is a loss that is to be told soon (else thinned data); nobody can claim it until
  // claims::told().
  spool_limits(spool_limits_config config, std::shared_ptr<spool> store,
               std::shared_ptr<delivery::claims> claims, std::function<std::uint64_t()> free_disk,
               std::function<void(run, bool loss)> replaced);

  // The spool took nothing: frees its oldest part that the receiver takes nothing of, whatever the policy; else its oldest
  // one that can be. False: none can (now), or the policy is drop_newest.
  bool make_room();
  // Why a spool that takes nothing is full: its disk, or what it may take of it.
  [[nodiscard]] loss_cause full_cause() const;
  // From time to time: age and free disk.
  void enforce();

  [[nodiscard]] const spool_limits_counters& counters() const noexcept { return counters_; }

private:
  enum class way : std::uint8_t {
    drop,
    thin,
    clear, // as drop; tombstones alone are moved out of a part that ends with that
  };
  bool drop_refused(loss_cause cause);
  struct free_content {
    bool any = false;
    bool but_alerts = false; // anything but those
  };
  // What of it is not under way. Reads nothing.
  [[nodiscard]] free_content what_is_free(const spool::oldest_part& part) const;
  bool shrink(const spool::oldest_part& part, loss_cause cause, way how);
  // Nobody has any of it under way, and nothing is added to it.
  [[nodiscard]] bool is_settled(const stream_key& key, const range_set& held, const range_set& free) const;
  // Tombstones of that cause beside a sequence, in their order, in closed parts and not under way: they join what goes.
  std::vector<byte_buffer> stones_before(const stream_key& key, sequence first, sequence above,
                                         loss_cause cause);
  std::vector<byte_buffer> stones_after(const stream_key& key, sequence last, const range_set& not_in,
                                        loss_cause cause);
  std::optional<record_view> stone_at(const run& from, const stream_key& key, sequence at, loss_cause cause);

  spool_limits_config config_;
  std::shared_ptr<spool> store_;
  std::shared_ptr<delivery::claims> claims_;
  std::function<std::uint64_t()> free_disk_;
  std::function<void(run, bool loss)> replaced_;
  spool_limits_counters counters_;
  log_limiter failure_log_{1};
  log_limiter drop_log_{10};
};

} // namespace skerry::edge
