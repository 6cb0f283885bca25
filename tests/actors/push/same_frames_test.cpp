// The frames and sets of pushed samples over hundreds of requests, pinned: as tests/edge/collect/same_frames_test.cpp.

#include "actors/push/push_assembler.hpp"
#include "tests/actors/intake/transcript.hpp"
#include "tests/actors/push/write_builder.hpp"

#include <random>

using namespace skerry;
using namespace skerry::push;

namespace {

class sender {
public:
  explicit sender(std::uint64_t seed) : random_(seed) {}

  std::string run(int requests) {
    for (int i = 1; i <= requests; ++i)
      one(i);
    out_.note("series {}", assembler_.series_count());
    return out_.digest();
  }

private:
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  void one(int number) {
    write_builder builder;
    if (below(3) == 0)
      builder.metadata(1 + below(6), "m" + std::to_string(below(60)), "Help " + std::to_string(below(5)),
                       "s");
    const auto all = below(6) == 0 ? below(700) : below(60);
    for (std::uint64_t i = 0; i < all; ++i) {
      const auto id = below(4) == 0 ? below(3000) : i + static_cast<std::uint64_t>(number / 20) * 50;
      auto name = "m" + std::to_string(id % 60);
      if (id % 3 == 0)
        name += id % 2 == 0 ? "_total" : "_bucket";
      write_builder::label_list labels{
          {"__name__", name}, {"host", "h" + std::to_string(id % 5)}, {"id", std::to_string(id)}};
      if (id % 701 == 0)
        labels.emplace_back("long", std::string(60'000, 'x'));
      if (id % 97 == 0)
        labels.emplace_back("site", "harbour");
      write_builder::sample_list samples;
      for (auto n = below(3); n != 0; --n)
        samples.emplace_back(number * 1000 - static_cast<std::int64_t>(below(4)) * 100,
                             std::bit_cast<double>(random_()));
      builder.series(labels, samples);
    }
    REQUIRE(request_.decode(builder.body()));
    const push_rules rules{"remote", number % 7 == 0, 5'000, INT64_MAX, INT64_MIN, number * 1000 - 100};
    const auto made = assembler_.add(request_, rules);
    out_.note("request {} {} {}\n", made.samples, made.duplicates, made.refused);
    for (const auto& host : made.hosts) {
      out_.note("host {} {} {}\n", host.site, host.host, host.samples);
      out_.take(host.records, host.sets);
    }
  }

  std::mt19937_64 random_;
  push_assembler assembler_;
  write_request request_;
  test::transcript out_;
};

} // namespace

TEST_CASE("the frames and sets of what is pushed are those that they always were") {
  CHECK(sender{1}.run(400) == "88fd080be06f935a823f1bd55b622d91");
  CHECK(sender{2}.run(400) == "48fd822e917c5c0be69f65b61a403ff4");
  CHECK(sender{3}.run(400) == "534aaf19407e51969de9c744d3b43577");
}
