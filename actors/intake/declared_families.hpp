#pragma once

// What a source says of the families that its sets describe: which are described otherwise since those sets were made.
// Keeps two hashes a family. One thread at a time.

#include "actors/intake/set_maker.hpp"

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace skerry::intake {

class declared_families {
public:
  // Sets describe them so from now on.
  void keep(std::span<const metric_family> fresh);
  // The source says this of a family now. Nothing, where no set describes it, or so already.
  void declare(const metric_family& family);

  [[nodiscard]] bool any_changed() const noexcept { return !changed_.empty(); }
  // Whether a set may describe one that changed.
  [[nodiscard]] bool may_concern(const made_set& set) const noexcept {
    return (set.family_bits & changed_bits_) != 0;
  }
  // nullptr: as it is.
  [[nodiscard]] const metric_family* changed(const metric_family& as_it_is) const;
  void settle(); // the sets were made anew
  void clear();

  void shrink_to_fit() { known_.shrink_to_fit(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return known_.capacity() * sizeof(decltype(known_)::value_type);
  }

private:
  std::vector<std::pair<std::uint64_t, std::uint64_t>> known_; // hash of the name, of all; sorted
  std::unordered_map<std::uint64_t, metric_family> changed_;   // by hash of the name
  std::uint64_t changed_bits_ = 0;
};

} // namespace skerry::intake
