#include "actors/promql/evaluator.hpp"
#include "actors/promql/parser.hpp"
#include "actors/promql/partial_aggregate.hpp"
#include "tests/actors/promql/memory_source.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>
#include <random>
#include <thread>

using namespace skerry;
using namespace skerry::promql;
using skerry::promql::test::memory_source;

namespace {

// The same series in several shards by host, each aggregated on a thread of its own.
class sharded_source final : public memory_source {
public:
  explicit sharded_source(std::size_t shards) : shards_(shards) {}
  std::size_t prepared = 0;

  result<std::unique_ptr<selected>> prepare(const select_request& request) override {
    ++prepared;
    return std::unique_ptr<selected>{std::make_unique<split>(*this, request)};
  }

private:
  class split final : public selected {
  public:
    split(sharded_source& from, select_request request) : from_(from), request_(std::move(request)) {}
    std::size_t shards() const override { return from_.shards_; }
    void run(const std::function<void(std::size_t)>& work) override {
      std::vector<std::thread> threads;
      for (std::size_t i = 0; i < shards(); ++i)
        threads.emplace_back([&work, i] { work(i); });
      for (auto& t : threads)
        t.join();
    }
    result<void> read(std::size_t shard, const each_series& each) override {
      const std::lock_guard lock{from_.mutex_}; // it counts what it was asked
      return from_.select(request_, [&](const series_view& view) {
        const std::string host{value_of(view.all, "host")};
        if ((host.empty() ? 0 : static_cast<std::size_t>(host.back())) % shards() == shard)
          each(view);
      });
    }

  private:
    sharded_source& from_;
    select_request request_;
  };

  std::size_t shards_;
  std::mutex mutex_;
};

double number(std::mt19937_64& rng) {
  constexpr auto inf = std::numeric_limits<double>::infinity();
  switch (rng() % 40) {
  case 0: return inf;
  case 1: return -inf;
  case 2: return std::numeric_limits<double>::quiet_NaN();
  case 3: return 1e300;
  default: return std::ldexp(static_cast<double>(rng() % 2'000'000) - 1e6, static_cast<int>(rng() % 20) - 10);
  }
}

void fill(memory_source& into, std::uint64_t seed) {
  std::mt19937_64 rng{seed};
  for (int host = 0; host < 9; ++host)
    for (int series = 0; series < 4; ++series) {
      std::vector<test::memory_sample> samples;
      // Infinities of both signs make results depend on the order of adding: only in some series.
      const bool wild = series == 0;
      for (std::int64_t t = 0; t < 40; ++t)
        if (rng() % 4 != 0)
          samples.push_back({t * 15'000 + static_cast<std::int64_t>(rng() % 1000),
                             wild ? number(rng) : static_cast<double>(rng() % 1000) / 7});
      into.add({{"__name__", series < 2 ? "m" : "n"},
                {"host", "h" + std::to_string(host)},
                {"group", std::to_string(rng() % 3)},
                {"series", std::to_string(series)}},
               samples);
    }
}

bool close(double a, double b) {
  return std::isnan(a) ? std::isnan(b)
                       : a == b || std::fabs(a - b) <= 1e-11 * std::max(std::fabs(a), std::fabs(b));
}

partial_aggregate example() {
  partial_aggregate out{aggregate_op::avg, 2, {}};
  out.groups.push_back(make_group(aggregate_op::avg, 2, {{"job", "a"}}));
  add(aggregate_op::avg, out.groups[0], std::vector<double>{1, 2});
  add(aggregate_op::avg, out.groups[0], std::vector<double>{3, stale_marker()});
  out.groups.push_back(make_group(aggregate_op::avg, 2, {}));
  return out;
}

std::string hex(bytes_view bytes) {
  std::string out;
  for (const auto b : bytes)
    out += fmt::format("{:02x}", static_cast<unsigned>(b));
  return out;
}

} // namespace

TEST_CASE("aggregating shards and merging the parts gives what aggregating everything gives") {
  const char* const given = std::getenv("SKERRY_SEED");
  const auto first = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  const auto last = given != nullptr ? first : first + 19;
  for (auto seed = first; seed <= last; ++seed) {
    INFO("SKERRY_SEED=" << seed << " build/release/bin/promql_test 'aggregating shards*'");
    memory_source whole;
    fill(whole, seed);
    sharded_source shards{2 + seed % 4};
    fill(shards, seed);
    std::size_t asked = 0;
    for (const auto* op : {"sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"})
      for (const auto* inner : {"{__name__=~'m|n',series!='0'}", "rate(m{series!='0'}[1m])", "-n * 2",
                                "abs(n) > bool 3", "max_over_time(m{series='1'}[2m] offset 30s)", "n @ 300",
                                "quantile_over_time(0.5, n[1m])", "m > 50"})
        for (const auto* by : {"", "by (group)", "without (host, series)", "by (host)"}) {
          const auto text = fmt::format("{} {} ({})", op, by, inner);
          INFO(text);
          const auto tree = parse(text).value();
          const time_range range{60'000, 600'000, 10'000};
          const auto expected = evaluate_range(*tree, whole, range, {}).value();
          const auto got = evaluate_range(*tree, shards, range, {}).value();
          ++asked; // and once more below
          REQUIRE(got.size() == expected.size());
          bool same = true;
          const bool wild =
              std::string_view{inner} == "m > 50"; // also adds up infinities: only whether it is there
          for (std::size_t i = 0; i < got.size(); ++i) {
            REQUIRE(got[i].metric == expected[i].metric);
            REQUIRE(got[i].points.size() == expected[i].points.size());
            for (std::size_t k = 0; k < got[i].points.size(); ++k)
              same = same && got[i].points[k].time_ms == expected[i].points[k].time_ms
                     && ((wild
                          && (std::string_view{op} == "stddev" || std::string_view{op} == "stdvar"
                              || std::string_view{op} == "sum" || std::string_view{op} == "avg"))
                         || close(got[i].points[k].value, expected[i].points[k].value));
          }
          CHECK(same);
          const auto once_more = evaluate_range(*tree, shards, range, {}).value();
          bool alike = once_more.size() == got.size();
          for (std::size_t i = 0; alike && i < got.size(); ++i)
            for (std::size_t k = 0; k < got[i].points.size(); ++k)
              alike = alike
                      && std::bit_cast<std::uint64_t>(once_more[i].points[k].value)
                             == std::bit_cast<std::uint64_t>(got[i].points[k].value);
          CHECK(alike); // whichever shard was ready first
          CHECK(shards.prepared == asked * 2);
        }
  }
}

TEST_CASE("means of parts do not overflow, and infinite ones stay") {
  constexpr auto inf = std::numeric_limits<double>::infinity();
  const auto mean_of = [](const std::vector<std::vector<double>>& parts) {
    auto all = make_group(aggregate_op::avg, 1, {});
    for (const auto& values : parts) {
      auto part = make_group(aggregate_op::avg, 1, {});
      for (const auto v : values)
        add(aggregate_op::avg, part, std::vector<double>{v});
      merge(aggregate_op::avg, all, part);
    }
    return all.value[0];
  };
  CHECK(mean_of({{1e308, 1e308}, {1e308}}) == Approx(1e308));
  CHECK(mean_of({{inf, 1}, {2, 3}}) == inf);
  CHECK(mean_of({{1}, {-inf}, {5}}) == -inf);
  CHECK(std::isnan(mean_of({{inf}, {-inf}})));
  CHECK(mean_of({{}, {4}, {}}) == 4);
}

TEST_CASE("what series of several hosts decide together is not split") {
  sharded_source source{3};
  fill(source, 1);
  for (const auto* text :
       {"sum(m + on (host, series) n)", "topk(2, m)", "sum(label_replace(m, 'host', 'x', '', ''))",
        "sum(absent(m))", "sum(sum by (host) (m))", "avg(sort(m))", "sum(clamp_max(m, scalar(n)))",
        "count_values('v', m)", "sum(max_over_time(m[5m:1m]))"}) {
    INFO(text);
    source.prepared = 0;
    (void)evaluate_instant(*parse(text).value(), source, 300'000, {});
    CHECK(source.prepared
          == (std::string_view{text} == "sum(sum by (host) (m))" ? 1 : 0)); // the inner one may be
  }
}

TEST_CASE("bounds hold for all shards together, and a failure of one is the query's") {
  sharded_source source{3};
  fill(source, 1);
  evaluate_options narrow;
  narrow.samples_max = 10;
  const auto tree = parse("sum by (host, series) (rate(m[1m]))").value();
  CHECK(evaluate_range(*tree, source, {0, 600'000, 1'000}, narrow).error().code == errc::exhausted);
  std::atomic<bool> cancelled{true};
  evaluate_options stopped;
  stopped.cancelled = &cancelled;
  CHECK(evaluate_range(*tree, source, {0, 600'000, 1'000}, stopped).error().code == errc::cancelled);
}

TEST_CASE("an encoded part decodes to itself, and no other bytes do") {
  const auto made = example();
  byte_buffer bytes;
  encode_partial(made, bytes);
  // The format of version 1, for good.
  CHECK(hex(bytes)
        == "0101020201036a6f620161000000000000004000000000000000400000000000000040000000000000f03f"
           "00020000000000f07f020000000000f07f00000000000000000000000000000000");
  const auto back = decode_partial(bytes).value();
  byte_buffer again;
  encode_partial(back, again);
  CHECK(again == bytes);
  CHECK(back.groups[0].metric == made.groups[0].metric);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_FALSE(decode_partial(bytes_view{bytes}.first(size)).has_value());
  auto longer = bytes;
  longer.push_back(std::byte{0});
  CHECK(decode_partial(longer).error().code == errc::malformed);
  auto newer = bytes;
  newer[0] = std::byte{2};
  CHECK(decode_partial(newer).error().code == errc::unsupported_version);
  auto unknown = bytes;
  unknown[1] = std::byte{11};
  CHECK(decode_partial(unknown).error().code == errc::malformed);
  auto huge = bytes;
  huge[2] = std::byte{0x7f};
  CHECK(decode_partial(huge).error().code == errc::malformed);
  partial_aggregate none{aggregate_op::sum, 350, {}};
  byte_buffer empty;
  encode_partial(none, empty);
  CHECK(decode_partial(empty).value().groups.empty());
}
