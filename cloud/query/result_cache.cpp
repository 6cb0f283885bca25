#include "cloud/query/result_cache.hpp"

#include "actors/promql/ast_print.hpp"
#include "actors/promql/passing_source.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <algorithm>

namespace skerry::cloud {

using promql::matrix_series;
using promql::matrix_value;
using promql::time_range;

namespace {

constexpr std::size_t entry_share_max = 4;       // an entry takes at most this part of all bytes
constexpr std::size_t hosts_max = 10'000;        // noted with an entry; one that read more is not kept
constexpr std::size_t label_overhead_bytes = 64; // of two strings

struct host_span {
  std::int64_t from_ms = INT64_MAX;
  std::int64_t to_ms = INT64_MIN;

  void add(std::int64_t from, std::int64_t to) {
    from_ms = std::min(from_ms, from);
    to_ms = std::max(to_ms, to);
  }
};
using host_spans = std::map<std::pair<std::string, std::string>, host_span>;

// Passes everything on and notes which hosts were asked for, and which were read.
class watching_source final : public promql::passing_source {
public:
  watching_source(promql::series_source& inner, host_spans& hosts, host_spans& asked)
      : passing_source(inner), hosts_(hosts), asked_(asked) {}

private:
  promql::select_request asked(const promql::select_request& request) override {
    const std::lock_guard lock{mutex_};
    asked_[place_asked(request)].add(request.from_ms, request.to_ms);
    return request;
  }

  promql::each_series pass(const promql::select_request& request, const promql::each_series& each) override {
    return [this, &each, from_ms = request.from_ms, to_ms = request.to_ms,
            last = static_cast<const promql::host_name*>(nullptr)](const promql::series_view& view) mutable {
      if (view.hosts.data() != last) {
        last = view.hosts.data();
        note(view.hosts, from_ms, to_ms);
      }
      each(view);
    };
  }

  void note(std::span<const promql::host_name> all, std::int64_t from_ms, std::int64_t to_ms) {
    const std::lock_guard lock{mutex_};
    for (const auto& [site, host] : all)
      if (hosts_.size() <= hosts_max)
        hosts_[{std::string{site}, std::string{host}}].add(from_ms, to_ms);
  }

  std::mutex mutex_;
  host_spans& hosts_;
  host_spans& asked_;
};

std::size_t bytes_of(const matrix_value& all) {
  std::size_t bytes = 0;
  for (const auto& s : all) {
    bytes += sizeof s + s.points.size() * sizeof(promql::point);
    for (const auto& l : s.metric)
      bytes += l.name.size() + l.value.size() + label_overhead_bytes;
  }
  return bytes;
}

// Appends the points of `from` within [first, last] to the series of the same labels. Both are sorted by labels.
void join(matrix_value& to, matrix_value&& from) {
  matrix_value out;
  out.reserve(std::max(to.size(), from.size()));
  auto a = to.begin();
  auto b = from.begin();
  while (a != to.end() || b != from.end()) {
    if (b == from.end() || (a != to.end() && a->metric < b->metric)) {
      out.push_back(std::move(*a++));
    } else if (a == to.end() || b->metric < a->metric) {
      out.push_back(std::move(*b++));
    } else {
      a->points.insert(a->points.end(), b->points.begin(), b->points.end());
      out.push_back(std::move(*a++));
      ++b;
    }
  }
  to = std::move(out);
}

matrix_value slice(const matrix_value& from, std::int64_t first_ms, std::int64_t last_ms) {
  matrix_value out;
  for (const auto& s : from) {
    const auto begin = std::partition_point(s.points.begin(), s.points.end(),
                                            [&](const auto& p) { return p.time_ms < first_ms; });
    const auto end =
        std::partition_point(begin, s.points.end(), [&](const auto& p) { return p.time_ms <= last_ms; });
    if (begin != end)
      out.push_back({s.metric, {begin, end}});
  }
  return out;
}

} // namespace

struct result_cache::kept {
  std::uint64_t version = 0;
  std::int64_t first_ms = 0; // the steps that it knows of, both included
  std::int64_t last_ms = 0;
  matrix_value answer;
  host_spans hosts;
  host_spans asked;
  std::size_t bytes = 0;
};

std::pair<std::string, std::string> place_asked(const promql::select_request& request) {
  std::pair<std::string, std::string> place;
  for (const auto& m : request.matchers)
    if (m.op() == promql::match_op::equal && m.name() == "site")
      place.first = m.value(); // a label `host` says nothing of whom a series is accounted for
  return place;
}

result_cache::result_cache(std::size_t bytes_max, const data_changes& changes, prometheus::Registry& metrics)
    : bytes_max_(bytes_max),
      changes_(changes),
      steps_kept_(prometheus::BuildCounter()
                      .Name("skerry_query_cache_steps_total")
                      .Help("Steps of range queries that could be kept, by where their answer came from.")
                      .Register(metrics)
                      .Add({{"from", "cache"}})),
      steps_evaluated_(
          prometheus::BuildCounter()
              .Name("skerry_query_cache_steps_total")
              .Help("Steps of range queries that could be kept, by where their answer came from.")
              .Register(metrics)
              .Add({{"from", "store"}})),
      bytes_gauge_(prometheus::BuildGauge()
                       .Name("skerry_query_cache_bytes")
                       .Help("Answers that are kept.")
                       .Register(metrics)
                       .Add({})) {}

result_cache::~result_cache() = default;

result_cache::kept_ptr result_cache::find(const std::string& key) {
  const std::lock_guard lock{mutex_};
  const auto it = index_.find(key);
  if (it == index_.end())
    return nullptr;
  order_.splice(order_.begin(), order_, it->second);
  return it->second->what;
}

void result_cache::put(const std::string& key, kept_ptr what) {
  std::list<entry> gone; // freed without the lock
  const std::lock_guard lock{mutex_};
  if (const auto it = index_.find(key); it != index_.end()) {
    bytes_ -= it->second->what->bytes;
    gone.splice(gone.begin(), order_, it->second);
    index_.erase(it);
  }
  if (what->bytes <= bytes_max_ / entry_share_max) {
    bytes_ += what->bytes;
    order_.push_front({key, std::move(what)});
    index_.emplace(key, order_.begin());
  }
  while (bytes_ > bytes_max_) {
    bytes_ -= order_.back().what->bytes;
    index_.erase(order_.back().key);
    gone.splice(gone.begin(), order_, std::prev(order_.end()));
  }
  bytes_gauge_.Set(static_cast<double>(bytes_));
}

result<matrix_value> result_cache::evaluate(const promql::expression& e, promql::series_source& source,
                                            const time_range& range, const promql::evaluate_options& options,
                                            const host_read& read, const host_read& asked) {
  const bool usable = bytes_max_ != 0 && range.step_ms > 0 && range.end_ms >= range.start_ms;
  const auto looked = usable ? looks_ahead(e) : std::nullopt;
  const auto ahead = looked.value_or(0);
  const auto phase =
      range.step_ms <= 0 ? 0 : ((range.start_ms % range.step_ms) + range.step_ms) % range.step_ms;
  const auto last_ms =
      range.step_ms <= 0 ? 0 : range.end_ms - (range.end_ms - range.start_ms) % range.step_ms;
  // Times near the ends of what a number holds are nobody's dashboard.
  constexpr std::int64_t time_max = INT64_MAX / ns_per_ms / 4;
  if (!looked || range.start_ms < -time_max || range.end_ms > time_max
      || (last_ms - range.start_ms) / range.step_ms > promql::points_max)
    return promql::evaluate_range(e, source, range, options);

  const auto key = fmt::format("{} {} {} {} {}", range.step_ms, phase, options.lookback_ms,
                               options.subquery_step_ms, promql::to_string(e));
  auto made = std::make_shared<kept>();
  made->version = changes_.version(); // before anything is read
  made->first_ms = range.start_ms;
  made->last_ms = last_ms;

  // What of an earlier answer still holds: steps before the first change that they could see.
  const auto old = find(key);
  auto from_ms = std::int64_t{0};
  auto to_ms = std::int64_t{-1};
  if (old) {
    from_ms = std::max(old->first_ms, range.start_ms);
    to_ms = std::min(old->last_ms, last_ms);
    if (const auto changed_ns = changes_.changed_since(old->version); changed_ns != INT64_MAX) {
      const auto changed_ms = changed_ns / ns_per_ms - 1; // rounded down, below 0 too
      if (changed_ns == INT64_MIN || changed_ms - ahead <= from_ms)
        to_ms = from_ms - 1;
      else if (to_ms >= changed_ms - ahead)
        to_ms = from_ms + (changed_ms - ahead - 1 - from_ms) / range.step_ms * range.step_ms;
    }
  }
  watching_source watched{source, made->hosts, made->asked};
  const auto part = [&](std::int64_t first, std::int64_t last) -> result<matrix_value> {
    steps_evaluated_.Increment(static_cast<double>((last - first) / range.step_ms + 1));
    return promql::evaluate_range(e, watched, {first, last, range.step_ms}, options);
  };
  if (!old || to_ms < from_ms) {
    BOOST_OUTCOME_TRY(all, part(range.start_ms, last_ms));
    made->answer = std::move(all);
  } else {
    if (from_ms > range.start_ms) {
      BOOST_OUTCOME_TRY(before, part(range.start_ms, from_ms - range.step_ms));
      made->answer = std::move(before);
    }
    // What is kept of it, the part that is taken, and the answer while both are joined.
    if (options.memory != nullptr && !options.memory->take(2 * old->bytes))
      return options.memory->refusal();
    join(made->answer, slice(old->answer, from_ms, to_ms));
    steps_kept_.Increment(static_cast<double>((to_ms - from_ms) / range.step_ms + 1));
    if (to_ms < last_ms) {
      BOOST_OUTCOME_TRY(after, part(to_ms + range.step_ms, last_ms));
      join(made->answer, std::move(after));
    }
    const auto take_over = [&](const host_spans& from, host_spans& to, const host_read& hear) {
      for (const auto& [name, span] : from) {
        const auto first = range.start_ms - (old->first_ms - span.from_ms); // as far back as then
        to[name].add(std::max(span.from_ms, first), span.to_ms);
        if (hear)
          hear(name.first, name.second, std::max(span.from_ms, first), span.to_ms);
      }
    };
    take_over(old->hosts, made->hosts, read);
    take_over(old->asked, made->asked, asked);
  }
  const auto answer_bytes = bytes_of(made->answer);
  made->bytes = answer_bytes + key.size() * 2 + made->hosts.size() * 200 + sizeof *made;
  if (made->hosts.size() > hosts_max || made->bytes > bytes_max_ / entry_share_max)
    return std::move(made->answer);
  // A copy is kept.
  if (options.memory != nullptr && !options.memory->take(answer_bytes))
    return options.memory->refusal();
  auto answer = made->answer;
  put(key, std::move(made));
  return answer;
}

} // namespace skerry::cloud
