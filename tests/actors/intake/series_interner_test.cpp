#include "actors/intake/series_interner.hpp"
#include "schemas/model/series.hpp"
#include "tests/schemas/support.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <numeric>

using namespace skerry;
using namespace skerry::intake;

namespace {

labels numbered(int i) { return {{std::string{label_name}, "m"}, {"id", std::to_string(i)}}; }

} // namespace

TEST_CASE("a key is of names and values in their places, and of its scope") {
  const labels all{{"a", "bc"}, {"d", ""}};
  CHECK(key_of(all) == key_of(labels{{"a", "bc"}, {"d", ""}}));
  CHECK_FALSE(key_of(all) == key_of(labels{{"ab", "c"}, {"d", ""}}));
  CHECK_FALSE(key_of(all) == key_of(labels{{"d", ""}, {"a", "bc"}}));
  CHECK_FALSE(key_of(all) == key_of(all, "x"));
  CHECK(hash_seed() == hash_seed());
}

TEST_CASE("every series has one reference, whatever is added, put in another order or forgotten") {
  const auto seed = test::pick_seed();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  series_interner under_test;
  std::map<int, series_ref> model;
  std::vector<int> by_ref;
  CHECK(under_test.find(key_of(numbered(0))) == no_series);
  for (int step = 0; step < 5000; ++step) {
    const auto id = static_cast<int>(random() % 3000);
    const auto found = under_test.find(key_of(numbered(id)));
    REQUIRE(found == (model.contains(id) ? model[id] : no_series));
    if (found == no_series) {
      model[id] = under_test.add(key_of(numbered(id)));
      REQUIRE(model[id] == by_ref.size());
      by_ref.push_back(id);
    }
    if (random() % 500 == 0) {
      std::vector<series_ref> order(random() % (by_ref.size() + 1));
      std::iota(order.begin(), order.end(), 0);
      std::shuffle(order.begin(), order.end(), random);
      under_test.reorder_last(order);
      const auto first = by_ref.size() - order.size();
      const std::vector<int> before(by_ref.begin() + static_cast<std::ptrdiff_t>(first), by_ref.end());
      for (std::size_t i = 0; i < order.size(); ++i) {
        by_ref[first + i] = before[order[i]];
        model[by_ref[first + i]] = static_cast<series_ref>(first + i);
      }
    }
    if (random() % 2000 == 0) {
      under_test.clear();
      model.clear();
      by_ref.clear();
      CHECK(under_test.memory_bytes() == 0);
    }
    REQUIRE(under_test.size() == model.size());
  }
}
