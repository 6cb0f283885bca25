// What queries keep and who helps them must not change an answer.

#include "cloud/store/log_window.hpp"
#include "cloud/store/place_reader.hpp"
#include "tests/cloud/store/store_fixture.hpp"

#include <thread>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t start = 1'700'000'000 * second;

// Two sets of one source, with holes, standing columns and every kind of value.
frame mixed_frame(std::mt19937_64& rng, const std::vector<series_set_ptr>& sets, std::int64_t time_ns) {
  frame f;
  f.time_ns = time_ns;
  for (const auto& set : sets) {
    const auto count = set->members.size();
    std::vector<std::uint64_t> present((count + 63) / 64);
    std::size_t here = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (i % 5 == 0 && rng() % 3 == 0)
        continue;
      present[i / 64] |= std::uint64_t{1} << (i % 64);
      ++here;
      f.values.push_back(i % 3 == 0 ? static_cast<double>(i) : random_value(rng));
    }
    if (here == count)
      present.clear();
    f.sections.push_back({set->hash, static_cast<std::uint16_t>(count), std::move(present)});
  }
  return f;
}

promql::select_request some(std::int64_t from_s, std::int64_t to_s, promql::matcher m) {
  promql::select_request r;
  r.from_ms = start / 1'000'000 + from_s * 1000;
  r.to_ms = start / 1'000'000 + to_s * 1000;
  r.matchers.push_back(std::move(m));
  return r;
}

} // namespace

TEST_CASE("with and without a cache the log answers alike while it grows and when it is sealed") {
  std::mt19937_64 rng{seed_from_environment(1)};
  INFO("SKERRY_SEED=" << seed_from_environment(1));
  struct variant {
    std::uint64_t cache_bytes;
    std::size_t threads;
    temporary_directory directory{};
    store opened{};
  };
  variant variants[] = {{0, 0}, {64 << 20, 0}, {100 << 10, 2}, {64 << 20, 2}};
  for (auto& v : variants) {
    auto config = small_config(v.directory.path());
    config.log_segment_bytes = 64 << 20;
    config.log_bytes_max = 128 << 20;
    config.read_cache_bytes_max = v.cache_bytes;
    config.read_threads = v.threads;
    v.opened = open_store(config);
  }
  std::map<std::string, std::vector<series_set_ptr>> sets;
  for (const auto* host : {"h0", "h1", "h2"})
    sets[host] = {make_set("a", 200, 0, {{"host", host}}), make_set("b", 90, 1000, {{"host", host}})};
  sequence next = 1;
  const auto compare = [&] {
    const std::int64_t from = static_cast<std::int64_t>(rng() % 400) - 50;
    const promql::select_request requests[] = {
        everything(),
        some(from, from + static_cast<std::int64_t>(rng() % 300),
             match(promql::match_op::equal, "__name__", "m3")),
        some(from, from + 60, match(promql::match_op::equal, "__name__", "m510")), // in the second set alone
        some(from, from + 5, match(promql::match_op::regex, "n", "1.*")),
        some(0, 1000, match(promql::match_op::equal, "host", "h1")),
    };
    for (const auto& request : requests) {
      const auto expected = select(*variants[0].opened.db, request);
      for (auto& v : variants)
        CHECK(select(*v.opened.db, request) == expected);
      auto newest = request;
      newest.newest_only = true;
      for (auto& v : variants) {
        const auto got = select(*v.opened.db, newest);
        CHECK(got.size() == expected.size());
        for (const auto& [series, samples] : got)
          CHECK(*samples.rbegin() == *expected.at(series).rbegin());
      }
    }
  };
  std::int64_t at = 0;
  for (int round = 0; round < 24; ++round) {
    std::vector<std::pair<std::string, frame>> frames;
    const auto count = 1 + rng() % 12;
    for (std::size_t i = 0; i < count; ++i) {
      at += static_cast<std::int64_t>(rng() % 3);
      const auto late = rng() % 8 == 0 ? static_cast<std::int64_t>(rng() % 100) : 0;
      for (const auto* host : {"h0", "h1", "h2"})
        frames.emplace_back(host, mixed_frame(rng, sets[host], start + (at - late) * second));
    }
    for (auto& v : variants) {
      request_builder builder{edge_id{1}, "site", next};
      for (const auto& [host, f] : frames)
        builder.frame_of(host, f, sets[host]);
      REQUIRE(append(*v.opened.db, builder.take()));
    }
    next += frames.size();
    compare();
  }
  CHECK(variants[0].opened.metric("skerry_store_read_cache_bytes") == 0);
  CHECK(variants[1].opened.metric("skerry_store_read_cache_hits_total") > 0);
  CHECK(variants[2].opened.metric("skerry_store_read_cache_bytes") <= 100 << 10);
  for (auto& v : variants)
    v.opened.db->flush();
  compare();
  compare(); // from what was kept
}

TEST_CASE("of a query's steps, a time is wanted where one of their spans holds it") {
  std::string wrong;
  for (const std::int64_t origin : {std::int64_t{0}, std::int64_t{-7}, INT64_MIN + 1, INT64_MAX - 40})
    for (std::uint64_t step = 1; step < 9; ++step)
      for (std::uint64_t span = 0; span < step; ++span) {
        read_bounds bounds;
        bounds.from_ns = origin;
        bounds.to_ns = origin + 30;
        bounds.step_ns = step;
        bounds.span_ns = span;
        for (std::int64_t first = -1; first < 33; ++first)
          for (std::int64_t last = first; last < 33; ++last) {
            bool wanted = false;
            for (auto t = std::max<std::int64_t>(first, 0); t <= std::min<std::int64_t>(last, 30); ++t)
              wanted = wanted || static_cast<std::uint64_t>(t) % step <= span;
            if (bounds.wants(origin + first, origin + last) != wanted)
              wrong = fmt::format("from {} step {} span {}: {} to {}", origin, step, span, first, last);
          }
      }
  CHECK(wrong == "");
}

TEST_CASE("hosts come in order, each once, however many threads read") {
  temporary_directory directory;
  auto config = small_config(directory.path());
  config.read_threads = 3;
  config.log_segment_bytes = 64 << 20;
  config.log_bytes_max = 128 << 20;
  auto s = open_store(config);
  sequence next = 1;
  constexpr int hosts = 60;
  const auto name_of = [](int h) { return "host" + std::to_string(h); };
  std::vector<series_set_ptr> sets;
  for (int h = 0; h < hosts; ++h)
    sets.push_back(make_set("a", 256, 0, {{"instance", name_of(h)}}));
  for (int part = 0; part < 2; ++part) {
    request_builder builder{edge_id{1}, "site", next};
    for (int h = 0; h < hosts; ++h)
      for (int k = 0; k < 50; ++k, ++next)
        builder.values(name_of(h), sets[static_cast<std::size_t>(h)], start + (part * 50 + k) * 15 * second,
                       std::vector<double>(256, part * 50 + k));
    REQUIRE(append(*s.db, builder.take()));
    if (part == 0)
      s.db->flush();
  }
  const auto read = [&](const promql::select_request& request) {
    std::vector<std::string> seen;
    std::uint64_t samples = 0;
    const auto done = s->select(request, [&](const promql::series_view& view) {
      const std::string host{view.hosts[0].host};
      if (seen.empty() || seen.back() != host)
        seen.push_back(host);
      samples += view.values.size();
    });
    // Not checked here: Catch2 takes assertions from one thread.
    return done && seen.size() == hosts && std::is_sorted(seen.begin(), seen.end())
           && samples == hosts * 256 * 100;
  };
  std::atomic<int> right{0};
  std::vector<std::thread> askers;
  for (int i = 0; i < 3; ++i)
    askers.emplace_back([&] { right += read(everything()) ? 1 : 0; });
  for (auto& t : askers)
    t.join();
  CHECK(right == 3);

  // In shards: each host in one of them, in order, whoever reads it.
  const auto found = s->prepare(everything()).value();
  REQUIRE(found->shards() > 1);
  CHECK(s->prepare(everything()).value()->shards() == found->shards());
  std::vector<std::vector<std::string>> hosts_of(found->shards());
  std::atomic<std::uint64_t> samples{0};
  found->run([&](std::size_t shard) {
    const auto done = found->read(shard, [&](const promql::series_view& view) {
      const std::string host{view.hosts[0].host};
      if (hosts_of[shard].empty() || hosts_of[shard].back() != host)
        hosts_of[shard].push_back(host);
      samples += view.values.size();
    });
    if (!done)
      samples = 0;
  });
  CHECK(samples == hosts * 256 * 100);
  std::vector<std::string> in_order;
  for (const auto& some : hosts_of) {
    CHECK_FALSE(some.empty());
    in_order.insert(in_order.end(), some.begin(), some.end());
  }
  CHECK(in_order.size() == hosts);
  CHECK(std::is_sorted(in_order.begin(), in_order.end()));
  auto moment = everything();
  moment.from_ms = moment.to_ms = start / 1'000'000;
  CHECK(s->prepare(moment).value()->shards() == 1); // not worth it

  // Bounds and cancellation reach the helpers; an exception of the caller leaves none behind.
  auto bounded = everything();
  bounded.samples_max = 100'000;
  CHECK(s->select(bounded, [](const promql::series_view&) {}).error().code == errc::exhausted);
  std::atomic<bool> cancelled{false};
  auto stopped = everything();
  stopped.cancelled = &cancelled;
  CHECK(s->select(stopped, [&](const promql::series_view&) { cancelled = true; }).error().code
        == errc::cancelled);
  CHECK_THROWS(s->select(everything(), [](const promql::series_view&) { throw std::runtime_error{"no"}; }));
  CHECK(read(everything()));
}

TEST_CASE("a wide source is read frame by frame, with the same answer") {
  temporary_directory directory;
  auto config = small_config(directory.path());
  config.log_segment_bytes = 64 << 20;
  config.log_bytes_max = 128 << 20;
  auto s = open_store(config);
  std::vector<series_set_ptr> sets;
  for (std::size_t i = 0; i * 256 <= window_columns_max; ++i)
    sets.push_back(make_set("j" + std::to_string(i), 256, i * 256));
  std::mt19937_64 rng{3};
  model expected;
  request_builder builder{edge_id{1}, "site"};
  for (int k = 0; k < 5; ++k) {
    const auto f = mixed_frame(rng, sets, start + k * second);
    std::size_t at = 0;
    for (std::size_t i = 0; i < sets.size(); ++i)
      for (std::size_t m = 0; m < 256; ++m)
        if (const auto& bits = f.sections[i].present; bits.empty() || (bits[m / 64] >> (m % 64) & 1) != 0)
          expected.add("site", sets[i]->members[m].all, f.time_ns, f.values[at++]);
    builder.frame_of("h", f, sets);
  }
  REQUIRE(append(*s.db, builder.take()));
  CHECK(select(*s.db, everything()) == expected.expected());
  CHECK(s.metric("skerry_store_read_cache_bytes") == 0);
}

TEST_CASE("changes are told before an append is acknowledged, and when data goes") {
  temporary_directory directory;
  auto config = small_config(directory.path());
  config.retention = std::chrono::hours{24 * 30};
  auto s = open_store(config);
  const auto set = make_set("a", 2);
  const auto now = test_clock().wall_ns();
  const auto before = s->changes().version();
  REQUIRE(append(*s.db, request_builder{edge_id{1}, "s"}.values("h", set, now, {1, 2}).take()));
  CHECK(s->changes().changed_since(before) <= now);
  CHECK(s->changes().changed_since(before) > now - 20 * second);
  const auto fresh = s->changes().version();
  REQUIRE(append(*s.db,
                 request_builder{edge_id{1}, "s", 2}.values("h", set, now - 86'400 * second, {1, 2}).take()));
  CHECK(s->changes().changed_since(fresh) <= now - 86'400 * second);
  const auto all = s->changes().version();
  CHECK(s->changes().changed_since(all) == INT64_MAX);
  s.db->flush(); // what was past retention in the log is gone now
  CHECK(s->changes().changed_since(all) == INT64_MIN);
}
