#pragma once

// The named values that the store keeps beside its data (docs/formats.md, "State keys"), and their budget: all of them
// together and those of one edge's streams (`store.state_bytes_max`, `store.state_edge_bytes_max`). They are copied into
// each new log, so that what may lie here bounds what a new log costs.
//
// Read from any thread; changed by the writer's alone.

#include "cloud/store/log_format.hpp"
#include "cloud/store/state.hpp"

#include <atomic>
#include <map>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace skerry::cloud {

inline constexpr std::uint64_t state_value_overhead_bytes =
    128; // what a pair takes in memory besides its bytes
inline constexpr std::uint64_t state_edge_bytes_min =
    64 << 10; // an edge may always have these: those that share a full table go on

// In order, those together that follow each other and are of one kind.
void each_alike(std::span<const state_update> updates,
                const std::function<void(std::span<const state_pair> pairs, bool appends)>& each);

// The edge whose streams a value is about; nullopt: it is the node's own, which has no limit here.
[[nodiscard]] std::optional<edge_id> state_owner(std::string_view key);

class state_table {
public:
  state_table(std::uint64_t bytes_max, std::uint64_t edge_bytes_max)
      : bytes_max_(bytes_max), edge_bytes_max_(edge_bytes_max) {}

  void scan(std::string_view prefix,
            const std::function<void(std::string_view, std::string_view)>& each) const;
  [[nodiscard]] std::vector<state_pair> all() const; // valid until the next change
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

  void clear();
  void apply(std::span<const state_pair> pairs);  // an empty value deletes
  void append(std::span<const state_pair> pairs); // behind what is there

private:
  friend class state_admission;
  static std::uint64_t cost(std::string_view key, std::string_view value) noexcept {
    return value.empty() ? 0 : key.size() + value.size() + state_value_overhead_bytes;
  }
  void charge(std::string_view key, std::uint64_t before, std::uint64_t after);

  const std::uint64_t bytes_max_;
  const std::uint64_t edge_bytes_max_;
  mutable std::shared_mutex mutex_;
  std::map<std::string, std::string, std::less<>> values_;
  std::unordered_map<edge_id, std::uint64_t> of_edges_; // writer's
  std::atomic<std::uint64_t> bytes_{0};
};

// Which requests of one group commit fit. What makes an edge's state smaller always does.
class state_admission {
public:
  explicit state_admission(const state_table& table) : table_(table) {}
  // exhausted: the values of this request do not fit; nothing of it is counted. The updates must outlive this.
  [[nodiscard]] result<void> admit(std::span<const state_update> updates);

private:
  [[nodiscard]] std::uint64_t cost_before(std::string_view key) const;
  [[nodiscard]] std::uint64_t cost_after(const state_update& update) const;

  const state_table& table_;
  std::unordered_map<std::string_view, std::uint64_t> costs_; // of what the group changes
  std::unordered_map<edge_id, std::int64_t> of_edges_;        // by how much the group changes them
  std::int64_t all_ = 0;
};

} // namespace skerry::cloud
