#include "actors/promql/parser.hpp"
#include "cloud/query/result_cache.hpp"
#include "schemas/time.hpp"
#include "tests/actors/promql/memory_source.hpp"
#include "tests/cloud/store/store_fixture.hpp"

#include <catch2/catch.hpp>
#include <prometheus/registry.h>

#include <bit>
#include <cstdlib>
#include <random>

using namespace skerry;
using namespace skerry::cloud;
using promql::test::memory_source;

namespace {

promql::expression_ptr parsed(std::string_view text) {
  auto tree = promql::parse(text);
  if (!tree)
    FAIL(tree.error().message);
  return std::move(tree.value());
}

struct fixture {
  memory_source source;
  data_changes changes;
  prometheus::Registry metrics;
  result_cache cache{1 << 20, changes, metrics};

  // A sample as a store takes it: readable first, then told.
  void add(const labels& all, std::int64_t time_ms, double value) {
    source.add(all, {{time_ms, value}});
    changes.note(time_ms * ns_per_ms);
  }
  [[nodiscard]] promql::matrix_value ask(std::string_view text, promql::time_range range,
                                         const host_read& read = {}) {
    auto answer = cache.evaluate(*parsed(text), source, range, {}, read);
    if (!answer)
      FAIL(answer.error().message);
    return answer.value();
  }
  [[nodiscard]] promql::matrix_value directly(std::string_view text, promql::time_range range) {
    return promql::evaluate_range(*parsed(text), source, range, {}).value();
  }
  [[nodiscard]] double steps(const std::string& from) const {
    for (const auto& family : metrics.Collect())
      if (family.name == "skerry_query_cache_steps_total")
        for (const auto& m : family.metric)
          if (m.label[0].value == from)
            return m.counter.value;
    return 0;
  }
};

bool same(const promql::matrix_value& a, const promql::matrix_value& b) {
  if (a.size() != b.size())
    return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].metric != b[i].metric || a[i].points.size() != b[i].points.size())
      return false;
    for (std::size_t k = 0; k < a[i].points.size(); ++k)
      if (a[i].points[k].time_ms != b[i].points[k].time_ms
          || std::bit_cast<std::uint64_t>(a[i].points[k].value)
                 != std::bit_cast<std::uint64_t>(b[i].points[k].value))
        return false;
  }
  return true;
}

const labels one{{"__name__", "m"}, {"host", "a"}, {"site", "s"}};
const labels two{{"__name__", "m"}, {"host", "b"}, {"site", "s"}};
constexpr promql::time_range hour{0, 3'600'000, 60'000};

std::uint64_t seed() {
  const char* text = std::getenv("SKERRY_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
}

} // namespace

TEST_CASE("a refresh evaluates the new steps alone") {
  fixture f;
  for (std::int64_t t = 0; t <= 3'600'000; t += 15'000)
    f.add(one, t, static_cast<double>(t));
  CHECK(same(f.ask("m", hour), f.directly("m", hour)));
  CHECK(f.steps("store") == 61);
  CHECK(f.steps("cache") == 0);
  for (std::int64_t t = 3'615'000; t <= 3'720'000; t += 15'000)
    f.add(one, t, static_cast<double>(t));
  const promql::time_range later{120'000, 3'720'000, 60'000};
  CHECK(same(f.ask("m", later), f.directly("m", later)));
  CHECK(f.steps("cache") == 59);
  CHECK(f.steps("store") == 63);
  // Wholly kept, and a part that begins earlier.
  f.source.before_select = [] { FAIL("nothing was to be read"); };
  CHECK(same(f.ask("m", {600'000, 1'200'000, 60'000}), [&] {
    f.source.before_select = {};
    return f.directly("m", {600'000, 1'200'000, 60'000});
  }()));
}

TEST_CASE("late samples of any host show at once") {
  fixture f;
  for (std::int64_t t = 0; t <= 3'600'000; t += 15'000)
    f.add(one, t, 1);
  CHECK(f.ask("sum(m)", hour)[0].points[30].value == 1);
  for (std::int64_t t = 1'800'000; t < 2'000'000; t += 15'000) // an old backlog drains
    f.add(two, t, 5);
  const auto after = f.ask("sum(m)", hour);
  CHECK(after[0].points[29].value == 1);
  CHECK(after[0].points[30].value == 6);
  CHECK(same(after, f.directly("sum(m)", hour)));
  CHECK(f.steps("cache") > 0); // what is older than it was taken
  f.changes.note_all();        // a deletion
  const auto kept = f.steps("cache");
  CHECK(same(f.ask("sum(m)", hour), after));
  CHECK(f.steps("cache") == kept);
}

TEST_CASE("what looks elsewhere than its step is told") {
  CHECK(looks_ahead(*parsed("m")) == 0);
  CHECK(looks_ahead(*parsed("m offset 5m")) == -300'000);
  CHECK(looks_ahead(*parsed("sum(m offset -5m) + m")) == 300'000);
  CHECK(looks_ahead(*parsed("max_over_time(rate(m[5m] offset -1m)[10m:1m] offset -2m)")) == 180'000);
  CHECK(looks_ahead(*parsed("quantile(scalar(m offset -7m), m)")) == 420'000);
  CHECK(looks_ahead(*parsed("time()")) < -1'000'000'000'000);
  CHECK_FALSE(looks_ahead(*parsed("m @ 100")));
  CHECK_FALSE(looks_ahead(*parsed("sum_over_time((m @ end())[5m:1m])")));
  fixture f;
  for (std::int64_t t = 0; t <= 3'600'000; t += 15'000)
    f.add(one, t, static_cast<double>(t));
  std::int64_t late = 3'000'000;
  for (const auto* text : {"m offset -5m", "m @ 3000", "m @ end()", "rate(m[5m] offset -10m)"}) {
    (void)f.ask(text, hour);
    f.add(two, late += 1000, 7);
    CHECK(same(f.ask(text, hour), f.directly(text, hour)));
    (void)f.ask(text, {0, 1'800'000, 60'000});
    CHECK(same(f.ask(text, hour), f.directly(text, hour)));
  }
}

TEST_CASE("which hosts a kept answer stems from is told") {
  fixture f;
  f.add(one, 60'000, 1);
  f.add(two, 60'000, 1);
  (void)f.ask("m", hour);
  std::set<std::string> hosts;
  (void)f.ask("m", hour,
              [&](const std::string& site, const std::string& host, std::int64_t from, std::int64_t to) {
                hosts.insert(site + "/" + host);
                CHECK(from <= 0);
                CHECK(to == 3'600'000);
              });
  CHECK(hosts == std::set<std::string>{"s/a", "s/b"});
}

TEST_CASE("kept answers are bounded; off means off; failures are not kept") {
  fixture f;
  for (int i = 0; i < 40; ++i)
    f.add({{"__name__", "m"}, {"n", std::to_string(i)}}, 0, i);
  const auto bytes = [](const prometheus::Registry& metrics) {
    for (const auto& family : metrics.Collect())
      if (family.name == "skerry_query_cache_bytes")
        return family.metric[0].gauge.value;
    return -1.0;
  };
  prometheus::Registry small_metrics;
  result_cache small{64 << 10, f.changes, small_metrics};
  for (int i = 0; i < 30; ++i)
    REQUIRE(small.evaluate(*parsed("m + " + std::to_string(i)), f.source, hour, {}));
  CHECK(bytes(small_metrics) > 0);
  CHECK(bytes(small_metrics) <= 64 << 10);
  prometheus::Registry off_metrics;
  result_cache off{0, f.changes, off_metrics};
  const auto before = f.source.selects;
  REQUIRE(off.evaluate(*parsed("m"), f.source, hour, {}));
  REQUIRE(off.evaluate(*parsed("m"), f.source, hour, {}));
  CHECK(f.source.selects == before + 2);
  promql::evaluate_options tight;
  tight.samples_max = 1;
  CHECK_FALSE(f.cache.evaluate(*parsed("m"), f.source, hour, tight));
  CHECK(same(f.ask("m", hour), f.directly("m", hour)));
}

TEST_CASE("whatever comes in whatever order, a kept answer is the fresh one") {
  std::mt19937_64 rng{seed()};
  const char* texts[] = {"m",           "sum(m)",
                         "rate(m[5m])", "m offset -3m",
                         "topk(1, m)",  "sum_over_time(m[7m:1m])",
                         "m > 50",      "count(m) or vector(0)"};
  for (int round = 0; round < 40; ++round) {
    fixture f;
    std::map<std::pair<int, std::int64_t>, double> have;
    std::int64_t now = 0;
    for (int action = 0; action < 60; ++action) {
      INFO("SKERRY_SEED=" << seed() << " round " << round << " action " << action);
      if (rng() % 3 != 0) {
        now += static_cast<std::int64_t>(rng() % 3) * 30'000;
        const auto late = rng() % 5 == 0 ? static_cast<std::int64_t>(rng() % 40) * 60'000 : 0;
        const auto time = now - late;
        const int who = static_cast<int>(rng() % 3);
        have[{who, time}] = static_cast<double>(rng() % 100);
        f.source = memory_source{}; // it wants samples in order
        for (const auto& [at, value] : have)
          f.source.add({{"__name__", "m"}, {"host", std::to_string(at.first)}}, {{at.second, value}});
        f.changes.note(time * ns_per_ms);
      } else {
        const auto step = rng() % 4 == 0 ? 90'000 : 60'000;
        const auto start = (now / step - static_cast<std::int64_t>(rng() % 30)) * step;
        const promql::time_range range{start, start + static_cast<std::int64_t>(rng() % 40) * step, step};
        const auto* text = texts[rng() % std::size(texts)];
        INFO(text << " from " << range.start_ms << " to " << range.end_ms);
        CHECK(same(f.ask(text, range), f.directly(text, range)));
      }
    }
  }
}

TEST_CASE("changes: the oldest since a version, and everything for whoever looked too long ago") {
  data_changes log;
  const auto first = log.version();
  CHECK(log.changed_since(first) == INT64_MAX);
  log.note(50'000'000'000);
  const auto second = log.version();
  log.note(93'000'000'000);
  CHECK(log.changed_since(first) == 50'000'000'000);
  CHECK(log.changed_since(second) == 90'000'000'000); // told apart by ten seconds
  log.note(-5'000'000'000);
  CHECK(log.changed_since(second) == -10'000'000'000);
  CHECK(log.changed_since(log.version()) == INT64_MAX);
  const auto before_all = log.version();
  log.note_all();
  CHECK(log.changed_since(before_all) == INT64_MIN);
  const auto old = log.version();
  for (std::int64_t t = 0; t < 40'000; ++t)
    log.note(t * 10'000'000'000);
  CHECK(log.changed_since(old) == INT64_MIN);
  CHECK(log.changed_since(log.version() - 1) == 399'990'000'000'000);
}

TEST_CASE("query, drain an old backlog, same query: the new data is there") {
  using namespace skerry::cloud::test;
  constexpr std::int64_t second = 1'000'000'000;
  temporary_directory directory;
  auto s = open_store(small_config(directory.path()));
  const auto now_ms = test_clock().wall_ns() / ns_per_ms;
  std::map<std::string, series_set_ptr> sets;
  for (const auto* host : {"here", "away"})
    sets[host] = make_set("job", 2, 0, {{"host", host}}); // m0
  const auto send = [&](edge_id edge, sequence first, const std::string& host, std::int64_t from_ms,
                        std::int64_t to_ms, double value) {
    request_builder builder{edge, "site", first};
    for (auto t = from_ms; t <= to_ms; t += 15'000)
      builder.values(host, sets[host], t / 1000 * second, {value, value});
    REQUIRE(append(*s.db, builder.take()));
  };
  prometheus::Registry metrics;
  result_cache cache{1 << 20, s->changes(), metrics};
  result_cache off{0, s->changes(), metrics};
  const promql::time_range range{(now_ms - 6 * 3'600'000) / 60'000 * 60'000, now_ms / 60'000 * 60'000,
                                 60'000};
  const auto tree = parsed("sum by (host) (m0)");
  const auto both = [&] {
    auto cached = cache.evaluate(*tree, *s.db, range, {}).value();
    CHECK(same(cached, off.evaluate(*tree, *s.db, range, {}).value()));
    CHECK(same(cached, promql::evaluate_range(*tree, *s.db, range, {}).value()));
    return cached;
  };
  send(edge_id{1}, 1, "here", range.start_ms, range.end_ms, 1);
  CHECK(both().size() == 1);
  CHECK(both().size() == 1); // kept
  // A site comes back: its oldest first, in pieces, with a query between any two.
  sequence next = 1;
  for (int hour = 0; hour < 6; ++hour) {
    const auto from = range.start_ms + hour * 3'600'000;
    send(edge_id{2}, next, "away", from, from + 3'600'000 - 15'000, 5);
    next += 240;
    const auto answer = both();
    REQUIRE(answer.size() == 2);
    CHECK(answer[0].metric == labels{{"host", "away"}});
    CHECK(answer[0].points.size() >= static_cast<std::size_t>(hour) * 60 + 60);
  }
  s.db->flush();
  CHECK(both().size() == 2);
  // And a value that beats one that was there.
  send(edge_id{3}, 1, "here", range.start_ms + 3'600'000, range.start_ms + 3'700'000, 9);
  CHECK(both()[1].points[61].value == 18);
}

TEST_CASE("an answer that was kept says what it asked for, found or not") {
  fixture f;
  for (std::int64_t t = 0; t <= 3'600'000; t += 15'000)
    f.add(one, t, 1);
  std::set<std::tuple<std::string, std::string, std::int64_t, std::int64_t>> told;
  const auto ask = [&](promql::time_range range) {
    told.clear();
    const auto tree = parsed("m{site=\"s\"} or absent(m{host=\"gone\"}) or up");
    REQUIRE(f.cache.evaluate(*tree, f.source, range, {}, {},
                             [&](const auto& site, const auto& host, std::int64_t from_ms,
                                 std::int64_t to_ms) { told.emplace(site, host, from_ms, to_ms); }));
  };
  ask(hour);
  CHECK(told.empty()); // its source saw it
  for (int i = 0; i < 2; ++i) {
    ask(hour);
    REQUIRE(told.size() == 2);
    for (const auto& [site, host, from_ms, to_ms] : told) {
      CHECK((site == "s" || site.empty()));
      CHECK(host.empty());
      CHECK(from_ms <= 0);
      CHECK(to_ms == hour.end_ms);
    }
  }
}
