// The file of the age clock: its text, and what stands for one that is missing or damaged.

#include "edge/spool/age_clock.hpp"
#include "tests/edge/spool/spool_world.hpp"

#include <fstream>
#include <iterator>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

constexpr std::int64_t hour = 3'600'000'000'000;

struct fixture {
  temporary_directory directory;
  test_clock clock;
  prometheus::Gauge waits;
  fs::path file = directory.path() / "CLOCK";

  age_clock made(std::chrono::nanoseconds wait = std::chrono::hours{24}) {
    return {file, wait, true, clock, waits};
  }
  void put(const std::string& text) const { std::ofstream{file, std::ios::binary} << text; }
  [[nodiscard]] std::string text() const {
    std::ifstream in{file, std::ios::binary};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
};

std::string golden() {
  return fmt::format("skerry-age-clock 1\n{} {} {}\ncheck {}\n", 1'700'000'000'000'000'000,
                     1'731'536'000'000'000'000, 7'200'000'000'000, "430b5b67c0e14bd0");
}

} // namespace

TEST_CASE("the age clock goes on from its file") {
  fixture f;
  f.put(golden());
  f.clock.ahead = 31'536'000'000'000'000; // a year, as it claims
  auto time = f.made();
  time.load(0);
  CHECK(time.now_ns() < f.clock.now + hour);
  CHECK(time.ahead() > std::chrono::hours{24 * 364});
  f.clock.now += 21 * hour;
  CHECK(time.now_ns() <= f.clock.now);
  f.clock.now += hour; // two hours of waiting are from before
  CHECK(time.now_ns() > f.clock.now + 364 * 24 * hour);
  CHECK(time.ahead().count() == 0);
}

TEST_CASE("the age clock writes what it will read") {
  fixture f;
  f.put(golden());
  auto time = f.made();
  time.load(0);
  time.save();
  CHECK(f.text() == golden());
}

TEST_CASE("without a sound file the age clock begins with the newest commit") {
  fixture f;
  std::string damaged = golden();
  damaged[25] ^= 1;
  std::vector<std::string> texts(4, damaged); // the first stands for none
  texts[0].clear();
  texts[2] = golden() + "x";
  texts[3].assign(5000, '7');
  for (const auto& text : texts) {
    INFO(text.substr(0, 80));
    if (!text.empty())
      f.put(text);
    f.clock.ahead = 1000 * hour;
    auto time = f.made();
    const auto last_commit_ns = f.clock.now.load() - 2 * hour;
    time.load(last_commit_ns);
    CHECK(time.now_ns() <= f.clock.now);
    CHECK(time.ahead().count() > 0);
    auto fresh = f.made();
    fs::remove(f.file);
    fresh.load(0); // nothing was ever committed: nothing can be too old
    CHECK(fresh.ahead().count() == 0);
    CHECK(fresh.now_ns() > f.clock.now + 999 * hour);
  }
}
