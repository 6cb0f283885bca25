// The frames and sets of a source over hundreds of rounds in which everything happens that happens to sources: pinned,
// so that a change of the code that makes them shows where it is none of what it makes.

#include "edge/collect/frame_assembler.hpp"
#include "tests/actors/intake/transcript.hpp"

#include <random>

using namespace skerry;
using namespace skerry::edge;

namespace {

// A source whose series come and go, some with times of their own, some with long labels.
class source {
public:
  explicit source(std::uint64_t seed) : random_(seed) {}

  std::string run(int rounds) {
    for (int round = 1; round <= rounds; ++round)
      one(round);
    const auto& c = assembler_.counters();
    out_.note("counters {} {} {} {} {} {} {} {} {}", c.duplicates, c.series_refused, c.samples_refused,
              c.samples_ahead, c.stale_markers, c.sets_made, c.rebuilds, assembler_.series_count(),
              assembler_.set_count());
    // Or the digest says little.
    CHECK(c.rebuilds > 1);
    CHECK(assembler_.refs_epoch() > c.rebuilds); // put in order by their times
    CHECK(std::min({c.duplicates, c.stale_markers, c.sets_made}) > 100);
    return out_.digest();
  }

private:
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  metric_family family(std::uint64_t number) const {
    return {"f" + std::to_string(number), number % 3 == 0 ? metric_type::counter : metric_type::gauge,
            "Help " + std::to_string(versions_[number % versions_.size()]), number % 5 == 0 ? "bytes" : ""};
  }

  void sample(std::uint64_t number, int round) {
    const auto of = family(number / 7);
    labels all{{std::string{label_name}, of.name}, {"id", std::to_string(number)}};
    if (number % 501 == 0)
      all.push_back({"long", std::string(60'000, 'x')});
    sort_labels(all);
    const auto ref = assembler_.intern(of, all);
    if (ref == no_series)
      return;
    const auto value = std::bit_cast<double>(number % 11 == 0 ? random_() : std::uint64_t{0x4010} << 48);
    if (number % 4 == 0 && stamped_)
      assembler_.add_at(ref, value, (round * 1000 - static_cast<std::int64_t>(number % 9)) * 1'000'000);
    else if (below(50) == 0)
      assembler_.add_again(ref);
    else
      assembler_.add(ref, value);
  }

  void one(int round) {
    stamped_ = round % 3 != 0;
    if (below(9) == 0) {
      ++versions_[below(versions_.size())];
      assembler_.redeclare(family(below(300)));
    }
    if (below(25) == 0) // a target that begins anew, or moves on
      from_ += 10 + below(3000);
    const auto time_ns = round * std::int64_t{1'000'000'000};
    assembler_.begin(time_ns);
    if (below(8) == 0) { // forgotten again
      for (std::uint64_t i = 0; i < 40; ++i)
        sample(from_ + i, round);
      assembler_.begin(time_ns);
    }
    const bool failed = below(12) == 0;
    const auto count = below(4) == 0 ? below(40) : below(1500);
    if (failed)
      assembler_.mark_failed();
    else
      for (std::uint64_t i = 0; i < count; ++i)
        if (below(30) != 0)
          sample(from_ + (below(60) == 0 ? below(5000) : i), round);
    out_.note("round {} {} {}\n", round, assembler_.added(), assembler_.appeared());
    const auto made =
        below(30) == 0 ? assembler_.stale_all(time_ns, round, "h") : assembler_.finish(time_ns, round, "h");
    out_.take(made.records, made.sets);
    out_.note("samples {} epoch {}\n", made.samples, assembler_.refs_epoch());
  }

  std::mt19937_64 random_;
  frame_assembler assembler_;
  test::transcript out_;
  std::vector<int> versions_ = std::vector<int>(40);
  std::uint64_t from_ = 0;
  bool stamped_ = false;
};

} // namespace

TEST_CASE("a source's frames and sets are those that they always were") {
  CHECK(source{1}.run(400) == "33f479643a117063b171e140c9d2561d");
  CHECK(source{2}.run(400) == "b40fcb5dd80e1e7f329a7fb06942271e");
  CHECK(source{3}.run(400) == "a7e15fb8dde2dff53da2e9f27898da89");
}

TEST_CASE("sets that are made early are those that they always were") {
  frame_assembler a;
  test::transcript out;
  for (std::uint64_t round = 0; round < 3; ++round) {
    a.begin();
    for (std::uint64_t i = 0; i < 2 * pending_series_max; ++i) {
      const metric_family family{"f" + std::to_string(i % 700), metric_type::gauge, std::string(i % 700, 'h'),
                                 ""};
      labels all{{std::string{label_name}, family.name}, {"id", std::to_string(i + round * 1000)}};
      sort_labels(all);
      a.add(a.intern(family, all), static_cast<double>(i));
    }
    const auto made = a.finish(1, 2, "h");
    out.take(made.records, made.sets);
  }
  CHECK(out.digest() == "6ca7e5291dfdb4057cb45f4da75e69a5");
}
