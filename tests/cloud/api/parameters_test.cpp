#include "actors/api/parameters.hpp"
#include "schemas/model/site_name.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::api;

TEST_CASE("times are Unix seconds or RFC 3339") {
  const std::vector<std::pair<std::string, std::int64_t>> table{
      {"0", 0},
      {"1435781430.781", 1'435'781'430'781},
      {"1435781430", 1'435'781'430'000},
      {"+1.5", 1'500},
      {"-1.5", -1'500},
      {"1e3", 1'000'000},
      {"1e30", time_ms_max},
      {"-inf", time_ms_min},
      {"2015-07-01T20:10:30.781Z", 1'435'781'430'781},
      {"2015-07-01T22:10:30.781999+02:00", 1'435'781'430'781},
      {"2015-07-01T18:40:30-01:30", 1'435'781'430'000},
      {"1969-12-31T23:59:59Z", -1'000},
      {"2000-02-29T00:00:00Z", 951'782'400'000},
  };
  for (const auto& [text, ms] : table) {
    INFO(text);
    const auto parsed = parse_time_ms(text);
    REQUIRE(parsed);
    CHECK(parsed.value() == ms);
  }
  for (const auto* bad : {"", "x", "1x", "NaN", "2015-07-01", "2015-07-01T20:10:30", "2015-13-01T20:10:30Z",
                          "2015-02-29T00:00:00Z", "2015-07-01T24:00:00Z", "2015-07-01T20:10:30.Z",
                          "2015-07-01T20:10:30+0200", "2015-07-01 20:10:30Z"}) {
    INFO(bad);
    CHECK_FALSE(parse_time_ms(bad));
  }
  CHECK(parse_time_ms("x").error().message == "cannot parse \"x\" to a valid timestamp");
}

TEST_CASE("durations are seconds or Prometheus'") {
  using namespace std::chrono_literals;
  CHECK(parse_duration_parameter("15").value() == 15s);
  CHECK(parse_duration_parameter("0.5").value() == 500ms);
  CHECK(parse_duration_parameter("1h30m").value() == 90min);
  CHECK(parse_duration_parameter("-5").value() == -5s);
  CHECK(parse_duration_parameter("x").error().message == "cannot parse \"x\" to a valid duration");
  CHECK(parse_duration_parameter("1e30").error().message
        == "cannot parse \"1e30\" to a valid duration. It overflows int64");
}

TEST_CASE("site names") {
  for (const auto* good : {"a", "Harbour-1", "9.x_y"})
    CHECK(is_site_name(good));
  for (const auto& bad : {std::string{}, std::string{".."}, std::string{"-a"}, std::string{"a/b"},
                          std::string{"a b"}, std::string{"é"}, std::string(129, 'a')})
    CHECK_FALSE(is_site_name(bad));
}
