#pragma once

// Labels as keys of hash tables: a hash of 128 bits, seeded once per process, stands for the labels themselves.
// (Prometheus keys its own tables by 64 bits.)

#include "schemas/model/series.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace skerry::promql {

struct label_key {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  bool operator==(const label_key&) const = default;
};
struct label_key_hash {
  std::size_t operator()(const label_key& k) const noexcept { return static_cast<std::size_t>(k.low); }
};

// Picks labels: those named (`by`, `on`), or all but those named and the metric's name (`without`, `ignoring`).
class label_picker {
public:
  static label_picker only(std::vector<std::string> names);
  static label_picker except(std::vector<std::string> names, bool keep_name = false);

  // `without_name`: the labels are to be read as if the metric had no name.
  [[nodiscard]] label_key key(const labels& all, bool without_name);
  [[nodiscard]] labels pick(const labels& all, bool without_name) const;

private:
  bool only_ = false;
  std::vector<std::string> names_; // sorted, unique
  std::string buffer_;
};

// `to` takes the place of a label's value; empty removes it.
void set_label(labels& all, std::string_view name, std::string value);

} // namespace skerry::promql
