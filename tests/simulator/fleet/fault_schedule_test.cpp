#include "simulator/fleet/fault_schedule.hpp"
#include "simulator/fleet/tokens.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <unistd.h>

using namespace skerry;
using namespace skerry::sim;
using namespace std::chrono_literals;

namespace {

// A file that goes with its owner.
struct written {
  explicit written(const std::string& text) {
    std::string name = "/tmp/skerry-faults-XXXXXX";
    const int fd = ::mkstemp(name.data());
    REQUIRE(fd >= 0);
    ::close(fd);
    path = name;
    std::ofstream{path} << text;
  }
  ~written() { std::filesystem::remove(path); }
  std::filesystem::path path;
};

} // namespace

TEST_CASE("a fault is read from words, and written as the same") {
  for (const auto* text :
       {"site-outage at=1m for=2m site=site-001", "region-outage at=2m for=5m region=1",
        "fleet-outage at=0s for=10s return=at-once", "flapping at=1m for=10m every=1m down=10s",
        "flapping at=1m for=10m region=2 every=1m down=10s", "clock-skew at=1m for=5m site=a by=-1m30s",
        "clock-skew at=1m for=5m by=2h"}) {
    INFO(text);
    const auto fault = parse_fault(text);
    REQUIRE(fault);
    CHECK(fault.value().text() == text);
  }
  const auto fault = parse_fault("  region-outage  region=3 for=90s at=1500ms ");
  REQUIRE(fault);
  CHECK(fault.value().at == 1500ms);
  CHECK(fault.value().length == 90s);
  CHECK(fault.value().region == 3);
}

TEST_CASE("what is wrong with a fault is said") {
  const std::pair<const char*, const char*> wrong[]{
      {"", "there is no fault"},
      {"storm at=1m for=1m", "there is no fault 'storm'"},
      {"region-outage for=1m region=1", "needs 'at'"},
      {"region-outage at=1m region=1", "needs 'for'"},
      {"region-outage at=1m for=1m", "needs the region"},
      {"site-outage at=1m for=1m", "needs the site"},
      {"region-outage at=1m for=0s region=1", "above 0"},
      {"region-outage at=x for=1m region=1", "at=x"},
      {"region-outage at=1m for=1m region=0", "from 1"},
      {"region-outage at=1m for=1m region=1x", "from 1"},
      {"region-outage at=1m at=2m for=1m region=1", "twice"},
      {"region-outage at=1m for=1m region=1 site=a", "not both"},
      {"fleet-outage at=1m for=1m site=a", "does not take"},
      {"fleet-outage at=1m for=1m colour=red", "knows no 'colour'"},
      {"fleet-outage at=1m for=1m return=soon", "at-once or backoff"},
      {"flapping at=1m for=10m every=10s down=10s", "below 'every'"},
      {"flapping at=1m for=10m every=10s", "needs 'down'"},
      {"clock-skew at=1m for=1m", "needs 'by'"},
      {"fleet-outage at=1m for", "key=value"},
  };
  for (const auto& [text, says] : wrong) {
    INFO(text);
    const auto fault = parse_fault(text);
    REQUIRE_FALSE(fault);
    CHECK(fault.error().code == errc::invalid_argument);
    CHECK_THAT(fault.error().message, Catch::Contains(says));
  }
}

TEST_CASE("a schedule is read from a file, and all its mistakes with their lines") {
  const written good{"faults:\n- kind: region-outage\n  at: 2m\n  for: 5m\n  region: 1\n"
                     "- {kind: clock-skew, at: 1m, for: 1m, by: -90s}\n"};
  const auto faults = load_faults(good.path);
  REQUIRE(faults);
  REQUIRE(faults.value().size() == 2);
  CHECK(faults.value()[0].text() == "region-outage at=2m for=5m region=1");
  CHECK(faults.value()[1].text() == "clock-skew at=1m for=1m by=-1m30s");

  const written bad{
      "faults:\n- kind: region-outage\n  at: 2m\n  for: 5m\n- kind: storm\n  at: 1m\n  for: 1m\n"
      "- at: 1m\n- kind: fleet-outage\n  at: 1m\n  for: 1m\n  regoin: 1\n"};
  const auto mistakes = load_faults(bad.path);
  REQUIRE_FALSE(mistakes);
  for (const auto* says : {":2:", "needs the region", ":5:", "no fault 'storm'", "needs its kind", "regoin"})
    CHECK_THAT(mistakes.error().message, Catch::Contains(says));
  CHECK(load_faults("/nonexistent/faults.yaml").error().code == errc::not_found);
}

TEST_CASE("events come in the order of time, every cut has its return, and the last one is marked") {
  std::vector<fleet_fault> schedule;
  for (const auto* text :
       {"flapping at=10s for=30s every=10s down=4s", "region-outage at=5s for=12s region=1",
        "clock-skew at=1s for=2s by=1m", "flapping at=0s for=15s every=10s down=8s"})
    schedule.push_back(parse_fault(text).value());
  const auto events = events_of(schedule);
  std::vector<int> depth(schedule.size()), lasts(schedule.size());
  auto before = 0ns;
  for (const auto& event : events) {
    CHECK(event.at >= before);
    before = event.at;
    using action = fault_event::action;
    CHECK(lasts[event.fault] == 0); // nothing after the last one
    depth[event.fault] += event.what == action::cut || event.what == action::skew ? 1 : -1;
    CHECK((depth[event.fault] == 0 || depth[event.fault] == 1));
    lasts[event.fault] += event.last ? 1 : 0;
  }
  CHECK(depth == std::vector<int>(schedule.size()));
  CHECK(lasts == std::vector<int>(schedule.size(), 1));
  // Cut at 0 and 10 s; the second is cut off by the end of the fault.
  CHECK(std::count_if(events.begin(), events.end(), [](const auto& e) { return e.fault == 3; }) == 4);
  CHECK(std::any_of(events.begin(), events.end(),
                    [](const auto& e) { return e.fault == 3 && e.at == 15s && e.last; }));
}

TEST_CASE("tokens are found in whatever the operator's tool printed") {
  std::istringstream lines{
      "# for the fleet: skerry-join-1.commented\nskerry-join-1.aaa\n\nskerry-join-1.bbb\r\n"};
  CHECK(find_tokens(lines).value() == std::vector<std::string>{"skerry-join-1.aaa", "skerry-join-1.bbb"});
  std::istringstream table{
      "SITE    EXPIRES               TOKEN\nsite-1  2026-01-01T00:00:00Z  skerry-join-1.ccc\n"};
  CHECK(find_tokens(table).value() == std::vector<std::string>{"skerry-join-1.ccc"});
  std::istringstream json{
      "[\n {\n  \"site\": \"a\",\n  \"token\": \"skerry-join-1.ddd\",\n  \"x\": 1\n }\n]\n"};
  CHECK(find_tokens(json).value() == std::vector<std::string>{"skerry-join-1.ddd"});
  std::istringstream none{"hello\n"};
  CHECK(find_tokens(none).value().empty());
}
