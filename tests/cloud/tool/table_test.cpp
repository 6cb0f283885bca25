#include "cloud/tool/check.hpp"
#include "cloud/tool/fleet.hpp"
#include "cloud/tool/format.hpp"
#include "cloud/tool/table.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using namespace skerry::cloud;

TEST_CASE("columns are as wide as their widest cell") {
  table t{{{"SITE"}, {"HOSTS", align::right}, {"LINK"}}};
  CHECK(t.render() == "SITE  HOSTS  LINK\n");
  t.add({"a", "1", "connected"});
  t.add({"Ærø-havn", "12345678", ""});
  t.add({"short"});
  t.add({"x", "2", "y", "dropped"});
  CHECK(t.render()
        == "SITE         HOSTS  LINK\n"
           "a                1  connected\n"
           "Ærø-havn  12345678\n"
           "short\n"
           "x                2  y\n");
  CHECK(t.render(10)
        == "SITE      \n"
           "a         \n"
           "Ærø-havn  \n"
           "short\n"
           "x         \n");
  CHECK(t.rows() == 4);
}

TEST_CASE("nothing that a terminal would act on gets through") {
  CHECK(printable("a\x1b[31mb\n\x7f") == "a?[31mb??");
  CHECK(printable("\xc2\x9b"
                  "31m")
        == "?31m"); // CSI as one character
  CHECK(printable("é€😀") == "é€😀");
  CHECK(printable("\xff\xc3") == "??");
  CHECK(printable("\xe2\x82") == "??");
  CHECK(display_width("é€😀") == 3);
}

TEST_CASE("numbers and times for people") {
  CHECK(format_count(0) == "0");
  CHECK(format_count(507) == "507");
  CHECK(format_count(33.8) == "33.8");
  CHECK(format_count(9'999) == "9999");
  CHECK(format_count(12'345) == "12.3 k");
  CHECK(format_count(3.4e9) == "3400.0 M");
  CHECK(format_time(1'700'000'000.25) == "2023-11-14T22:13:20.250Z");
  CHECK(format_time(-0.5) == "1969-12-31T23:59:59.500Z");
  CHECK(format_time(1e300) == "?");
  CHECK(format_age(-1) == "0s");
  CHECK(format_age(59.9) == "59s");
  CHECK(format_age(130) == "2m 10s");
  CHECK(format_age(18'200) == "5h 3m");
  CHECK(format_age(4 * 86'400 + 7'300) == "4d 2h");
}

TEST_CASE("tables of sites take what the API gives, and less") {
  const auto sites = nlohmann::json::parse(R"([
    {"site":"a","hosts":2,"series":507,"samples_per_second":33.8,"pending_records":12,"pending_bytes":4096,
     "state":"connected","completeness":"complete","bytes_on_link_today":3145728,"last_heard":100,
     "clock_offset":-7200.4},
    {"site":7,"last_heard":null}, 3])");
  CHECK(status_table(sites).render()
        == "SITE  HOSTS  SERIES  SAMPLES/S     PENDING  LINK       COMPLETENESS  LINK TODAY\n"
           "a         2     507       33.8  12 (4 KiB)  connected  complete           3 MiB\n"
           "          0       0          0           0             -                    0 B\n"
           "          0       0          0           0             -                    0 B\n");
  CHECK(status_lines(sites, 0).starts_with(
      "1970-01-01T00:00:00.000Z site=a hosts=2 series=507 "
      "samples_per_second=33.8 pending_records=12 pending_bytes=4096 "
      "link=connected completeness=\"complete\" bytes_on_link_today=3145728\n"));
  CHECK(sites_table(sites, 130).render().find("30s ago") != std::string::npos);
  CHECK(sites_table(sites, 130).render().find("2h 0m behind") != std::string::npos);
  CHECK(sites_table(sites, 130).render().find("never") != std::string::npos);
}

TEST_CASE("whose configuration it is follows from its keys") {
  CHECK(guess_kind("scrape_configs:\n  - job_name: a\n") == node_kind::edge);
  CHECK(guess_kind("# x\n\"retention\": 30d\nhttp:\n") == node_kind::cloud);
  CHECK_FALSE(guess_kind(""));
  CHECK_FALSE(guess_kind("http:\n  retention: 1\n"));
  CHECK_FALSE(guess_kind("spool:\nretention:\n"));
}
