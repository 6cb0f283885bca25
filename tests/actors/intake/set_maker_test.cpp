#include "actors/intake/set_maker.hpp"
#include "schemas/model/set_memory.hpp"
#include "tests/schemas/support.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <numeric>

using namespace skerry;
using namespace skerry::intake;

namespace {

metric_family family(const std::string& name, const std::string& help = {}) {
  return {name, metric_type::gauge, help, {}};
}

labels series_of(const std::string& name, std::size_t id, std::size_t bytes = 0) {
  labels all{{std::string{label_name}, name}, {"id", std::to_string(id) + std::string(bytes, 'x')}};
  sort_labels(all);
  return all;
}

void add(pending_series& to, const std::string& name, std::size_t count, std::uint32_t group = 0,
         std::size_t bytes = 0) {
  for (std::size_t i = 0; i < count; ++i)
    to.add(family(name), series_of(name, i, bytes), group);
}

std::vector<std::size_t> counts(const set_maker& of) {
  std::vector<std::size_t> out;
  for (const auto& made : of.sets())
    out.push_back(made.count);
  return out;
}

// What sets say of every series by its reference, checked on the way.
std::vector<std::pair<labels, metric_family>> read(const set_maker& from) {
  std::vector<std::pair<labels, metric_family>> out;
  std::size_t bytes = 0;
  for (const auto& made : from.sets()) {
    CHECK(made.first == out.size());
    CHECK(made.set->members.empty());
    bytes += sizeof made + memory_bytes(*made.set);
    const auto decoded = decode_series_set(made.set->encoded);
    REQUIRE(decoded);
    REQUIRE(decoded.value()->hash == made.set->hash);
    REQUIRE(decoded.value()->members.size() == made.count);
    for (const auto& member : decoded.value()->members) {
      CHECK(from.index_of(static_cast<series_ref>(out.size()))
            == static_cast<std::size_t>(&made - from.sets().data()));
      out.emplace_back(member.all, decoded.value()->families[member.family]);
      CHECK((made.family_bits & family_bit(hash_name(out.back().second.name))) != 0);
    }
  }
  CHECK(from.next_ref() == out.size());
  CHECK(from.memory_bytes() == bytes);
  return out;
}

} // namespace

TEST_CASE("sets are cut at families, unless their owner's series come in any order") {
  for (const bool whole : {true, false}) {
    set_maker maker{{.whole_families = whole}};
    pending_series all;
    add(all, "a", 200);
    add(all, "b", 100);
    add(all, "c", 300);
    CHECK(maker.append(std::move(all)) == 0);
    CHECK(read(maker).size() == 600);
    CHECK(counts(maker)
          == (whole ? std::vector<std::size_t>{200, 256, 144} : std::vector<std::size_t>{256, 256, 88}));
  }
}

TEST_CASE("sets are cut at their bound in bytes") {
  constexpr std::size_t each = 60'000;
  set_maker maker;
  pending_series all;
  add(all, "a", 100, 0, each);
  maker.append(std::move(all));
  CHECK(read(maker).size() == 100);
  CHECK(counts(maker).front()
        == (set_text_bytes_max - text_bytes(family("a"))) / text_bytes(series_of("a", 10, each)));

  set_maker roomy{{.text_per_series = set_text_bytes_max / 4}};
  pending_series few;
  add(few, "a", 9);
  roomy.append(std::move(few));
  CHECK(counts(roomy) == std::vector<std::size_t>{3, 3, 3}); // four leave nothing for their labels
}

TEST_CASE("sets are cut between groups, and those of groups stay as they are") {
  set_maker maker;
  pending_series all;
  add(all, "a", 3);
  add(all, "b", 3, 1);
  add(all, "b", 3, 2);
  maker.append(std::move(all));
  CHECK(counts(maker) == std::vector<std::size_t>{3, 3, 3});
  CHECK_FALSE(maker.sets()[0].grouped);
  CHECK(maker.sets()[2].grouped);
  pending_series more;
  add(more, "c", 5);
  CHECK(maker.append(std::move(more)) == 3);
  CHECK(counts(maker) == std::vector<std::size_t>{3, 3, 3, 5});
}

TEST_CASE("series that trickle in make few sets, and move few times") {
  set_maker maker;
  constexpr std::size_t series = 2000;
  std::size_t made = 0;
  for (std::size_t i = 0; i < series; ++i) {
    pending_series one;
    one.add(family("f" + std::to_string(i % 3)), series_of("f" + std::to_string(i % 3), i));
    const auto first = maker.append(std::move(one));
    made += maker.sets().size() - first;
  }
  const auto all = read(maker);
  for (std::size_t i = 0; i < series; ++i)
    CHECK(all[i]
          == std::pair{series_of("f" + std::to_string(i % 3), i), family("f" + std::to_string(i % 3))});
  CHECK(made == series); // one an append
  CHECK(maker.sets().size() < 20);
}

TEST_CASE("a set whose families are described otherwise is made anew, a bounded number of times") {
  set_maker maker;
  pending_series all;
  add(all, "a", 2);
  add(all, "b", 2);
  maker.append(std::move(all));
  const auto before = maker.sets()[0].set;
  auto now = family("b", "text");
  const auto describe = [&now](const metric_family& as_it_is, const labels&) {
    return as_it_is.name == now.name ? &now : nullptr;
  };
  CHECK_FALSE(maker.redescribe(0, [](const metric_family&, const labels&) { return nullptr; }));
  CHECK(maker.sets()[0].set == before);
  CHECK(maker.redescribe(0, describe));
  CHECK_FALSE(maker.redescribe(0, describe)); // it says so already
  const auto read_again = read(maker);
  CHECK(read_again[1].second == family("a"));
  CHECK(read_again[3].second == now);
  now.help = std::string(set_bytes_max, 'h');
  CHECK_FALSE(maker.redescribe(0, describe));
  int changes = 1;
  for (int i = 0; i < 100; ++i) {
    now.help = std::to_string(i);
    changes += maker.redescribe(0, describe) ? 1 : 0;
  }
  CHECK(changes == set_metadata_changes_max);
}

TEST_CASE("series of small sets are described as they are when those are made anew") {
  set_maker maker{{.whole_families = false}};
  pending_series first;
  first.add(family("rq_sum"), series_of("rq_sum", 1));
  maker.append(std::move(first));
  const auto known = family("rq", "requests");
  pending_series second;
  CHECK(second.add(known, series_of("rq_count", 1)));
  CHECK_FALSE(second.add(known, series_of("rq_count", 2)));
  maker.append(std::move(second), [&known](const metric_family&, const labels& all) {
    return value_of(all, label_name).starts_with("rq_") ? &known : nullptr;
  });
  REQUIRE(maker.sets().size() == 1);
  for (const auto& [all, described] : read(maker))
    CHECK(described == known);
}

TEST_CASE("whatever comes in whatever order, each series stands where its reference says") {
  const auto seed = test::pick_seed();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  for (int run = 0; run < 20; ++run) {
    set_maker maker{{.whole_families = random() % 2 == 0}};
    std::vector<labels> model;
    std::map<std::string, metric_family> described;
    for (int step = 0; step < 30; ++step) {
      pending_series all;
      std::vector<labels> added;
      std::vector<series_ref> order;
      const bool grouped = random() % 4 == 0;
      const auto count = random() % 3 == 0 ? random() % 900 : random() % 20;
      for (std::size_t i = 0; i < count; ++i) {
        const auto name = "f" + std::to_string(random() % 40);
        described.try_emplace(name, family(name, "first"));
        added.push_back(series_of(name, model.size() + i, random() % 200 == 0 ? 60'000 : 0));
        all.add(described[name], added.back());
        order.push_back(static_cast<series_ref>(i));
      }
      if (grouped && count != 0) {
        std::shuffle(order.begin(), order.end(), random);
        std::vector<std::uint32_t> groups(count);
        for (std::size_t i = 0; i < count; ++i)
          groups[i] = static_cast<std::uint32_t>(1 + i / 7);
        all.reorder(order, std::move(groups));
      }
      maker.append(std::move(all));
      for (const auto old : order)
        model.push_back(added[old]);
      if (random() % 3 == 0 && !described.empty()) {
        auto& changed =
            std::next(described.begin(), static_cast<std::ptrdiff_t>(random() % described.size()))->second;
        changed.help = std::to_string(step);
        for (std::size_t i = 0; i < maker.sets().size(); ++i)
          maker.redescribe(
              i, [&](const metric_family& as_it_is, const labels&) { return &described[as_it_is.name]; });
      }
      const auto found = read(maker);
      REQUIRE(found.size() == model.size());
      for (std::size_t i = 0; i < model.size(); ++i) {
        REQUIRE(found[i].first == model[i]);
        REQUIRE(found[i].second.name == value_of(model[i], label_name));
      }
    }
  }
}

TEST_CASE("a section says which series have values, unless all have") {
  set_maker maker;
  pending_series all;
  add(all, "a", 70);
  maker.append(std::move(all));
  const auto& made = maker.sets()[0];
  frame to;
  section_writer some{to, made};
  some.put(3, 1.5);
  some.put(69, 2.5);
  some.finish();
  CHECK(to.sections[0].set == made.set->hash);
  CHECK(to.sections[0].series_count == 70);
  CHECK(to.sections[0].present == std::vector<std::uint64_t>{8, 32});
  section_writer every{to, made};
  for (series_ref ref = 0; ref < 70; ++ref)
    every.put(ref, 1);
  every.finish();
  CHECK(to.sections[1].present.empty());
  CHECK(to.values.size() == 72);
}
