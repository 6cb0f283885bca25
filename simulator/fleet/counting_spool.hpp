#pragma once

// A spool that tells a tally what goes through it; everything else is the spool behind it. Threads as `spool`.

#include "edge/spool/spool.hpp"
#include "simulator/fleet/edge_tally.hpp"

#include <functional>
#include <memory>

namespace skerry::sim {

class counting_spool final : public edge::spool {
public:
  struct conditions {
    bool live = false; // a session stands
    std::int64_t skew_ns = 0;
  };

  // `now` is asked at each commit; `true_ns` is wall time without skew. `tally` must outlive it.
  counting_spool(std::shared_ptr<edge::spool> behind, edge_tally& tally, std::function<conditions()> now,
                 std::function<std::int64_t()> true_ns)
      : behind_(std::move(behind)), tally_(tally), now_(std::move(now)), true_ns_(std::move(true_ns)) {}

  const epoch_id& epoch() const noexcept override { return behind_->epoch(); }
  const edge::open_report& report() const noexcept override { return behind_->report(); }
  result<run> commit(stream_id stream, std::span<const pending_record> records,
                     std::span<const series_set_ptr> sets) override {
    const auto now = now_();
    auto done = behind_->commit(stream, records, sets);
    if (done)
      tally_.committed(done.value(), now.live, now.skew_ns);
    return done;
  }
  result<void> adopt(std::span<const run> runs, std::span<const adopted_set> sets) override {
    return behind_->adopt(runs, sets);
  }
  std::optional<oldest_part> oldest(std::uint64_t after) override { return behind_->oldest(after); }
  range_set in_closed_parts(const stream_key& key) const override { return behind_->in_closed_parts(key); }
  result<void> replace(std::span<const run> with) override {
    auto done = behind_->replace(with);
    if (done)
      for (const auto& one : with)
        tally_.replaced(one);
    return done;
  }
  result<void> release(const stream_key& key, const range_set& ranges) override {
    tally_.released(key, ranges, true_ns_());
    return behind_->release(key, ranges);
  }
  result<std::optional<run>> read(const stream_key& key, sequence from,
                                  std::size_t bytes_max) const override {
    return behind_->read(key, from, bytes_max);
  }
  result<std::optional<series_set_ptr>> find_set(edge_id edge, const set_hash& hash) const override {
    return behind_->find_set(edge, hash);
  }
  std::vector<edge::stream_state> streams() const override { return behind_->streams(); }
  edge::spool_usage usage() const override { return behind_->usage(); }
  std::int64_t age_time_ns() override { return behind_->age_time_ns(); }
  void trim_kept(bool all) override { behind_->trim_kept(all); }
  result<std::size_t>
  scan(std::int64_t from_ns, std::int64_t to_ns,
       const std::function<result<void>(const run&, const set_finder&)>& each) const override {
    return behind_->scan(from_ns, to_ns, each);
  }
  result<void> close() override { return behind_->close(); }

private:
  std::shared_ptr<edge::spool> behind_;
  edge_tally& tally_;
  std::function<conditions()> now_;
  std::function<std::int64_t()> true_ns_;
};

} // namespace skerry::sim
