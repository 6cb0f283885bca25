#include "edge/collect/local_source.hpp"

namespace skerry::edge {

local_source::local_source(std::unique_ptr<host_collectors> collectors, const std::string& job,
                           const std::string& instance)
    : collectors_(std::move(collectors)), own_{{"instance", instance}, {"job", job}} {}

series_ref local_source::ref_of(const metric_family& family, const labels& collected, known_sample& known) {
  if (known.ref != no_series && known.as_collected == collected)
    return known.ref;
  auto all = collected;
  all.insert(all.end(), own_.begin(), own_.end());
  sort_labels(all);
  known.as_collected = collected;
  known.ref = assembler_.intern(family, all);
  return known.ref;
}

collection local_source::collect(std::int64_t time_ns, std::int64_t monotonic_ns, std::string_view host) {
  collectors_->collect(families_);
  if (epoch_ != assembler_.refs_epoch()) {
    epoch_ = assembler_.refs_epoch();
    known_.clear();
  }
  assembler_.begin();
  std::size_t at = 0;
  for (const auto& family : families_) {
    for (const auto& sample : family.samples) {
      if (at == known_.size())
        known_.emplace_back();
      if (const auto ref = ref_of(family.family, sample.all, known_[at++]); ref != no_series)
        assembler_.add(ref, sample.value);
    }
  }
  known_.resize(at);
  return assembler_.finish(time_ns, monotonic_ns, host);
}

} // namespace skerry::edge
