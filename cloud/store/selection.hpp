#pragma once

// Answers queries over a snapshot of logs and partitions. Series of any origin with the same labels are one;
// equal samples merge, different ones are resolved by a rule that does not know the order of arrival. Works
// host by host, so that memory is bounded by one host's samples. Any thread; one object per query.

#include "cloud/store/log_env.hpp"
#include "cloud/store/partitions.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

namespace skerry::cloud {

// Taken at one moment: a log that is missing here is sealed into these partitions.
struct store_snapshot {
  std::vector<std::shared_ptr<const log_env>> logs;
  std::vector<partition_id> partitions;
};

class selection {
public:
  selection(store_snapshot from, partition_catalog& partitions, const set_registry& sets,
            store_metrics& metrics, const promql::select_request& request);

  [[nodiscard]] result<void> select(const std::function<void(const promql::series_view&)>& each);
  [[nodiscard]] result<void> series(const std::function<void(const labels&)>& each);
  [[nodiscard]] result<std::vector<std::string>> label_names();
  [[nodiscard]] result<std::vector<std::string>> label_values(std::string_view name);
  [[nodiscard]] result<std::vector<promql::family_metadata>> metadata();

private:
  using members = std::vector<std::uint16_t>;
  struct head_hit {
    std::size_t log = 0;
    const head_source* source = nullptr;
    std::vector<std::shared_ptr<const members>> of_sets; // null: none
  };
  struct partition_hit {
    std::size_t partition = 0;
    partition_source source;
    members of_set;
  };
  struct place {
    std::vector<head_hit> heads;
    std::vector<partition_hit> partitions;
  };
  using place_key = std::pair<std::string, std::string>; // site, host
  struct opened {
    std::shared_ptr<partition> owner; // outlives the reader
    partition_reader reader;
  };
  struct column {
    labels all;
    std::vector<std::pair<std::int64_t, double>> samples;
    bool ascending = true;
  };
  struct table {
    std::vector<column> columns;
    std::unordered_multimap<std::uint64_t, std::uint32_t> by_labels;
    std::map<std::pair<set_hash, std::uint16_t>, std::uint32_t> by_member;
  };

  result<void> open_partitions();
  result<void> find();
  [[nodiscard]] bool place_matches(std::string_view site, std::string_view host) const;
  void find_in_log(std::size_t log, set_matcher& matcher);
  result<void> find_in_partition(std::size_t partition);
  std::uint32_t column_of(table& t, const set_hash& set, std::uint16_t member,
                          const std::function<labels()>& make);
  result<void> read_head(const head_hit& hit, const place_key& at, table& t);
  result<void> read_partition(const partition_hit& hit, table& t);
  result<void> add(column& to, std::int64_t time_ns, double value);
  result<void> emit(column& c, const std::function<void(const promql::series_view&)>& each);
  // The columns of the members that hit, in their order.
  result<void> columns_of(const partition_hit& hit, table& t, std::vector<std::uint32_t>& columns);
  // Damage in one place must not hide the rest: counted, logged, and left out.
  bool passable(const error& e, const char* what);
  [[nodiscard]] result<void> go_on() const;

  store_snapshot from_;
  partition_catalog& partitions_;
  const set_registry& sets_;
  store_metrics& metrics_;
  const promql::select_request& request_;
  std::int64_t from_ns_ = 0;
  std::int64_t to_ns_ = 0;
  std::vector<promql::matcher> place_matchers_;
  std::vector<promql::matcher> label_matchers_;
  std::vector<opened> opened_;
  std::map<place_key, place> places_;
  std::uint64_t samples_ = 0;
  std::vector<std::int64_t> times_ms_;
  std::vector<double> values_;
};

} // namespace skerry::cloud
