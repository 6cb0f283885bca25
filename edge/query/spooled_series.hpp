#pragma once

// What a spool holds, as a source for queries: what waits for the link, and what was delivered and is kept for a
// while (spool.local_retention). So a crew can look while the link is down. Every request reads the segments of its
// time range from disk; nothing is kept in memory but the decoded series sets, up to `sets_bytes_max` of them. Series have the
// labels of the data: the site is put beside them at the cloud. What is damaged is left out, and handed to repair.
//
// Any thread, several at once.

#include "actors/promql/series_source.hpp"
#include "edge/spool/spool.hpp"

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

namespace skerry::edge {

class spooled_series final : public promql::series_source {
public:
  static constexpr std::size_t sets_bytes_max = 32 << 20;

  explicit spooled_series(std::shared_ptr<const spool> store) : store_(std::move(store)) {}

  result<void> select(const promql::select_request& request,
                      const std::function<void(const promql::series_view&)>& each) override;
  result<void> series(const promql::select_request& request,
                      const std::function<void(const labels&)>& each) override;
  result<std::vector<std::string>> label_names(const promql::select_request& request) override;
  result<std::vector<std::string>> label_values(std::string_view name,
                                                const promql::select_request& request) override;
  result<std::vector<promql::family_metadata>> metadata() override;

  // How often something was left out because it is damaged.
  [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_.load(); }

private:
  struct collected;

  // Fills `into` with what matches; with values or without.
  result<void> collect(const promql::select_request& request, bool values, collected& into);
  result<series_set_ptr> set_of(edge_id edge, const set_hash& hash, const spool::set_finder& find);

  std::shared_ptr<const spool> store_;
  std::atomic<std::uint64_t> left_out_{0};
  std::mutex mutex_;
  std::map<std::pair<edge_id, set_hash>, series_set_ptr> sets_; // all are let go when they take too much
  std::size_t sets_bytes_ = 0;
};

} // namespace skerry::edge
