#pragma once

// A series source in memory, for tests: what a store must answer, in the simplest way. A series is accounted for where
// its labels `site` and `host` say. Not thread-safe while added to.

#include "actors/promql/series_source.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace skerry::promql::test {

struct memory_sample {
  std::int64_t time_ms;
  double value;
};

class memory_source : public series_source {
public:
  void add(labels all, const std::vector<memory_sample>& samples) {
    sort_labels(all);
    const auto at = columns_.try_emplace(all).first;
    auto& column = at->second;
    column.host = {value_of(at->first, "site"), value_of(at->first, "host")};
    for (const auto& s : samples) {
      column.times.push_back(s.time_ms);
      column.values.push_back(s.value);
    }
  }
  void add_metadata(family_metadata m) { metadata_.push_back(std::move(m)); }

  result<void> select(const select_request& request,
                      const std::function<void(const series_view&)>& each) override {
    ++selects;
    last = request;
    if (before_select)
      before_select();
    std::uint64_t loaded = 0;
    for (const auto& [all, column] : columns_) {
      if (request.cancelled && request.cancelled->load())
        return fail(errc::cancelled, "cancelled");
      if (!matching(request, all))
        continue;
      const auto [begin, end] = range_of(request, column);
      loaded += end - begin;
      if (loaded > request.samples_max)
        return fail(errc::exhausted, "over samples_max");
      if (begin != end)
        each({all,
              std::span{column.times}.subspan(begin, end - begin),
              std::span{column.values}.subspan(begin, end - begin),
              {&column.host, 1}});
    }
    return ok();
  }
  result<void> series(const select_request& request,
                      const std::function<void(const labels&)>& each) override {
    for (const auto& [all, column] : columns_)
      if (const auto [begin, end] = range_of(request, column); begin != end && matching(request, all))
        each(all);
    return ok();
  }
  result<std::vector<std::string>> label_names(const select_request& request) override {
    std::set<std::string> names;
    BOOST_OUTCOME_TRYV(series(request, [&](const labels& all) {
      for (const auto& l : all)
        names.insert(l.name);
    }));
    return std::vector<std::string>{names.begin(), names.end()};
  }
  result<std::vector<std::string>> label_values(std::string_view name,
                                                const select_request& request) override {
    std::set<std::string> values;
    BOOST_OUTCOME_TRYV(series(request, [&](const labels& all) {
      if (const auto v = value_of(all, name); !v.empty())
        values.emplace(v);
    }));
    return std::vector<std::string>{values.begin(), values.end()};
  }
  result<std::vector<family_metadata>> metadata() override { return metadata_; }

  int selects = 0;
  select_request last;
  std::function<void()> before_select;

private:
  struct column {
    std::vector<std::int64_t> times;
    std::vector<double> values;
    host_name host; // of the key
  };

  static bool matching(const select_request& request, const labels& all) {
    return std::all_of(request.matchers.begin(), request.matchers.end(),
                       [&](const matcher& m) { return m.matches(value_of(all, m.name())); });
  }
  static std::pair<std::size_t, std::size_t> range_of(const select_request& request, const column& c) {
    const auto begin = std::lower_bound(c.times.begin(), c.times.end(), request.from_ms);
    const auto end = std::upper_bound(begin, c.times.end(), request.to_ms);
    return {static_cast<std::size_t>(begin - c.times.begin()),
            static_cast<std::size_t>(end - c.times.begin())};
  }

  std::map<labels, column> columns_;
  std::vector<family_metadata> metadata_;
};

} // namespace skerry::promql::test
