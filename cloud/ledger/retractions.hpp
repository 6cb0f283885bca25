#pragma once

// Entries of the ledger that an operator has taken back, because an edge was wrong or a key was in the wrong hands. They
// are shown as before, with the reason and the time, and count for no host's completeness. Kept in the store's state.
//
// Any thread.

#include "cloud/ledger/completeness.hpp"
#include "cloud/store/state.hpp"

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace skerry::cloud {

inline constexpr std::size_t retractions_max = 1'000; // each costs every entry that is read a comparison
inline constexpr std::size_t retraction_reason_bytes_max = 1'024;

// Of what `edge` said: the entries that lie within [from, to], event time, both ends included.
struct retraction {
  edge_id edge = edge_id::none;
  std::string host; // empty: of every host
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
  std::int64_t at_ns = 0; // when it was taken back
  std::string reason;
};

class retractions {
public:
  // Reads back what was taken back before.
  [[nodiscard]] static result<std::shared_ptr<retractions>> open(std::shared_ptr<state_store> store);

  // On stable storage on return. invalid_argument: no reason, or one that is too long; exhausted: too many already.
  [[nodiscard]] result<void> add(retraction one);
  // Why the entry was taken back, and when, for people; empty: it was not.
  [[nodiscard]] std::string of(const loss_entry& entry) const;

private:
  explicit retractions(std::shared_ptr<state_store> store) : store_(std::move(store)) {}

  std::shared_ptr<state_store> store_;
  mutable std::mutex mutex_;
  std::vector<retraction> all_;
  std::uint64_t next_key_ = 0;
};

} // namespace skerry::cloud
