#include "cloud/ledger/ledger.hpp"
#include "tests/cloud/api/test_cloud.hpp"

#include <nlohmann/json.hpp>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;
using nlohmann::json;

namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

json data_of(const http::test::reply& reply) {
  REQUIRE(reply.status == 200);
  return json::parse(reply.body);
}

} // namespace

TEST_CASE("losses are listed with their cause, and what was not collected has no sequences") {
  test_cloud cloud;
  loss_entry lost;
  lost.site = "s";
  lost.origin = {edge_id{7}, {1, {1}}, stream_id::telemetry};
  lost.collected = true;
  lost.first = 3;
  lost.last = 9;
  lost.to_ns = (now_s - 100) * second_ns;
  lost.cause = loss_cause::custody;
  loss_entry gap = lost;
  gap.collected = false;
  gap.first = gap.last = 0;
  gap.host = "a";
  gap.from_ns = (now_s - 200) * second_ns;
  gap.cause = loss_cause::node_off;
  gap.detail = "off";
  cloud.ledger.all = {lost, gap};
  const auto all = data_of(cloud.ask("/api/v1/loss?site=s"))["data"];
  REQUIRE(all.size() == 2);
  CHECK(all[0]["state"] == "lost");
  CHECK(all[0]["cause"] == "custody");
  CHECK(all[0]["first_sequence"] == 3);
  CHECK(all[0]["start"].is_null());
  CHECK(all[1]["state"] == "not_collected");
  CHECK_FALSE(all[1].contains("first_sequence"));
  CHECK(all[1]["detail"] == "off");
  CHECK(cloud.ledger.asked.site == "s");
  CHECK(cloud.ledger.asked.from_ns == (now_s - 3600) * second_ns);
  CHECK(cloud.ledger.asked.to_ns > (now_s + 1'000'000'000) * second_ns); // what clocks that are ahead brought
  CHECK(cloud.ask("/api/v1/loss?end=7200").status == 200);
  CHECK(cloud.ledger.asked.from_ns == 3600 * second_ns);
  CHECK(cloud.ledger.asked.to_ns == 7200 * second_ns);
  CHECK(cloud.ask("/api/v1/loss?start=2&end=1").status == 400);
}

TEST_CASE("completeness gives ranges; a query names what it read that is not complete") {
  test_cloud cloud;
  host_coverage a{"s", "a", {1, now_s * second_ns, now_s * second_ns}, {}};
  a.ranges = {{(now_s - 600) * second_ns, (now_s - 401) * second_ns, coverage::complete, loss_cause::unknown},
              {(now_s - 400) * second_ns, (now_s - 10) * second_ns, coverage::lost, loss_cause::corrupt},
              {(now_s - 9) * second_ns, now_s * second_ns, coverage::pending, loss_cause::unknown}};
  host_coverage other = a;
  other.host = "not read";
  cloud.ledger.hosts = {a, other};
  const auto found = data_of(cloud.ask("/api/v1/completeness?host=a"))["data"];
  REQUIRE(found.size() == 2);
  CHECK(found[0]["ranges"][1]["state"] == "lost");
  CHECK(found[0]["ranges"][1]["cause"] == "corrupt");
  CHECK_FALSE(found[0]["ranges"][2].contains("cause"));

  const auto answer = data_of(cloud.ask("/api/v1/query?query=up"));
  REQUIRE(answer["warnings"].size() == 1);
  const auto text = answer["warnings"][0].get<std::string>();
  CHECK(text.find("host 'a' at site 's' is not complete: lost (corrupt)") != std::string::npos);
  CHECK(text.find("pending") == std::string::npos); // it is just arriving
  CHECK_FALSE(data_of(cloud.ask("/api/v1/query?query=load")).contains("warnings"));
  CHECK(cloud.ask("/federate?match[]=up").body.ends_with("\n# warning: " + text + "\n"));
  CHECK(cloud.ask("/federate?match[]=load").body.find("warning") == std::string::npos);

  // Not heard of: an edge's host is missed, one that was pushed may have ended.
  cloud.ledger.hosts[0].ranges = {
      {(now_s - 600) * second_ns, (now_s - 200) * second_ns, coverage::unknown, loss_cause::unknown}};
  CHECK(data_of(cloud.ask("/api/v1/query?query=up")).contains("warnings"));
  cloud.ledger.hosts[0].only_pushed = true;
  CHECK_FALSE(data_of(cloud.ask("/api/v1/query?query=up")).contains("warnings"));
}

TEST_CASE("damage of the cloud's own files warns also where nothing of it was found") {
  test_cloud cloud;
  const auto lost = [](std::string site, std::string host) {
    loss_entry e;
    e.site = std::move(site);
    e.host = std::move(host);
    e.collected = true;
    e.from_ns = (now_s - 200) * second_ns;
    e.to_ns = (now_s - 10) * second_ns;
    e.cause = loss_cause::corrupt;
    return e;
  };
  const auto warnings = [&](const std::string& path) {
    const auto answer = data_of(cloud.ask(path));
    return answer.contains("warnings") ? answer["warnings"].dump() : std::string{};
  };
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  const std::string none = "/api/v1/query?query=absent(nothing)";

  cloud.ledger.own = {lost("s", "gone")};
  CHECK(has(warnings(none), "data of host 'gone' at site 's' that may belong here is lost (corrupt)"));
  CHECK(has(warnings("/api/v1/query?query=up"), "'gone'")); // other hosts were found
  CHECK(has(warnings("/api/v1/query?query=up{host=\"gone\"}"), "'gone'"));
  CHECK(has(warnings("/api/v1/series?match[]=nothing"), "'gone'"));
  CHECK(has(warnings("/api/v1/labels"), "'gone'"));
  CHECK(has(warnings("/api/v1/label/job/values"), "'gone'"));
  CHECK(has(warnings("/api/v1/query?query=up{host=\"a\"}"),
            "'gone'")); // a label says nothing of whose series it is
  CHECK(warnings("/api/v1/query?query=up{site=\"other\"}").empty());
  CHECK(warnings("/api/v1/query?query=nothing&time=" + std::to_string(now_s - 3600)).empty());
  CHECK(warnings("/api/v1/query?query=1").empty()); // it asks for no data

  cloud.ledger.own = {lost("s", "")}; // of a site, and of everyone
  CHECK(has(warnings(none), "hosts at site 's'"));
  cloud.ledger.own = {lost("", "")};
  CHECK(has(warnings(none), "data of hosts that may belong here"));

  // A host that was read says it itself.
  host_coverage a{"s", "a", {1, now_s * second_ns, now_s * second_ns}, {}};
  a.ranges = {{(now_s - 300) * second_ns, now_s * second_ns, coverage::lost, loss_cause::corrupt}};
  cloud.ledger.hosts = {a};
  const auto text = warnings("/api/v1/query?query=up{host=\"a\"}");
  CHECK(has(text, "host 'a' at site 's' is not complete"));
  CHECK_FALSE(has(text, "may belong here"));
  cloud.ledger.hosts.clear();
  cloud.ledger.own.clear();

  // What an edge has lost, where nothing was found.
  auto edge = lost("s", "gone");
  edge.origin.edge = edge_id{7};
  edge.cause = loss_cause::spool_bytes;
  cloud.ledger.all = {edge};
  CHECK(has(warnings(none), "lost (spool_bytes)"));
  CHECK_FALSE(has(warnings("/api/v1/query?query=up"), "spool_bytes"));
  CHECK_FALSE(has(warnings("/api/v1/labels"), "spool_bytes"));
}
