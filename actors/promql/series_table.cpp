#include "actors/promql/series_table.hpp"

namespace skerry::promql {

namespace {

// The list may have room for as many series again.
std::uint64_t bytes_beside_values(const labels& metric) {
  return 2 * sizeof(held_series) + memory_of(metric) + sizeof(label_key) + table_entry_bytes;
}

} // namespace

series_table::added series_table::add(labels metric, std::span<const double> values) {
  const auto present = count_present(values);
  const auto [found, fresh] = by_labels_.try_emplace(whole_.key(metric, false), all_.size());
  if (!held_.add(present, fresh ? values.size() : 0, fresh ? bytes_beside_values(metric) : 0))
    return added::fine; // failed
  if (fresh) {
    all_.push_back({std::move(metric), {values.begin(), values.end()}});
    return added::fine;
  }
  if (policy_ == same_labels::refuse)
    return added::clash;
  auto& into = all_[found->second].values;
  for (std::size_t k = 0; k < values.size(); ++k) {
    if (is_absent(values[k]))
      continue;
    if (!is_absent(into[k]))
      return added::clash;
    into[k] = values[k];
  }
  return added::fine;
}

void series_table::add_or_fail(labels metric, std::span<const double> values) {
  if (add(std::move(metric), values) == added::clash)
    ev_.fail(errc::invalid_argument, std::string{clash_message});
}

void series_table::hand_over(const series_sink& sink) {
  by_labels_.clear();
  for (auto& s : all_) {
    if (ev_.stopped())
      break;
    if (any_present(s.values))
      sink({&s.metric, false, s.values});
    held_.remove(0, s.values.size(), memory_of(s.metric));
    s = {};
  }
  clear();
}

void series_table::clear() {
  all_.clear();
  by_labels_.clear();
  held_.clear();
}

} // namespace skerry::promql
