#pragma once

// The series that are read of one place, by labels: series of several sets, logs and partitions with the same labels are
// one column. One thread; made once and used for one place after the other.

#include "cloud/store/symbols.hpp"

#include <boost/container/small_vector.hpp>

#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace skerry::cloud {

struct series_column {
  labels all;
  std::vector<std::int64_t> times; // nanoseconds while it is read, then milliseconds
  std::vector<double> values;
  std::int64_t newest_ns = INT64_MIN; // of its times, for who reads only the newest

  void add(std::int64_t time_ns, double value);
  // For so many first samples at once: growing bit by bit is most of what a short query allocates.
  void make_room(std::size_t samples);
  // Milliseconds, ascending, each once: samples of one time are resolved, of several within a millisecond the last
  // stands.
  void settle();
};

class place_columns {
public:
  // Begins a place. What take() did not give is gone.
  void start();
  // Appends the columns of these members of a set, ascending, in their order. `site` stands beside their labels; it is
  // valid until the next place begins.
  void columns_of(const compact_set_ptr& set, std::string_view site, const set_members& members,
                  std::vector<std::uint32_t>& to);
  [[nodiscard]] series_column& operator[](std::uint32_t column) { return columns_[column]; }
  [[nodiscard]] const series_column& operator[](std::uint32_t column) const { return columns_[column]; }
  [[nodiscard]] std::size_t size() const noexcept { return columns_.size(); }
  // All of the place, settled.
  [[nodiscard]] std::vector<series_column> take();

private:
  struct set_columns {
    compact_set_ptr set;
    std::string_view site;
    boost::container::small_vector<std::pair<std::uint16_t, std::uint32_t>, 4> of_members; // ascending
  };
  // Who made a column: its labels are that member's.
  struct maker {
    const compact_set* set;
    std::string_view site;
    std::uint16_t member;
  };
  // The column that another set's member made, or an equal one of the same set.
  [[nodiscard]] std::optional<std::uint32_t> find(const set_columns& in, std::uint16_t member);
  [[nodiscard]] set_columns& of_set(const compact_set_ptr& set, std::string_view site, std::size_t members);

  std::vector<series_column> columns_;
  std::vector<set_columns> by_set_;
  std::unordered_multimap<set_hash, std::size_t> set_index_; // into by_set_, once they are not few any more
  std::vector<maker> makers_;                                // of the columns
  std::unordered_multimap<std::uint64_t, std::uint32_t> by_labels_; // of the first `indexed_` columns
  std::size_t indexed_ = 0;
};

} // namespace skerry::cloud
