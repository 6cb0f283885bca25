// Random histories against a model: frames of several edges out of order, with duplicates and conflicts,
// through rotations, flushes, restarts and copies taken as a crash would leave them.

#include "store_fixture.hpp"

#include <fmt/format.h>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

constexpr std::int64_t second = 1'000'000'000;

class history {
public:
  explicit history(std::uint64_t seed) : rng_(seed), config_(small_config(dir_.path() / "store")) {
    config_.log_segment_bytes = 64 << 10;
    config_.partition_span = std::chrono::hours{1};
    config_.partitions_open_max = 2;
    constexpr std::uint64_t cache_bytes[] = {0, 30 << 10, 64 << 20};
    config_.read_cache_bytes_max = cache_bytes[seed % std::size(cache_bytes)];
    config_.read_threads = seed % 2;
    const labels more[] = {{}, {{"instance", "a"}}, {{"site", "site0"}}};
    for (int i = 0; i < 9; ++i)
      sets_.push_back(make_set("job" + std::to_string(i % 2), 1 + rng_() % 40, rng_() % 4, more[rng_() % 3]));
    sets_.push_back(joined(*sets_[0], *sets_[2]));
    store_ = open_store(config_);
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      const auto dice = rng_() % 100;
      if (dice < 80)
        append_some();
      else if (dice < 86)
        store_->flush();
      else if (dice < 90)
        reopen();
      else if (dice < 93)
        crash();
      else
        check();
    }
    check();
    store_->flush();
    check();
    reopen();
    check();
  }

private:
  // A set some of whose members have labels that others lack.
  static series_set_ptr joined(const series_set& a, const series_set& b) {
    auto members = a.members;
    for (auto member : b.members) {
      member.family = 0;
      if (std::none_of(members.begin(), members.end(), [&](const auto& m) { return m.all == member.all; }))
        members.push_back(std::move(member));
    }
    return make_series_set(a.families, std::move(members));
  }

  std::int64_t random_time() {
    const auto base = test_clock().wall_ns();
    switch (rng_() % 4) {
    case 0: return base - static_cast<std::int64_t>(rng_() % 20) * second;
    case 1: return base - static_cast<std::int64_t>(rng_() % (3 * 3600)) * second;
    case 2:
      return base - static_cast<std::int64_t>(rng_() % (40 * 3600)) * second
             - static_cast<std::int64_t>(rng_() % 3);
    default: return base - static_cast<std::int64_t>(rng_() % 5000) * 100'000;
    }
  }

  void append_some() {
    const auto edge = 1 + rng_() % 4;
    const bool pushed = edge == 4;
    const auto site = "site" + std::to_string(edge % 2);
    auto& next = next_[edge];
    request_builder b{pushed ? edge_pushed : edge_id{edge}, site, next + 1};
    const auto frames = 1 + rng_() % 30;
    next += frames;
    for (std::uint64_t i = 0; i < frames; ++i) {
      frame f;
      f.time_ns = random_time();
      const auto host = "host" + std::to_string(rng_() % 2);
      std::vector<series_set_ptr> used;
      const auto sections = 1 + rng_() % 2;
      for (std::uint64_t k = 0; k < sections; ++k) {
        const auto& set = sets_[rng_() % sets_.size()];
        const auto n = set->members.size();
        frame_section section{set->hash, static_cast<std::uint16_t>(n), {}};
        if (rng_() % 3 == 0) {
          section.present.resize((n + 63) / 64);
          for (std::size_t m = 0; m < n; ++m)
            if (rng_() % 2 == 0)
              section.present[m / 64] |= std::uint64_t{1} << (m % 64);
        }
        for (std::size_t m = 0; m < n; ++m) {
          if (!section.present.empty() && (section.present[m / 64] >> (m % 64) & 1) == 0)
            continue;
          const auto v = random_value(rng_);
          f.values.push_back(v);
          model_.add(pushed ? "" : site, set->members[m].all, f.time_ns, v);
        }
        f.sections.push_back(std::move(section));
        used.push_back(set);
      }
      b.frame_of(host, f, used);
    }
    const auto mark = std::to_string(next);
    const bool appends = rng_() % 2 == 0;
    auto& state = state_["held/" + std::to_string(edge)];
    state = appends ? state + mark : mark;
    b.state("held/" + std::to_string(edge), mark, appends);
    const auto request = b.take();
    REQUIRE(append(*store_.db, request));
    if (rng_() % 5 == 0) {
      REQUIRE(append(*store_.db, request)); // as after a lost answer
      state += appends ? mark : "";         // who appends bears that
    }
  }

  void reopen() {
    store_.db.reset();
    store_ = open_store(config_);
  }

  // What a killed process leaves: the directory while nothing is being written.
  void crash() {
    const auto copy = dir_.path() / fmt::format("copy{}", copies_++);
    store_->flush();
    append_some();
    // The sealer may be at work only after a rotation: not here, the log is short.
    fs::copy(config_.directory, copy, fs::copy_options::recursive);
    store_.db.reset();
    fs::remove_all(config_.directory);
    config_.directory = copy;
    store_ = open_store(config_);
  }

  void check() {
    const auto compare = [](const answer& got, const answer& want) {
      if (got == want)
        return;
      for (const auto& [name, samples] : want) {
        INFO(name);
        REQUIRE(got.contains(name));
        const auto& have = got.at(name);
        for (const auto& [time, bits] : samples) {
          INFO(time);
          REQUIRE(have.contains(time));
          REQUIRE(have.at(time) == bits);
        }
        REQUIRE(have.size() == samples.size());
      }
      REQUIRE(got.size() == want.size());
    };
    compare(select(*store_.db, everything()), model_.expected());
    auto part = everything();
    part.from_ms = random_time() / 1'000'000;
    part.to_ms = part.from_ms + static_cast<std::int64_t>(rng_() % 4'000'000);
    auto wanted = model_.expected(part.from_ms, part.to_ms);
    compare(select(*store_.db, part), wanted);
    // More than the newest may come with it.
    const auto keep_newest = [](answer all) {
      for (auto& [name, samples] : all)
        samples.erase(samples.begin(), std::prev(samples.end()));
      return all;
    };
    auto stepped = part;
    stepped.step_ms = 2 + static_cast<std::int64_t>(rng_() % 1'000'000);
    stepped.span_ms = static_cast<std::int64_t>(rng_() % static_cast<std::uint64_t>(stepped.step_ms));
    const auto keep_spans = [&](answer all) { // more may come with them, too
      for (auto& [name, samples] : all)
        std::erase_if(samples, [&](const auto& sample) {
          return (sample.first - stepped.from_ms) % stepped.step_ms > stepped.span_ms;
        });
      std::erase_if(all, [](const auto& series) { return series.second.empty(); });
      return all;
    };
    compare(keep_spans(select(*store_.db, stepped)), keep_spans(wanted));
    auto by_metric = part;
    by_metric.matchers.push_back(match(promql::match_op::equal, "__name__", "m1"));
    auto of_metric = wanted;
    std::erase_if(of_metric, [](const auto& series) { return !series.first.starts_with("m1{"); });
    compare(select(*store_.db, by_metric), of_metric);
    for (const auto* of_site : {"site0", "site1", ""}) {
      auto by_site = part;
      by_site.matchers.push_back(match(promql::match_op::equal, "site", of_site));
      auto there = wanted;
      std::erase_if(there, [&](const auto& series) {
        const auto at = series.first.find("site=\"");
        return (at == std::string::npos ? "" : series.first.substr(at + 6, 5)) != of_site;
      });
      compare(select(*store_.db, by_site), there);
    }
    part.newest_only = by_metric.newest_only = true;
    compare(keep_newest(select(*store_.db, part)), keep_newest(std::move(wanted)));
    compare(keep_newest(select(*store_.db, by_metric)), keep_newest(std::move(of_metric)));
    REQUIRE(all_state(*store_.db, "held/") == state_);
    for (const auto& set : sets_)
      for (std::uint64_t edge = 1; edge <= 3; ++edge)
        if (const auto found = store_->find_set(edge_id{edge}, set->hash))
          REQUIRE(found->members.size() == set->members.size());
    REQUIRE(store_.metric("skerry_store_damaged_total") == 0);
  }

  std::mt19937_64 rng_;
  temporary_directory dir_;
  embedded_config config_;
  store store_;
  model model_;
  std::vector<series_set_ptr> sets_;
  std::map<std::uint64_t, sequence> next_;
  std::map<std::string, std::string> state_;
  int copies_ = 0;
};

} // namespace

TEST_CASE("random histories are answered as the model says") {
  const auto first = seed_from_environment(1);
  const auto rounds = std::getenv("SKERRY_SEED") != nullptr ? 1 : 6;
  for (auto seed = first; seed < first + static_cast<std::uint64_t>(rounds); ++seed) {
    INFO("SKERRY_SEED=" << seed);
    history h{seed};
    h.run(60);
  }
}
