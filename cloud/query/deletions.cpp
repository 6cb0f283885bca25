#include "cloud/query/deletions.hpp"

#include "actors/promql/ast_print.hpp"
#include "actors/promql/parser.hpp"
#include "schemas/bytes.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <future>

namespace skerry::cloud {

namespace {

constexpr std::string_view state_prefix = "deleted/0/"; // of tenant 0
constexpr std::uint8_t value_version = 1;

std::string state_key(std::uint64_t number) { return fmt::format("{}{:016x}", state_prefix, number); }

std::string encode(const std::vector<promql::matcher>& matchers, std::int64_t from_ms, std::int64_t to_ms) {
  std::string selector = "{";
  for (const auto& m : matchers)
    selector += (selector.size() == 1 ? "" : ",") + promql::to_string(m);
  byte_buffer value;
  byte_writer w{value};
  w.fixed(value_version);
  w.fixed(from_ms);
  w.fixed(to_ms);
  w.text(selector + "}");
  return std::string{as_text(value)};
}

bool matches(const labels& all, const std::vector<promql::matcher>& matchers) {
  return std::all_of(matchers.begin(), matchers.end(),
                     [&](const auto& m) { return m.matches(value_of(all, m.name())); });
}

// No series can match both: one wants a value that the other does not let pass.
bool disjoint(const std::vector<promql::matcher>& a, const std::vector<promql::matcher>& b) {
  const auto excluded = [](const auto& by, const auto& from) {
    return std::any_of(from.begin(), from.end(), [&](const promql::matcher& one) {
      return one.op() == promql::match_op::equal
             && std::any_of(by.begin(), by.end(), [&](const promql::matcher& m) {
                  return m.name() == one.name() && !m.matches(one.value());
                });
    });
  };
  return excluded(a, b) || excluded(b, a);
}

} // namespace

result<std::unique_ptr<deletions>> deletions::open(std::shared_ptr<engine> store) {
  std::unique_ptr<deletions> made{new deletions{std::move(store)}};
  BOOST_OUTCOME_TRYV(
      made->store_->scan_state(state_prefix, [&](std::string_view key, std::string_view value) {
        byte_reader r{as_bytes(value)};
        const auto version = r.fixed<std::uint8_t>();
        deletion one;
        one.from_ms = r.fixed<std::int64_t>();
        one.to_ms = r.fixed<std::int64_t>();
        auto selector = promql::parse_selector(r.text());
        const auto digits = key.substr(state_prefix.size());
        std::uint64_t number = 0;
        std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
        made->next_key_ = std::max(made->next_key_, number + 1);
        if (r.failed() || version != value_version || !selector) {
          spdlog::error("query: the deletion '{}' does not decode and is ignored", key);
          return;
        }
        one.matchers = std::move(selector).value();
        made->all_.push_back(std::move(one));
      }));
  return made;
}

result<void> deletions::remove(const std::vector<std::vector<promql::matcher>>& selectors,
                               std::int64_t from_ms, std::int64_t to_ms, std::int64_t now_ms) {
  to_ms = std::min(to_ms, now_ms);
  if (to_ms < from_ms)
    return ok();
  std::vector<state_update> updates;
  {
    const std::lock_guard lock{mutex_};
    if (all_.size() + selectors.size() > deletions_max)
      return fail(errc::exhausted, fmt::format("{} deletions are kept already, at most {} can be",
                                               all_.size(), deletions_max));
    for (const auto& matchers : selectors)
      updates.push_back({state_key(next_key_++), encode(matchers, from_ms, to_ms)});
  }
  const auto stored = std::make_shared<std::promise<result<void>>>();
  auto waiting = stored->get_future();
  store_->put_state(std::move(updates), [stored](result<void> done) { stored->set_value(std::move(done)); });
  BOOST_OUTCOME_TRYV(waiting.get());
  const std::lock_guard lock{mutex_};
  for (const auto& matchers : selectors)
    all_.push_back({matchers, from_ms, to_ms});
  store_->changes().note(
      from_ms < INT64_MIN / ns_per_ms ? INT64_MIN : std::min(from_ms, INT64_MAX / ns_per_ms) * ns_per_ms);
  return ok();
}

// Null where none concerns the request.
std::shared_ptr<const deletions::list> deletions::within(const promql::select_request& request) const {
  const std::lock_guard lock{mutex_};
  list out;
  for (const auto& one : all_)
    if (one.from_ms <= request.to_ms && one.to_ms >= request.from_ms
        && !disjoint(one.matchers, request.matchers))
      out.push_back(one);
  return out.empty() ? nullptr : std::make_shared<const list>(std::move(out));
}

promql::select_request deletions::asked(const promql::select_request& request) {
  auto out = request;
  out.newest_only = request.newest_only && !within(request); // it may be hidden, and the one before it not
  return out;
}

promql::each_series deletions::pass(const promql::select_request& request, const promql::each_series& each) {
  if (request.newest_only) // none concerned it when it was asked: one that came since is not this query's
    return each;
  const auto hidden = within(request);
  if (!hidden)
    return each;
  return [hidden, &each](const promql::series_view& series) {
    std::vector<const deletion*> here;
    for (const auto& one : *hidden)
      if (matches(series.all, one.matchers))
        here.push_back(&one);
    if (here.empty())
      return each(series);
    std::vector<std::int64_t> times;
    std::vector<double> values;
    for (std::size_t i = 0; i < series.times_ms.size(); ++i) {
      const auto t = series.times_ms[i];
      if (std::any_of(here.begin(), here.end(),
                      [t](const auto* one) { return one->from_ms <= t && t <= one->to_ms; }))
        continue;
      times.push_back(t);
      values.push_back(series.values[i]);
    }
    if (!times.empty())
      each({series.all, times, values, series.hosts});
  };
}

result<void> deletions::series(const promql::select_request& request,
                               const std::function<void(const labels&)>& each) {
  const auto hidden = within(request);
  if (!hidden)
    return store_->series(request, each);
  // Of a series that is deleted in part it is not looked at whether something is left.
  return store_->series(request, [&](const labels& all) {
    if (std::none_of(hidden->begin(), hidden->end(), [&](const deletion& one) {
          return one.from_ms <= request.from_ms && one.to_ms >= request.to_ms && matches(all, one.matchers);
        }))
      each(all);
  });
}

} // namespace skerry::cloud
