#include "edge/collect/local_source.hpp"

#include <prometheus/counter.h>
#include <spdlog/spdlog.h>

#include <utility>

namespace skerry::edge {

local_source::local_source(std::unique_ptr<host_collectors> collectors, const std::string& job,
                           const std::string& instance, prometheus::Counter& dropped)
    : collectors_(std::move(collectors)), own_{{"instance", instance}, {"job", job}}, dropped_(dropped) {}

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
  std::size_t dropped = 0;
  const labels* which = nullptr;
  for (const auto& family : families_) {
    for (const auto& sample : family.samples) {
      if (at == known_.size())
        known_.emplace_back();
      const auto ref = ref_of(family.family, sample.all, known_[at++]);
      if (ref == no_series || !assembler_.add(ref, sample.value)) {
        ++dropped;
        which = &sample.all;
      }
    }
  }
  known_.resize(at);
  if (dropped != 0)
    dropped_.Increment(static_cast<double>(dropped));
  if (std::exchange(said_, dropped) != dropped && dropped != 0)
    spdlog::warn(
        "collect: {} samples of this machine's own are not kept in each collection, as their series are "
        "there twice or over a bound: {}",
        dropped, to_string(*which));
  return assembler_.finish(time_ns, monotonic_ns, host);
}

} // namespace skerry::edge
