#include "cloud/store/data_changes.hpp"

#include <algorithm>

namespace skerry::cloud {

namespace {

constexpr std::int64_t granule_ns = 10'000'000'000; // changes are told apart so far
constexpr std::size_t changes_max = 32'768;         // over three days of fresh data

} // namespace

void data_changes::note(std::int64_t from_ns) {
  if (from_ns > INT64_MIN + granule_ns)
    from_ns -= ((from_ns % granule_ns) + granule_ns) % granule_ns;
  const std::lock_guard lock{mutex_};
  ++version_;
  while (!changes_.empty() && changes_.back().from_ns >= from_ns)
    changes_.pop_back();
  changes_.push_back({version_, from_ns});
  if (changes_.size() > changes_max) {
    forgotten_ = changes_.front().version;
    changes_.pop_front();
  }
}

std::uint64_t data_changes::version() const {
  const std::lock_guard lock{mutex_};
  return version_;
}

std::int64_t data_changes::changed_since(std::uint64_t version) const {
  const std::lock_guard lock{mutex_};
  if (version < forgotten_)
    return INT64_MIN;
  const auto after = std::upper_bound(changes_.begin(), changes_.end(), version,
                                      [](std::uint64_t v, const change& c) { return v < c.version; });
  return after == changes_.end() ? INT64_MAX : after->from_ns;
}

} // namespace skerry::cloud
