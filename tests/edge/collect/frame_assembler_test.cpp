#include "edge/collect/frame_assembler.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <time.h>
#include <unordered_map>

using namespace skerry;
using namespace skerry::edge;

namespace {

std::uint64_t seed_of_test() {
  if (const char* s = std::getenv("SKERRY_SEED"))
    return std::strtoull(s, nullptr, 10);
  return std::random_device{}();
}

labels named(std::string name, std::string instance = "a") {
  labels all{{std::string{label_name}, std::move(name)}, {"instance", std::move(instance)}};
  sort_labels(all);
  return all;
}

// What a receiver that keeps every set makes of collections: (series, time) -> value bits.
struct receiver {
  std::unordered_map<set_hash, series_set_ptr> sets;
  value_decoder decoder;
  std::map<std::int64_t, std::map<std::string, std::uint64_t>> by_time;
  std::map<std::string, metric_family> families;

  void take(const collection& from) {
    for (const auto& set : from.sets) {
      REQUIRE(hash_set(set->encoded.view) == set->hash);
      auto decoded = decode_series_set(set->encoded);
      REQUIRE(decoded);
      for (const auto& member : decoded.value()->members)
        families[to_string(member.all)] = decoded.value()->families[member.family];
      sets[set->hash] = decoded.value();
    }
    std::uint64_t samples = 0;
    std::set<set_hash> named_sets;
    for (const auto& record : from.records) {
      REQUIRE(record.kind == record_kind::frame);
      frame f;
      REQUIRE(decode_frame(record.payload, decoder, f));
      REQUIRE(f.time_ns == record.time_ns);
      std::size_t at = 0;
      for (const auto& section : f.sections) {
        named_sets.insert(section.set);
        REQUIRE(sets.contains(section.set));
        const auto& set = *sets[section.set];
        REQUIRE(set.members.size() == section.series_count);
        for (std::size_t i = 0; i < section.series_count; ++i) {
          if (!section.present.empty() && ((section.present[i / 64] >> (i % 64)) & 1) == 0)
            continue;
          const auto [it, fresh] = by_time[f.time_ns].try_emplace(to_string(set.members[i].all),
                                                                  std::bit_cast<std::uint64_t>(f.values[at]));
          INFO(it->first);
          REQUIRE(fresh);
          ++at;
        }
      }
      REQUIRE(at == f.values.size());
      samples += at;
    }
    REQUIRE(samples == from.samples);
    REQUIRE(named_sets.size() == from.sets.size());
  }
};

const metric_family gauge{"g", metric_type::gauge, "A gauge.", ""};

} // namespace

TEST_CASE("a frame holds what was added, in sets cut at families") {
  frame_assembler a;
  a.begin();
  for (int f = 0; f < 3; ++f) {
    const metric_family family{"f" + std::to_string(f), metric_type::gauge, "", ""};
    for (int i = 0; i < 200; ++i)
      REQUIRE(a.add(a.intern(family, named(family.name, std::to_string(i))), f * 1000 + i));
  }
  const metric_family big{"big", metric_type::counter, "", ""};
  for (int i = 0; i < 600; ++i)
    a.add(a.intern(big, named("big", std::to_string(i))), i);
  const auto made = a.finish(5, 6, "h");
  REQUIRE(made.records.size() == 1);
  CHECK(made.records[0].host == "h");
  CHECK(made.samples == 1200);
  std::vector<std::size_t> counts;
  for (const auto& set : made.sets)
    counts.push_back(decode_series_set(set->encoded).value()->members.size());
  // The big family starts in the set of the third: it has to be spread over several anyway.
  CHECK(counts == std::vector<std::size_t>{200, 200, 256, 256, 256, 32});
  receiver r;
  r.take(made);
  CHECK(r.by_time[5].size() == 1200);
  CHECK(r.families[to_string(named("big", "7"))] == big);
}

TEST_CASE("a series that ends gets one stale marker, and none where its samples carry times") {
  frame_assembler a;
  receiver r;
  const auto x = a.intern(gauge, named("g", "x"));
  const auto y = a.intern(gauge, named("g", "y"));
  const auto z = a.intern(gauge, named("g", "z"));
  a.begin();
  a.add(x, 1);
  a.add(y, 2);
  a.add_at(z, 3, 77);
  CHECK(a.appeared() == 3);
  r.take(a.finish(1000, 0, ""));
  CHECK(r.by_time[1000].size() == 2);
  CHECK(r.by_time[77].size() == 1);
  for (const std::int64_t t : {2000, 3000}) {
    a.begin();
    a.add(x, 1);
    CHECK(a.appeared() == 0);
    r.take(a.finish(t, 0, ""));
  }
  CHECK(r.by_time[2000].at(to_string(named("g", "y"))) == stale_bits);
  CHECK(r.by_time[2000].size() == 2);
  CHECK(r.by_time[3000].size() == 1);
  r.take(a.stale_all(4000, 0, ""));
  CHECK(r.by_time[4000].at(to_string(named("g", "x"))) == stale_bits);
  CHECK(a.stale_all(5000, 0, "").records.empty());
  a.begin();
  a.add(x, 1);
  a.add(y, 1);
  CHECK(a.appeared() == 1); // x was in the last round that had samples
}

TEST_CASE("the first of duplicates stays") {
  frame_assembler a;
  receiver r;
  a.begin();
  const auto x = a.intern(gauge, named("g"));
  CHECK(a.intern(gauge, named("g")) == x);
  CHECK(a.add(x, 1));
  CHECK_FALSE(a.add(x, 2));
  a.add_at(x, 5, 9);
  a.add_at(x, 6, 9);
  r.take(a.finish(1, 0, ""));
  CHECK(r.by_time[1].begin()->second == std::bit_cast<std::uint64_t>(1.0));
  CHECK(r.by_time[9].begin()->second == std::bit_cast<std::uint64_t>(5.0));
  CHECK(a.counters().duplicates == 2);
}

TEST_CASE("a sample with a time of its own that stands unchanged is recorded once") {
  frame_assembler a;
  const auto x = a.intern(gauge, named("g", "x"));
  const auto y = a.intern(gauge, named("g", "y"));
  const auto frames_of = [&](double value, std::int64_t time_ns) {
    a.begin(1000);
    a.add(y, 1);
    a.add_at(x, value, time_ns);
    CHECK(a.added() == (value == 6 ? 1 : 2)); // a second value at one time is none
    return a.finish(1000, 1, "").records.size();
  };
  CHECK(frames_of(5, 9) == 2);
  CHECK(frames_of(5, 9) == 1);
  CHECK(a.appeared() == 0);
  CHECK(frames_of(5, 10) == 2);
  CHECK(frames_of(6, 10) == 1); // of two values at one time the first stays
  CHECK(a.counters().duplicates == 1);
  // What was forgotten was not recorded.
  a.begin(1000);
  a.add_at(x, 7, 11);
  a.begin(1000);
  CHECK(a.finish(1000, 1, "").records.size() == 1); // y is stale
  CHECK(frames_of(7, 11) == 2);
}

TEST_CASE("a sample whose own time is too far ahead of the round's is not kept") {
  frame_assembler a;
  const auto x = a.intern(gauge, named("g", "x"));
  a.begin(1000);
  CHECK(a.add_at(x, 1, 1000 + stamped_ahead_max_ns));
  CHECK_FALSE(a.add_at(x, 1, 1001 + stamped_ahead_max_ns));
  CHECK(a.added() == 1);
  CHECK(a.counters().samples_ahead == 1);
}

TEST_CASE("what was added and then forgotten leaves no trace") {
  frame_assembler a;
  receiver r;
  const auto x = a.intern(gauge, named("g", "x"));
  a.begin();
  a.add(x, 1);
  r.take(a.finish(1, 0, ""));
  a.begin();
  a.add(x, 2);
  r.take(a.stale_all(2, 0, ""));
  CHECK(r.by_time[2].begin()->second == stale_bits);
}

TEST_CASE("changed metadata makes its sets anew, a bounded number of times") {
  frame_assembler a;
  receiver r;
  const auto x = a.intern(gauge, named("g"));
  a.begin();
  a.add(x, 1);
  const auto first = a.finish(1, 0, "");
  r.take(first);
  for (int i = 0; i < 100; ++i) {
    auto changed = gauge;
    changed.help = "text " + std::to_string(i);
    a.redeclare(changed);
    a.begin();
    a.add(x, 1);
    r.take(a.finish(10 + i, 0, ""));
    if (i == 0)
      CHECK(r.families[to_string(named("g"))] == changed);
  }
  CHECK(r.sets.size() == 1 + set_metadata_changes_max);
}

TEST_CASE("series that do not fit a set are refused") {
  frame_assembler a;
  CHECK(a.intern(gauge, named("g", std::string(label_value_bytes_max + 1, 'x'))) == no_series);
  labels many{{std::string{label_name}, "g"}};
  for (std::size_t i = 0; i < labels_max; ++i)
    many.push_back({"l" + std::to_string(i), "v"});
  sort_labels(many);
  CHECK(a.intern(gauge, many) == no_series);
  CHECK(a.counters().series_refused == 2);
  // Large labels: cut by bytes.
  a.begin();
  for (int i = 0; i < 200; ++i)
    a.add(a.intern(gauge, named("g", std::string(60'000, 'x') + std::to_string(i))), i);
  receiver r;
  r.take(a.finish(1, 0, ""));
  CHECK(r.by_time[1].size() == 200);
}

TEST_CASE("what is long or much in Prometheus' eyes too is kept") {
  frame_assembler a;
  receiver r;
  a.begin();
  labels many{{std::string{label_name}, "g"}};
  for (int i = 0; i < 300; ++i)
    many.push_back({"l" + std::to_string(1000 + i), "v"});
  const metric_family wordy{"wordy", metric_type::gauge,
                            std::string(help_bytes_max - 1, 'h') + "\u00e4 and more", ""};
  REQUIRE(a.add(a.intern(gauge, many), 1));
  REQUIRE(a.add(a.intern(wordy, named("wordy")), 2));
  r.take(a.finish(1, 0, ""));
  CHECK(r.by_time[1].size() == 2);
  CHECK(r.by_time[1].contains(to_string(many)));
  CHECK(r.families[to_string(named("wordy"))].help
        == std::string(help_bytes_max - 1, 'h')); // no half characters
  CHECK(a.counters().series_refused == 0);
}

namespace {

// A page of cAdvisor: by metric, and in it by container, each with the time at which that was looked at.
collection containers(frame_assembler& a, int count, int metrics, std::int64_t round, bool stamped) {
  a.begin();
  for (int m = 0; m < metrics; ++m) {
    const metric_family family{"container_" + std::to_string(m), metric_type::counter, "Help.", ""};
    for (int c = 0; c < count; ++c) {
      const auto ref = a.intern(family, named(family.name, "c" + std::to_string(c)));
      const auto value =
          static_cast<double>((m * 7919LL + c * 104'729LL * c + round * 15'485'863) % 1'000'003);
      if (stamped)
        a.add_at(ref, value, (round * 15'000 - 37 * c) * 1'000'000);
      else
        a.add(ref, value);
    }
  }
  const metric_family own{"up", metric_type::gauge, "", ""};
  a.add(a.intern(own, named("up")), 1);
  return a.finish(round * 15'000'000'000, 1, "h");
}

std::size_t bytes_of(const collection& made) {
  std::size_t bytes = 0;
  for (const auto& record : made.records)
    bytes += record_header_bytes + record.host.size() + record.payload.size();
  return bytes;
}

} // namespace

TEST_CASE("many times of many series are all kept, at little more than one time costs") {
  constexpr int count = 600;
  constexpr int metrics = 50;
  frame_assembler plain;
  frame_assembler stamped;
  receiver r;
  for (std::int64_t round = 1; round <= 3; ++round) {
    const auto cheap = containers(plain, count, metrics, round, false);
    const auto made = containers(stamped, count, metrics, round, true);
    r.take(made);
    std::size_t samples = 0;
    for (int c = 0; c < count; ++c)
      samples += r.by_time[(round * 15'000 - 37 * c) * 1'000'000].size();
    CHECK(samples == count * metrics + 1U); // and `up`, at the time of the first
    INFO(bytes_of(made) << " bytes, " << bytes_of(cheap) << " without times");
    CHECK(bytes_of(made) < 3 * bytes_of(cheap));
    CHECK(stamped.set_count() == count + 1U);
  }
  CHECK(stamped.refs_epoch() == 1); // once put in order they stay
  CHECK(stamped.counters().samples_refused == 0);
}

TEST_CASE("of more times than a round takes the newest are kept, and the rest is told") {
  frame_assembler a;
  a.begin();
  const auto many = stamped_times_max + 10;
  for (std::size_t i = 0; i < many; ++i)
    a.add_at(a.intern(gauge, named("g", std::to_string(i))), 1, static_cast<std::int64_t>(i) * 1'000'000);
  CHECK(a.drop_excess_times() == 10);
  const auto made = a.finish(1, 0, "");
  CHECK(made.samples == stamped_times_max);
  CHECK(made.records.front().time_ns == 10 * 1'000'000);
  CHECK(made.records.size() <= run_records_max / 2); // one commit takes them
  CHECK(a.counters().samples_refused == 10);
}

TEST_CASE("collected families go in as they are") {
  frame_assembler a;
  receiver r;
  a.begin();
  a.add_families({{gauge, {{named("g", "x"), 1}, {named("g", "y"), 2}}}});
  r.take(a.finish(1, 2, "h"));
  CHECK(r.by_time[1].size() == 2);
}

TEST_CASE("whatever comes and goes, the receiver sees each value and each end once") {
  const auto seed = seed_of_test();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  frame_assembler a;
  receiver r;
  std::set<int> live; // of the model: the last finish held a value
  std::uint32_t epoch = a.refs_epoch();
  std::map<int, series_ref> refs;
  const int names = 400;
  double chance = 0.5;
  for (std::int64_t round = 1; round <= 400; ++round) {
    if (random() % 40 == 0)
      chance = static_cast<double>(random() % 100) / 100;
    if (a.refs_epoch() != epoch) {
      epoch = a.refs_epoch();
      refs.clear();
    }
    const int window = static_cast<int>(round); // names move on: old series go for good
    std::map<int, double> model;
    a.begin();
    const bool failed = random() % 20 == 0;
    for (int i = 0; i < names / 4; ++i) {
      if (static_cast<double>(random() % 1000) / 1000 >= chance)
        continue;
      const int id = window * 2 + static_cast<int>(random() % names) / 2;
      if (!refs.contains(id) || random() % 8 == 0)
        refs[id] = a.intern({"f" + std::to_string(id / 10), metric_type::gauge, "", ""},
                            named("f" + std::to_string(id / 10), std::to_string(id)));
      const auto value = static_cast<double>(random() % 1000);
      REQUIRE(a.add(refs[id], value) == model.try_emplace(id, value).second);
    }
    if (failed) {
      model.clear();
      r.take(a.stale_all(round, 0, ""));
    } else {
      r.take(a.finish(round, 0, ""));
    }
    std::map<std::string, std::uint64_t> expected;
    const auto text = [](int id) {
      return to_string(named("f" + std::to_string(id / 10), std::to_string(id)));
    };
    for (const auto& [id, value] : model)
      expected[text(id)] = std::bit_cast<std::uint64_t>(value);
    for (const int id : live)
      expected.try_emplace(text(id), stale_bits);
    INFO("round " << round);
    REQUIRE(r.by_time[round] == expected);
    live.clear();
    for (const auto& [id, value] : model)
      live.insert(id);
    REQUIRE(a.set_count() < 40);
  }
  CHECK(a.counters().rebuilds > 0);
}

namespace {

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

double cpu_of(const std::function<void()>& what) {
  const auto start = cpu_seconds();
  what();
  return cpu_seconds() - start;
}

// One round with a set of series: `families` of them, in turn where `mixed`.
void round_of(frame_assembler& a, std::size_t series, std::size_t families, bool mixed, std::size_t first = 0,
              std::string_view help = {}) {
  a.begin();
  metric_family family;
  for (std::size_t i = 0; i < series; ++i) {
    const auto f = mixed ? i % families : i * families / series;
    family = {"family_" + std::to_string(f), metric_type::gauge, std::string{help}, ""};
    a.add(a.intern(family, named(family.name, std::to_string(first + i))), static_cast<double>(i));
  }
  static_cast<void>(a.finish(1, 0, "h"));
}

} // namespace

// Four times as many series take about four times as long. Whatever is quadratic takes sixteen times.
TEST_CASE("the cost of a round grows with its series, not with their square") {
  constexpr std::size_t few = 20'000;
  constexpr std::size_t many = 4 * few;
  const auto grows = [&](const char* what, const std::function<void(std::size_t)>& run) {
    run(few); // pages in memory, code in caches
    const auto small = cpu_of([&] { run(few); });
    const auto large = cpu_of([&] { run(many); });
    INFO(what << ": " << few << " series " << small << " s, " << many << " series " << large << " s");
    CHECK(large < 9 * small + 0.05);
  };
  grows("in one family", [](std::size_t n) {
    frame_assembler a;
    round_of(a, n, 1, false);
  });
  grows("in as many families", [](std::size_t n) {
    frame_assembler a;
    round_of(a, n, n, false);
  });
  grows("in as many families, in turn", [](std::size_t n) {
    frame_assembler a;
    round_of(a, 2 * n, n, true);
  });
  grows("whose help changes", [](std::size_t n) {
    frame_assembler a;
    round_of(a, n, n, false);
    for (std::size_t f = 0; f < n; ++f)
      a.redeclare({"family_" + std::to_string(f), metric_type::gauge, "other", ""});
    round_of(a, n, n, false);
  });
  grows("that all go, until they are forgotten", [](std::size_t n) {
    frame_assembler a;
    round_of(a, n, 10, false);
    for (std::uint32_t i = 0; i <= absent_finishes_max + 1; ++i)
      round_of(a, 1, 1, false);
    REQUIRE(a.counters().rebuilds == 1);
  });
  grows("that are others in each round", [](std::size_t n) {
    frame_assembler a;
    for (std::size_t i = 0; i < 2; ++i)
      round_of(a, n, 1, false, i * n);
  });
}
