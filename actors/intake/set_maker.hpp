#pragma once

// Makes the series sets of one source: of a scraped target, of a host whose samples are pushed. New series are appended
// as new sets, cut at families and at the bounds of a set; sets that exist stay, so that their hashes do. Small sets at
// the tail are made anew with what comes after them, so that series that trickle in do not leave a set each: sizes double,
// and a series is moved a bounded number of times. A set whose families are described otherwise is made anew a bounded
// number of times.
//
// Sets hold `hash` and `encoded` alone: whoever needs members decodes. One thread at a time.

#include "actors/intake/series_interner.hpp"
#include "schemas/model/frame.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace skerry::intake {

// A source that changes its help texts all the time does not get a new set each time.
inline constexpr std::uint8_t set_metadata_changes_max = 16;
inline constexpr std::size_t set_text_bytes_max =
    set_bytes_max / 2; // labels and metadata, before they are encoded

// What they take of set_text_bytes_max, about.
[[nodiscard]] std::size_t text_bytes(const labels& all) noexcept;
[[nodiscard]] std::size_t text_bytes(const metric_family& family) noexcept;

// New series that are in no set yet, in the order of their references.
class pending_series {
public:
  // Sets are cut between groups; 0: in none. True: no other one has this family.
  bool add(const metric_family& family, labels all, std::uint32_t group = 0);
  void redeclare(const metric_family& family); // where one has it
  // What was the order[i]-th becomes the i-th, in the groups[i]-th group.
  void reorder(std::span<const series_ref> order, std::vector<std::uint32_t> groups);

  [[nodiscard]] bool empty() const noexcept { return members_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return members_.size(); }
  [[nodiscard]] const std::vector<metric_family>& families() const noexcept { return families_; }

private:
  friend class set_maker;
  void prepend(pending_series before);

  std::vector<metric_family> families_;                    // by name, each once
  std::unordered_map<std::uint64_t, std::uint32_t> index_; // hash of the name -> families_
  std::vector<series> members_;
  std::vector<std::uint32_t> groups_;
};

// References [first, first + count) in the order of the set's members.
struct made_set {
  series_set_ptr set;
  series_ref first = 0;
  std::uint16_t count = 0;
  std::uint8_t metadata_changes = 0;
  bool grouped = false;              // its series came in a group
  std::uint64_t family_bits = 0;     // bits (family_bit) of the families that it describes
  std::uint64_t described_as_of = 0; // its owner's: the version of metadata with which it was compared last
};
[[nodiscard]] std::uint64_t family_bit(std::uint64_t name_hash) noexcept;

struct set_rules {
  bool whole_families = true; // a family that fits into one set is not spread over two
  std::size_t text_per_series =
      0; // counted a series for what its family may say later; 0: what it says, once a set
};

class set_maker {
public:
  // What a series' family is now, given as it is in its set. nullptr: as it is.
  using describe = std::function<const metric_family*(const metric_family& as_it_is, const labels& all)>;

  explicit set_maker(set_rules rules = {}) : rules_(rules) {}

  // Makes sets of new series, whose references follow on the last. Series that were in small sets before are described
  // anew where `now` is there. The index of the first set that was made: all after it were too.
  std::size_t append(pending_series from, const describe& now = {});
  // False: it stays, as `now` says the same of its families, or it has changed too often, or would be too large.
  bool redescribe(std::size_t index, const describe& now);
  void clear();

  [[nodiscard]] std::span<const made_set> sets() const noexcept { return sets_; }
  // Index of the set that a series is in. Precondition: it is in one.
  [[nodiscard]] std::size_t index_of(series_ref ref) const noexcept;
  void set_described(std::size_t index, std::uint64_t as_of) noexcept {
    sets_[index].described_as_of = as_of;
  }
  [[nodiscard]] series_ref next_ref() const noexcept {
    return sets_.empty() ? 0 : sets_.back().first + sets_.back().count;
  }
  void shrink_to_fit() { sets_.shrink_to_fit(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return bytes_; } // of its sets

private:
  void cut(pending_series from);
  void keep(made_set& known, std::vector<metric_family> families, std::vector<series> members);

  set_rules rules_;
  std::vector<made_set> sets_;
  std::size_t bytes_ = 0;
};

// Writes the section of one set into a frame: values of its series, in their order.
class section_writer {
public:
  section_writer(frame& to, const made_set& of);
  void put(series_ref ref, double value) {
    const auto i = ref - of_.first;
    section_.present[i / 64] |= std::uint64_t{1} << (i % 64);
    to_.values.push_back(value);
  }
  // After the last: where all have values no bits say which do.
  void finish() {
    if (to_.values.size() - values_before_ == of_.count)
      section_.present.clear();
  }

private:
  frame& to_;
  const made_set& of_;
  frame_section& section_;
  std::size_t values_before_;
};

} // namespace skerry::intake
