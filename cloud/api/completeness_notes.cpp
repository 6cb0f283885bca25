#include "cloud/api/completeness_notes.hpp"

#include "schemas/time.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace skerry::cloud {

namespace {

constexpr std::size_t warnings_max = 10;
constexpr std::size_t hosts_max = 10'000; // that one query's warnings look at
constexpr std::size_t asked_max =
    64; // sites and hosts that one query names; beyond, it is as if it named none
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

// What is missing of one host, as far as it goes on a line.
class joined_text {
public:
  // False: no more goes on it.
  bool add(const std::string& one) {
    if (text_.size() > bytes_max)
      return false;
    text_ += (text_.empty() ? "" : "; ") + one;
    if (text_.size() > bytes_max)
      text_ += "; …";
    return text_.size() <= bytes_max;
  }
  [[nodiscard]] bool empty() const noexcept { return text_.empty(); }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
  static constexpr std::size_t bytes_max = 300;
  std::string text_;
};

// Requests may reach to the ends of time.
std::int64_t to_ns(std::int64_t ms) noexcept {
  return std::clamp(ms, INT64_MIN / ns_per_ms, INT64_MAX / ns_per_ms) * ns_per_ms;
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
  return cache_->evaluate(
      e, source, range, options,
      [this](const auto& site, const auto& host, std::int64_t from_ms, std::int64_t to_ms) {
        source_.note(site, host, from_ms, to_ms);
      },
      [this](const auto& site, const auto& host, std::int64_t from_ms, std::int64_t to_ms) {
        source_.note_asked(site, host, from_ms, to_ms);
      });
}

void noting_source::note_asked(const std::string& site, const std::string& host, std::int64_t from_ms,
                               std::int64_t to_ms) {
  const std::lock_guard lock{mutex_};
  selected_ = true;
  ask(site, host, from_ms, to_ms);
}

void noting_source::ask(const std::string& site, const std::string& host, std::int64_t from_ms,
                        std::int64_t to_ms) {
  const bool full = asked_.size() >= asked_max;
  auto& to = asked_[full && !asked_.contains({site, host}) ? std::pair<std::string, std::string>{}
                                                           : std::pair{site, host}];
  to.from_ms = std::min(to.from_ms, from_ms);
  to.to_ms = std::max(to.to_ms, to_ms);
}

void noting_source::ask_names(const promql::select_request& request) {
  const auto [site, host] = place_asked(request);
  const std::lock_guard lock{mutex_};
  ask(site, host, request.from_ms, request.to_ms);
}

promql::select_request noting_source::asked(const promql::select_request& request) {
  const auto [site, host] = place_asked(request);
  note_asked(site, host, request.from_ms, request.to_ms);
  return request;
}

result<void> noting_source::series(const promql::select_request& request,
                                   const std::function<void(const labels&)>& each) {
  ask_names(request);
  return inner().series(request, each);
}

result<std::vector<std::string>> noting_source::label_names(const promql::select_request& request) {
  ask_names(request);
  return inner().label_names(request);
}

result<std::vector<std::string>> noting_source::label_values(std::string_view name,
                                                             const promql::select_request& request) {
  ask_names(request);
  return inner().label_values(name, request);
}

// Lines, and how many more there would be.
class noting_source::line_list {
public:
  template <class Make>
  void add(Make&& make) {
    if (lines_.size() < warnings_max)
      lines_.push_back(make());
    else
      ++more_;
  }
  [[nodiscard]] std::vector<std::string> take() {
    if (more_ != 0)
      lines_.push_back(
          fmt::format("data of {} more hosts is not complete; /api/v1/completeness names them", more_));
    return std::move(lines_);
  }

private:
  std::vector<std::string> lines_;
  std::size_t more_ = 0;
};

std::vector<const noting_source::host_read*> noting_source::say_of_read(ledger_reader& ledger,
                                                                        std::int64_t now_ns, line_list& to) {
  std::vector<const host_read*> told;
  ledger_request request;
  request.from_ns = INT64_MAX;
  request.to_ns = INT64_MIN;
  for (const auto& one : hosts_) {
    request.from_ns = std::min(request.from_ns, to_ns(one.from_ms));
    request.to_ns = std::max(request.to_ns, to_ns(one.to_ms));
  }
  request.to_ns = std::min(request.to_ns, now_ns);
  if (request.to_ns < request.from_ns)
    return told;
  if (hosts_.size() == 1)
    request.site = hosts_.front().site;
  for (const auto& one : hosts_)
    request.hosts.emplace_back(one.site, one.host);
  const auto found = ledger.completeness(request);
  if (!found) {
    to.add([&] {
      return fmt::format("how complete this answer is could not be looked up: {}", found.error().message);
    });
    return told;
  }
  for (const auto& host : found.value()) {
    const auto read = std::lower_bound(hosts_.begin(), hosts_.end(), host, [](const auto& a, const auto& b) {
      return std::tie(a.site, a.host) < std::tie(b.site, b.host);
    });
    if (read == hosts_.end() || read->site != host.site || read->host != host.host)
      continue;
    told.push_back(&*read);
    const auto from = to_ns(read->from_ms), end = to_ns(read->to_ms);
    joined_text text;
    for (const auto& range : host.ranges) {
      const bool before_it_began =
          range.what == coverage::unknown && range.to_ns < host.facts.first_sample_ns;
      const bool arriving = (range.what == coverage::pending || range.what == coverage::unknown)
                            && range.from_ns > now_ns - arriving_ns;
      const bool nobody_knows = range.what == coverage::unknown && host.only_pushed;
      if (range.what == coverage::complete || cost_nothing(range, host.facts) || before_it_began || arriving
          || nobody_knows || range.to_ns < from || range.from_ns > end)
        continue;
      if (!text.add(describe(range)))
        break;
    }
    if (!text.empty())
      to.add([&] {
        return fmt::format("data of host '{}' at site '{}' is not complete: {}", host.host, host.site,
                           text.text());
      });
  }
  return told;
}

bool noting_source::was_asked(const loss_entry& lost) const {
  return std::any_of(asked_.begin(), asked_.end(), [&](const auto& one) {
    const auto& [place, when] = one;
    const auto matches = [](const std::string& wanted, const std::string& of) {
      return wanted.empty() || of.empty() || wanted == of;
    };
    return matches(place.first, lost.site) && matches(place.second, lost.host)
           && (lost.from_ns == 0 || lost.from_ns <= to_ns(when.to_ms)) && lost.to_ns >= to_ns(when.from_ms);
  });
}

// What the hosts that were read do not tell.
void noting_source::say_of_asked(ledger_reader& ledger, std::int64_t now_ns,
                                 std::span<const host_read* const> told, line_list& to) {
  if (asked_.empty())
    return;
  ledger_request request;
  request.from_ns = INT64_MAX;
  request.to_ns = INT64_MIN;
  for (const auto& [place, when] : asked_) {
    request.from_ns = std::min(request.from_ns, to_ns(when.from_ms));
    request.to_ns = std::max(request.to_ns, to_ns(when.to_ms));
  }
  auto lost = ledger.own_damage(request.from_ns, request.to_ns);
  std::erase_if(lost, [&](const loss_entry& one) {
    return std::any_of(told.begin(), told.end(), [&](const host_read* read) {
      return concerns(one, read->site, read->host) && (one.from_ns == 0 || one.from_ns <= to_ns(read->to_ms))
             && one.to_ns >= to_ns(read->from_ms);
    });
  });
  // An answer of nothing: what edges have lost may be why.
  request.to_ns = std::min(request.to_ns, now_ns);
  if (selected_ && hosts_.empty() && request.from_ns <= request.to_ns) {
    auto all = ledger.losses(request);
    if (!all)
      return to.add([&] {
        return fmt::format("how complete this answer is could not be looked up: {}", all.error().message);
      });
    for (auto& one : all.value())
      if (one.collected && one.origin.edge != edge_id::none)
        lost.push_back(std::move(one));
  }
  std::map<std::pair<std::string, std::string>, joined_text> lines;
  for (const auto& one : lost)
    if (was_asked(one))
      lines[{one.site, one.host}].add(
          one.from_ns == 0 ? fmt::format("lost ({}) up to {}", to_string(one.cause), time_text(one.to_ns))
                           : describe({one.from_ns, one.to_ns, coverage::lost, one.cause}));
  for (const auto& line : lines)
    to.add([&] {
      const auto& [site, host] = line.first;
      const auto whose = !host.empty()   ? fmt::format("host '{}' at site '{}'", host, site)
                         : !site.empty() ? fmt::format("hosts at site '{}'", site)
                                         : std::string{"hosts"};
      return fmt::format("data of {} that may belong here is {}", whose, line.second.text());
    });
}

std::vector<std::string> noting_source::warnings(ledger_reader& ledger, std::int64_t now_ns) {
  line_list out;
  const std::lock_guard lock{mutex_};
  merge();
  const auto told = say_of_read(ledger, now_ns, out);
  say_of_asked(ledger, now_ns, told, out);
  return out.take();
}

} // namespace skerry::cloud
