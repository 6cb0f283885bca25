#include "cloud/api/completeness_notes.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace skerry::cloud {

namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::size_t warnings_max = 10;
constexpr std::size_t hosts_max = 10'000; // that one query's warnings look at
// What is under way is no news: a host's last moments are only called incomplete when they take this long.
constexpr std::int64_t arriving_ns = 120'000'000'000;

std::string time_text(std::int64_t ns) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(ns / 1'000'000'000)));
}

std::string describe(const coverage_range& range) {
  const auto cause = range.what == coverage::lost || range.what == coverage::not_collected
                         ? fmt::format(" ({})", to_string(range.cause))
                         : std::string{};
  return fmt::format("{}{} from {} to {}",
                     range.what == coverage::not_collected ? "not collected" : to_string(range.what), cause,
                     time_text(range.from_ns), time_text(range.to_ns));
}

} // namespace

promql::each_series noting_source::pass(const promql::select_request& request,
                                        const promql::each_series& each) {
  return [this, &each, from_ms = request.from_ms, to_ms = request.to_ms,
          last = static_cast<const promql::host_name*>(nullptr)](const promql::series_view& series) mutable {
    if (series.hosts.data() != last) {
      last = series.hosts.data();
      for (const auto& [site, host] : series.hosts)
        note(std::string{site}, std::string{host}, from_ms, to_ms);
    }
    each(series);
  };
}

void noting_source::note(const std::string& site, const std::string& host, std::int64_t from_ms,
                         std::int64_t to_ms) {
  const std::lock_guard lock{mutex_};
  if (hosts_.size() >= merge_at_) {
    merge();
    if (hosts_.size() > hosts_max)
      hosts_.resize(hosts_max);
    merge_at_ = std::max(merge_at_min, 2 * hosts_.size());
  }
  hosts_.push_back({site, host, from_ms, to_ms});
}

void noting_source::merge() {
  const auto before = [](const host_read& a, const host_read& b) {
    return std::tie(a.site, a.host) < std::tie(b.site, b.host);
  };
  if (!std::is_sorted(hosts_.begin(), hosts_.end(), before)) // a store gives them in order
    std::sort(hosts_.begin(), hosts_.end(), before);
  std::size_t kept = 0;
  for (auto& one : hosts_) {
    if (kept != 0 && hosts_[kept - 1].site == one.site && hosts_[kept - 1].host == one.host) {
      hosts_[kept - 1].from_ms = std::min(hosts_[kept - 1].from_ms, one.from_ms);
      hosts_[kept - 1].to_ms = std::max(hosts_[kept - 1].to_ms, one.to_ms);
    } else if (auto& to = hosts_[kept++]; &to != &one) {
      to = std::move(one);
    }
  }
  hosts_.resize(kept);
}

result<promql::matrix_value> completeness_watch::range(const promql::expression& e,
                                                       promql::series_source& source,
                                                       const promql::time_range& range,
                                                       const promql::evaluate_options& options) {
  if (cache_ == nullptr)
    return promql::evaluate_range(e, source, range, options);
  return cache_->evaluate(e, source, range, options,
                          [this](const auto& site, const auto& host, std::int64_t from_ms,
                                 std::int64_t to_ms) { source_.note(site, host, from_ms, to_ms); });
}

std::vector<std::string> noting_source::warnings(ledger_reader& ledger, std::int64_t now_ns) {
  std::vector<std::string> out;
  ledger_request request;
  request.from_ns = INT64_MAX;
  request.to_ns = INT64_MIN;
  const std::lock_guard lock{mutex_};
  merge();
  for (const auto& one : hosts_) {
    request.from_ns = std::min(request.from_ns, one.from_ms * ns_per_ms);
    request.to_ns = std::max(request.to_ns, one.to_ms * ns_per_ms);
  }
  request.to_ns = std::min(request.to_ns, now_ns);
  if (request.to_ns < request.from_ns)
    return out;
  if (hosts_.size() == 1)
    request.site = hosts_.front().site;
  for (const auto& one : hosts_)
    request.hosts.emplace_back(one.site, one.host);
  const auto found = ledger.completeness(request);
  if (!found) {
    out.push_back(
        fmt::format("how complete this answer is could not be looked up: {}", found.error().message));
    return out;
  }
  std::size_t more = 0;
  for (const auto& host : found.value()) {
    const auto read = std::lower_bound(hosts_.begin(), hosts_.end(), host, [](const auto& a, const auto& b) {
      return std::tie(a.site, a.host) < std::tie(b.site, b.host);
    });
    if (read == hosts_.end() || read->site != host.site || read->host != host.host)
      continue;
    const auto from = read->from_ms * ns_per_ms, to = read->to_ms * ns_per_ms;
    std::string text;
    for (const auto& range : host.ranges) {
      const bool before_it_began =
          range.what == coverage::unknown && range.to_ns < host.facts.first_sample_ns;
      const bool arriving = (range.what == coverage::pending || range.what == coverage::unknown)
                            && range.from_ns > now_ns - arriving_ns;
      const bool nobody_knows = range.what == coverage::unknown && host.only_pushed;
      if (range.what == coverage::complete || before_it_began || arriving || nobody_knows
          || range.to_ns < from || range.from_ns > to)
        continue;
      text += (text.empty() ? "" : "; ") + describe(range);
      if (text.size() > 300) {
        text += "; …";
        break;
      }
    }
    if (text.empty())
      continue;
    if (out.size() < warnings_max)
      out.push_back(
          fmt::format("data of host '{}' at site '{}' is not complete: {}", host.host, host.site, text));
    else
      ++more;
  }
  if (more != 0)
    out.push_back(
        fmt::format("data of {} more hosts is not complete; /api/v1/completeness names them", more));
  return out;
}

} // namespace skerry::cloud
