#include "actors/node/part.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace skerry;

namespace {

// Writes down what becomes of it.
struct noted_part final : node_part {
  noted_part(std::string name_, std::string& log_) : name(std::move(name_)), log(log_) {}
  ~noted_part() override { log += "~" + name; }
  std::vector<http::route> routes() override { return {{"GET", "/" + name, right::read, {}}}; }
  void on_tick() override { log += "+" + name; }

  std::string name;
  std::string& log;
};

} // namespace

TEST_CASE("parts stop in the reverse order in which they were made") {
  std::string log;
  {
    node_parts parts;
    for (const auto* name : {"a", "b", "c"})
      CHECK(parts.add(std::make_unique<noted_part>(name, log)).name == name);
    CHECK(log.empty());
  }
  CHECK(log == "~c~b~a");
}

TEST_CASE("parts tick and tell their routes in the order in which they were made") {
  std::string log;
  node_parts parts;
  for (const auto* name : {"a", "b"})
    parts.add(std::make_unique<noted_part>(name, log));
  parts.on_tick();
  CHECK(log == "+a+b");
  const auto routes = parts.routes();
  REQUIRE(routes.size() == 2);
  CHECK(routes[0].path == "/a");
  CHECK(routes[1].path == "/b");
  parts.clear();
  CHECK(log == "+a+b~b~a");
  CHECK(parts.routes().empty());
}
