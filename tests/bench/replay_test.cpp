#include "tests/bench/replay_source.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <unistd.h>

using namespace skerry::bench;

namespace {

std::string go(double v) {
  char text[32];
  return {text, format_go(v, text)};
}

struct files {
  std::vector<std::string> names;
  explicit files(const std::vector<std::string>& bodies) {
    char folder[] = "/tmp/skerry-replay-XXXXXX";
    REQUIRE(mkdtemp(folder) != nullptr);
    folder_ = folder;
    for (const auto& body : bodies) {
      names.push_back(folder_ + "/" + std::to_string(names.size()) + ".txt");
      std::ofstream{names.back()} << body;
    }
  }
  ~files() {
    for (const auto& name : names)
      unlink(name.c_str());
    rmdir(folder_.c_str());
  }

private:
  std::string folder_;
};

std::vector<std::string> scrapes() {
  std::vector<std::string> out;
  for (int i = 0; i < 5; ++i)
    out.push_back("# TYPE jobs_total counter\njobs_total{queue=\"a\"} " + std::to_string(1000 + 37 * i)
                  + "\n# TYPE read_bytes_total counter\nread_bytes_total{device=\"vda\"} "
                  + std::to_string(512 * (100 + 9 * i)) + "\n# TYPE free_bytes gauge\nfree_bytes "
                  + std::to_string(4096 * (5000 + 40 * ((i * 3) % 5))) + "\n# TYPE load gauge\nload 0."
                  + std::to_string(21 + i / 2) + "\n# TYPE up gauge\nnode_info{nodename=\"recorded\"} 1\n");
  return out;
}

} // namespace

TEST_CASE("numbers are printed as Go prints them") {
  CHECK(go(0) == "0");
  CHECK(go(860592) == "860592");
  CHECK(go(1069616) == "1.069616e+06");
  CHECK(go(4194304) == "4.194304e+06");
  CHECK(go(15.024000000000001) == "15.024000000000001");
  CHECK(go(0.0001) == "0.0001");
  CHECK(go(0.0000132) == "1.32e-05");
  CHECK(go(1.7951491767202682e+09) == "1.7951491767202682e+09");
  CHECK(go(-2.5) == "-2.5");
  CHECK(go(1e100) == "1e+100");
}

TEST_CASE("counters go on without resets and keep granule and digits") {
  const files recorded{scrapes()};
  auto loaded = recording::load(recorded.names);
  REQUIRE(loaded);
  const auto from = std::make_shared<const recording>(std::move(loaded).value());
  REQUIRE(from->series().size() == 5);
  for (std::uint32_t t = 0; t < 20; ++t) {
    replay_target target{from, 7, t};
    double jobs = 0, bytes = 0;
    for (std::uint64_t step = 0; step < 40; ++step) {
      const double jobs_now = std::strtod(std::string{target.value(0, step)}.c_str(), nullptr);
      const double bytes_now = std::strtod(std::string{target.value(1, step)}.c_str(), nullptr);
      CHECK(jobs_now >= jobs);
      CHECK(bytes_now >= bytes);
      CHECK(static_cast<long>(jobs_now) == jobs_now);
      CHECK(static_cast<long>(bytes_now) % 512 == 0);
      const auto free_now = std::strtod(std::string{target.value(2, step)}.c_str(), nullptr);
      CHECK(static_cast<long>(free_now) % 4096 == 0);
      CHECK(std::string{target.value(3, step)}.size() <= 4);
      CHECK(target.value(4, step) == "1");
      jobs = jobs_now;
      bytes = bytes_now;
    }
    CHECK(jobs > 1000);
  }
}

TEST_CASE("the same seed serves the same, whatever was asked before; targets and seeds differ") {
  const files recorded{scrapes()};
  auto loaded = recording::load(recorded.names);
  REQUIRE(loaded);
  const auto from = std::make_shared<const recording>(std::move(loaded).value());
  replay_target a{from, 7, 3}, b{from, 7, 3}, other{from, 7, 4}, reseeded{from, 8, 3};
  std::string left, right;
  for (std::uint64_t step = 0; step < 30; ++step) {
    a.render(step, left);
    if (step % 7 == 3) {
      b.render(step, right);
      CHECK(left == right);
      CHECK(left.find("nodename=\"replay-0003\"") != std::string::npos);
      CHECK(left.find("replay_step " + std::to_string(step) + "\n") != std::string::npos);
      other.render(step, right);
      CHECK(left != right);
      reseeded.render(step, right);
      CHECK(left != right);
    }
  }
}
