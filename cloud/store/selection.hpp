#pragma once

// Answers queries over a snapshot of logs and partitions. Series of any origin with the same labels are one, whichever
// host they are accounted for; equal samples merge, different ones are resolved by a rule that does not know the order
// of arrival. Works host by host, so that memory is bounded by the samples of a few hosts: the threads of a read_pool
// read ahead of the one that asked. Hosts that have a series in common are read as one. Any thread; one object per query.

#include "cloud/store/place_reader.hpp"
#include "cloud/store/read_pool.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

namespace skerry::cloud {

class selection {
public:
  selection(store_snapshot from, const store_parts& parts, read_pool& helpers,
            const promql::select_request& request);

  // Looks up what there is, once, before read() of its shards: hosts that follow each other. One where reading side by
  // side would not pay.
  [[nodiscard]] result<void> prepare();
  [[nodiscard]] std::size_t shards() const noexcept { return shards_; }
  // See promql::selected.
  void run(const std::function<void(std::size_t shard)>& work);
  [[nodiscard]] result<void> read(std::size_t shard, const promql::each_series& each);

  // Hosts in order of site and name; `each` is called on this thread.
  [[nodiscard]] result<void> select(const promql::each_series& each);
  [[nodiscard]] result<void> series(const std::function<void(const labels&)>& each);
  [[nodiscard]] result<std::vector<std::string>> label_names();
  [[nodiscard]] result<std::vector<std::string>> label_values(std::string_view name);
  [[nodiscard]] result<std::vector<promql::family_metadata>> metadata();

private:
  struct lookahead;

  result<void> read_ahead(const promql::each_series& each);
  result<void> open_partitions();
  result<void> find();
  void find_in_log(std::size_t log, set_matcher& matcher);
  // Those of `members` whose label `site` matches, with `site` beside the labels.
  [[nodiscard]] const set_members* having_site(const compact_set& set, const set_members& members,
                                               std::string_view site);
  [[nodiscard]] bool site_matches(std::string_view site) const;
  // Makes one of places that have a series with the same labels.
  result<void> join_places();
  struct place_number;
  result<void> each_kin(std::uint32_t place, std::vector<place_number>& into) const;
  struct kin_members;
  result<void> each_member(const place_number& of, kin_members& into) const;
  result<void> find_in_partition(std::size_t partition);
  [[nodiscard]] place& place_of(std::string_view site, std::string_view host);
  template <class Each>
  void each_source(Each&& each); // of the logs, where its times overlap what is asked
  template <class Each>
  result<void> each_reader(const char* what, Each&& each);
  // Damage in one place must not hide the rest: it is noted, and left out.
  [[nodiscard]] bool passable(const error& e, const partition& in, const char* what);
  [[nodiscard]] result<void> go_on() const;

  store_snapshot from_;
  store_parts parts_;
  read_pool& helpers_;
  const promql::select_request& request_;
  promql::memory_hold found_held_; // for found_
  read_bounds bounds_;
  std::vector<promql::matcher> site_matchers_;
  std::vector<promql::matcher> label_matchers_;
  std::vector<std::shared_ptr<partition>> opened_;
  std::unordered_map<const compact_set*, set_members> matched_; // hits point into it; the logs hold the sets
  std::deque<set_members> of_site_;                             // and into this
  using place_name = std::pair<std::string_view, std::string_view>; // in the place's first hit
  struct name_hash {
    std::size_t operator()(const place_name& name) const noexcept {
      return std::hash<std::string_view>{}(name.first) * 31 + std::hash<std::string_view>{}(name.second);
    }
  };
  std::unordered_map<place_name, place, name_hash> found_; // by site and host
  std::vector<place*> places_;                             // of those, in that order
  std::size_t shards_ = 1;
};

} // namespace skerry::cloud
