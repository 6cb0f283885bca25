#pragma once

// Where collectors put their samples: writes into a vector of families that it was given last time too, and
// changes only what differs, so that a collection of known series compares text but allocates nothing.

#include "edge/collect/source.hpp"

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::edge::host {

inline constexpr std::size_t label_bytes_max = 4096; // of one value; a path has no more. The rest is cut off.

struct label_view {
  std::string_view name;
  std::string_view value; // empty: the label is left out
};

// A family that a collector is about to fill. It appears with its first sample; its texts must live until
// then.
struct open_family {
  static constexpr std::uint32_t unplaced = UINT32_MAX;

  std::string_view name;
  metric_type type = metric_type::gauge;
  std::string_view help;
  std::uint32_t at = unplaced; // its place among the families, once it has one
};

class family_sink {
public:
  explicit family_sink(std::vector<collected_family>& out) noexcept : out_(out) {}

  void begin(); // of a collection: what is in `out` may be overwritten
  void begin_collector(std::size_t series_max) noexcept;
  // Labels sorted by name, without __name__. Samples of different families may come in any order.
  void add(open_family& family, double value, std::span<const label_view> labels);
  void add(open_family& family, double value, std::initializer_list<label_view> labels = {}) {
    add(family, value, std::span(labels.begin(), labels.size()));
  }
  void single(std::string_view name, metric_type type, std::string_view help, double value);
  void append(const std::vector<collected_family>& from); // all of another sink's families
  void finish();                                          // drops what was left over from the last collection

  [[nodiscard]] std::size_t dropped() const noexcept { return dropped_; } // samples, since begin_collector

private:
  void place(open_family& family);

  std::vector<collected_family>& out_;
  std::vector<std::size_t> counts_; // samples in each family so far
  std::size_t series_max_ = 0;
  std::size_t series_ = 0;
  std::size_t dropped_ = 0;
};

} // namespace skerry::edge::host
