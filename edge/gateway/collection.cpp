#include "edge/gateway/collection.hpp"

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace skerry::edge {

namespace {

stream_id stream_of(const pending_record& record) noexcept { return policy_of(record.kind).stream; }

} // namespace

std::map<stream_id, collection> by_stream(collection from) {
  std::map<stream_id, collection> out;
  const auto first = from.records.empty() ? stream_id::telemetry : stream_of(from.records.front());
  if (std::all_of(from.records.begin(), from.records.end(),
                  [&](const auto& record) { return stream_of(record) == first; })) {
    out.emplace(first, std::move(from));
    return out;
  }
  for (auto& record : from.records) {
    auto& to = out[stream_of(record)];
    if (policy_of(record.kind).names_sets && to.sets.empty()) {
      to.sets = from.sets;
      to.samples = from.samples;
    }
    to.records.push_back(std::move(record));
  }
  if (from.done) {
    const auto done = when_all(out.size(), std::move(from.done));
    for (auto& [stream, part] : out)
      part.done = done;
  }
  return out;
}

std::function<void(const result<void>&)> when_all(std::size_t count,
                                                  std::function<void(const result<void>&)> done) {
  struct waiting {
    std::mutex mutex;
    std::size_t left = 0;
    std::optional<error> failed;
    std::function<void(const result<void>&)> done;
  };
  const auto all = std::make_shared<waiting>();
  all->left = count;
  all->done = std::move(done);
  return [all](const result<void>& how) {
    bool last = false;
    {
      const std::lock_guard lock{all->mutex};
      if (!how)
        all->failed = how.error();
      last = --all->left == 0;
    }
    if (last)
      all->done(all->failed ? result<void>{*all->failed} : result<void>{ok()});
  };
}

} // namespace skerry::edge
