#pragma once

// Entries of the ledger as rows, of which there are never more than a bound, whatever an edge sends: entries of one kind,
// cause, host and stream become one row where they touch, or lie less than a gap apart. Where there would be too many
// rows the gap grows, and in the end those of one edge and cause become one. A row says less than its entries then, and
// never that less is missing. Plain logic; not thread-safe.

#include "cloud/ledger/completeness.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace skerry::cloud {

class loss_rows {
public:
  // `gap_ns` is between tombstones, and `thinned_gap_ns` between those of what was thinned, where that is more: one of them
  // stands between each two frames that stayed. What was not collected becomes one where it touches.
  explicit loss_rows(std::size_t rows_max, std::int64_t gap_ns = 0, std::int64_t thinned_gap_ns = 0)
      : rows_max_(rows_max), gap_ns_(gap_ns), thinned_gap_ns_(thinned_gap_ns) {}

  void add(loss_entry entry);
  [[nodiscard]] std::vector<loss_entry> take(); // by time

private:
  // Site, host, stream without its epoch, whether it was collected, cause, detail, why it was taken back.
  using row_key =
      std::tuple<std::string, std::string, stream_key, bool, loss_cause, std::string, std::string>;
  using rows_of_key = std::map<std::int64_t, loss_entry>; // by begin; none touches another

  [[nodiscard]] row_key key_of(const loss_entry& entry) const;
  void insert(loss_entry entry);
  void coarsen();

  const std::size_t rows_max_;
  std::int64_t gap_ns_;
  const std::int64_t thinned_gap_ns_;
  bool by_edge_ = false; // all hosts and streams of an edge together
  std::map<row_key, rows_of_key> rows_;
  std::size_t count_ = 0;
};

} // namespace skerry::cloud
