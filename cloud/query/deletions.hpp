#pragma once

// What an operator deleted (POST /api/v1/admin/tsdb/delete_series): stands between queries and the store and hides the
// samples of the series that match, in the time range that was given. Kept in the store's state, hence over restarts;
// the bytes go with their partition, at the end of the retention. Samples that come later with such times are hidden
// as well.
//
// Any thread.

#include "actors/promql/passing_source.hpp"
#include "cloud/store/engine.hpp"

#include <memory>
#include <mutex>
#include <vector>

namespace skerry::cloud {

inline constexpr std::size_t deletions_max = 1'000; // each costs every series of a query a comparison

class deletions final : public promql::passing_source {
public:
  // Reads back what was deleted before.
  [[nodiscard]] static result<std::unique_ptr<deletions>> open(std::shared_ptr<engine> store);

  // Hides [from, to] of every series that matches one of the selectors, but nothing after now: a series that goes on is
  // seen again. On stable storage on return. exhausted: too many already, or the store takes nothing now. Noted as a
  // change of the data from from_ms on.
  [[nodiscard]] result<void> remove(const std::vector<std::vector<promql::matcher>>& selectors,
                                    std::int64_t from_ms, std::int64_t to_ms, std::int64_t now_ms);

  result<void> series(const promql::select_request& request,
                      const std::function<void(const labels&)>& each) override;

private:
  struct deletion {
    std::vector<promql::matcher> matchers;
    std::int64_t from_ms = 0;
    std::int64_t to_ms = 0;
  };
  using list = std::vector<deletion>;

  explicit deletions(std::shared_ptr<engine> store) : passing_source(*store), store_(std::move(store)) {}
  [[nodiscard]] promql::select_request asked(const promql::select_request& request) override;
  [[nodiscard]] promql::each_series pass(const promql::select_request& request,
                                         const promql::each_series& each) override;
  [[nodiscard]] std::shared_ptr<const list> within(const promql::select_request& request) const;

  std::shared_ptr<engine> store_;
  mutable std::mutex mutex_;
  list all_;
  std::uint64_t next_key_ = 0;
};

} // namespace skerry::cloud
