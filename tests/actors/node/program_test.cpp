// Reading the configuration at the start and again, and how a program ends.

#include "actors/node/program.hpp"

#include <catch2/catch.hpp>

using namespace skerry;

namespace {

struct plain_config {
  std::filesystem::path data = "/var/lib/plain";
  int value = 0;
};

// What `load` finds in a file of any name; by test.
loaded_configuration<plain_config> file;
bool readable = true;

result<loaded_configuration<plain_config>> load(const std::filesystem::path& name) {
  if (!readable)
    return fail(errc::not_found, name.string() + " is not there");
  return file;
}

struct world {
  const program self{"skerry-test"};
  program_options from{"test.yaml", "", false};
  settings_watch watch{{{"live", 1}, {"other", 1}}, {"live"}};
  int applied = 0;

  world() {
    file = {{"/data", 7}, {}, {{"live", 1}, {"other", 1}}};
    readable = true;
  }
  auto configure() { return self.configure<plain_config>(from, load, {}); }
  result<std::string> read_again() {
    return reading_again<plain_config>(from.config, load,
                                       watch)([this](const plain_config& now) -> result<void> {
      ++applied;
      if (now.value < 0)
        return fail(errc::invalid_argument, "below 0");
      return ok();
    });
  }
};

struct ended_node final : running_node {
  result<std::string> read_again() override { return std::string{}; }
  void on_tick() override { ++ticks; }
  bool failed() const noexcept override { return true; }
  int ticks = 0;
};

} // namespace

TEST_CASE(
    "a configuration is the file's, or the defaults, and the data directory as the command line has it") {
  world w;
  auto found = w.configure();
  REQUIRE(found);
  CHECK(found->config.value == 7);
  CHECK(found->config.data == "/data");
  CHECK(found->settings.size() == 2);
  w.from.data = "/elsewhere";
  CHECK(w.configure()->config.data == "/elsewhere");
  w.from.config.clear();
  found = w.configure();
  REQUIRE(found);
  CHECK(found->config.value == 0);
  CHECK(found->config.data == "/elsewhere");
}

TEST_CASE("a file that cannot be read, or has mistakes, is no configuration") {
  world w;
  file.errors = {"test.yaml:1: wrong"};
  CHECK(!w.configure());
  readable = false;
  CHECK(!w.configure());
}

TEST_CASE("the check says what is wrong outside the file by its exit code") {
  world w;
  CHECK(w.self.check(w.from, [] { return std::vector<std::string>{}; }) == 0);
  CHECK(w.self.check(w.from, [] { return std::vector<std::string>{"a key that others can read"}; })
        == exit_failed);
}

TEST_CASE("a reload applies what the file says, and nothing of one with mistakes") {
  world w;
  file.settings["live"] = 2;
  const auto said = w.read_again();
  REQUIRE(said);
  CHECK(said.value().find("live") != std::string::npos);
  CHECK(w.applied == 1);

  file.errors = {"test.yaml:1: wrong", "test.yaml:2: worse"};
  const auto refused = w.read_again();
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::invalid_argument);
  CHECK(refused.error().message == "test.yaml:1: wrong; test.yaml:2: worse");
  CHECK(w.applied == 1);
}

TEST_CASE("what could not be applied is not in force") {
  world w;
  file.config.value = -1;
  file.settings["live"] = 2;
  CHECK(!w.read_again());
  file.config.value = 1;
  CHECK(w.read_again().value().find("live") != std::string::npos);
}

TEST_CASE("without a file there is nothing to reload") {
  world w;
  w.from.config.clear();
  const auto refused = w.read_again();
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::unsupported);
  CHECK(w.applied == 0);
}

TEST_CASE("a program whose node has failed ends with 1") {
  const program self{"skerry-test"};
  ended_node node;
  CHECK(self.run(node) == exit_failed);
  CHECK(node.ticks == 0);
}
