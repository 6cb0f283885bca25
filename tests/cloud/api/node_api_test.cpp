#include "tests/cloud/api/test_cloud.hpp"

using namespace skerry;
using namespace skerry::cloud;
using nlohmann::json;
using skerry::cloud::test::test_cloud;

namespace {

json data_of(const http::test::reply& got) {
  INFO(got.body);
  REQUIRE(got.status == 200);
  auto parsed = json::parse(got.body);
  REQUIRE(parsed["status"] == "success");
  return parsed["data"];
}

} // namespace

TEST_CASE("sites and hosts") {
  test_cloud cloud;
  const auto sites = data_of(cloud.ask("/api/v1/sites"));
  REQUIRE(sites.size() == 2);
  CHECK(sites[0]["site"] == "harbour");
  CHECK(sites[0]["edge"] == "00c0ffee00c0ffee");
  CHECK(sites[0]["state"] == "connected");
  CHECK(sites[0]["last_heard"] == test::now_s);
  CHECK(sites[0]["samples_per_second"] == 33.8);
  CHECK(sites[0]["key_fingerprints"][0] == "ab12");
  CHECK(sites[1]["state"] == "never");
  CHECK(sites[1]["last_heard"].is_null());
  CHECK(sites[1]["pending_records"] == 12);
  CHECK(data_of(cloud.ask("/api/v1/sites?site=island")).size() == 1);
  const auto hosts = data_of(cloud.ask("/api/v1/hosts"));
  REQUIRE(hosts.size() == 1);
  CHECK(hosts[0]["host"] == "a");
  CHECK(data_of(cloud.ask("/api/v1/hosts?site=island")).empty());
}

TEST_CASE("how sites stand, told as it changes") {
  test_cloud cloud;
  const std::string ask = "GET /api/v1/sites/stream HTTP/1.1\r\nHost: localhost\r\n";
  const auto data = [](std::string event) {
    const auto at = event.find("data: ") + 6;
    INFO(event);
    return json::parse(event.substr(at, event.find('\n', at) - at));
  };
  http::test::client events{cloud.server->address()};
  events.send(ask + "\r\n");
  REQUIRE(events.receive(true));
  auto got = events.read_until("\n\n");
  CHECK(got.find("id: 1-1\nevent: sites\n") != std::string::npos);
  CHECK(data(got).size() == 2);
  CHECK(data(got)[0]
        == json{{"site", "harbour"},
                {"edge", "00c0ffee00c0ffee"},
                {"state", "connected"},
                {"cause", nullptr},
                {"since", nullptr},
                {"behind", nullptr}});
  cloud.feed.on_tick(); // nothing has changed
  cloud.node.all_sites[0].samples_total = 17;
  cloud.feed.on_tick(); // nor has how it stands
  cloud.node.all_sites[0].state = link_state::unreachable;
  cloud.node.all_sites[0].cause = "silent";
  cloud.node.all_sites[0].since_ns = test::now_s * 1'000'000'000;
  cloud.feed.on_tick();
  got = events.read_until("\n\n");
  CHECK(got.find("id: 1-2\nevent: site\n") != std::string::npos);
  CHECK(data(got)["state"] == "unreachable");
  CHECK(data(got)["cause"] == "silent");
  CHECK(data(got)["since"] == test::now_s);

  // Who was there at 1-2 has missed nothing; who was there before gets all of them.
  http::test::client again{cloud.server->address()};
  again.send(ask + "Last-Event-ID: 1-2\r\n\r\n");
  REQUIRE(again.receive(true));
  http::test::client late{cloud.server->address()};
  late.send("GET /api/v1/sites/stream?last_event_id=1-1 HTTP/1.1\r\nHost: localhost\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  const auto head = late.receive(true);
  REQUIRE(head);
  CHECK(head->status == 101);
  const auto frame_of = [&] {
    const auto start = late.read(2);
    REQUIRE(start.size() == 2);
    std::size_t size = static_cast<unsigned char>(start[1]);
    if (size == 126) {
      const auto more = late.read(2);
      size = static_cast<std::size_t>(static_cast<unsigned char>(more[0])) << 8
             | static_cast<unsigned char>(more[1]);
    }
    return json::parse(late.read(size));
  };
  const auto all = frame_of();
  CHECK(all["event"] == "sites");
  CHECK(all["id"] == "1-2");
  CHECK(all["data"].size() == 2);
  cloud.node.all_sites.pop_back();
  cloud.feed.on_tick(); // the server's one thread has added a follower before it sends the header
  got = events.read_until("\n\n");
  CHECK(got.find("id: 1-3\nevent: gone\n") != std::string::npos);
  CHECK(data(got)["site"] == "island");
  CHECK(again.read_until("\n\n").find("id: 1-3\nevent: gone\n") != std::string::npos);
  CHECK(frame_of()["event"] == "gone");
  // Nobody follows: the next one begins anew.
  events.close();
  again.close();
  late.close();
  cloud.node.all_sites[0].cause = "x";
  REQUIRE(http::test::eventually([&] {
    cloud.node.all_sites[0].since_ns += 1'000'000'000;
    cloud.feed.on_tick();
    return cloud.counted("skerry_http_streams_ended_total", "client") == 3;
  }));
  cloud.node.all_sites[0].since_ns += 1'000'000'000;
  cloud.feed.on_tick();
  http::test::client next{cloud.server->address()};
  next.send(ask + "Last-Event-ID: 1-3\r\n\r\n");
  REQUIRE(next.receive(true));
  CHECK(next.read_until("\n\n").find("event: sites\n") != std::string::npos);
}

TEST_CASE("every route of the cloud needs the right that it was given on purpose") {
  test_cloud cloud;
  std::vector<std::string> found;
  char nowhere = 0; // what it is does not matter for the routes, but that it is there
  cloud.context.retracted = reinterpret_cast<retractions*>(&nowhere);
  for (const auto& one : make_routes(cloud.context))
    found.push_back(std::string{to_string(one.needs)} + " " + one.method + " " + one.path);
  std::sort(found.begin(), found.end());
  std::vector<std::string> wanted{"administer GET /api/v1/admin/invites",
                                  "administer POST /-/reload",
                                  "administer POST /api/v1/admin/edges/{}/revoke",
                                  "administer POST /api/v1/admin/invites",
                                  "administer POST /api/v1/admin/tsdb/clean_tombstones",
                                  "administer POST /api/v1/admin/tsdb/delete_series",
                                  "administer PUT /-/reload",
                                  "administer PUT /api/v1/admin/tsdb/clean_tombstones",
                                  "administer PUT /api/v1/admin/tsdb/delete_series",
                                  "operate POST /api/v1/admin/loss/retract"};
  for (const auto* path : {"/-/healthy",
                           "/-/ready",
                           "/metrics",
                           "/federate",
                           "/api/v1/sites",
                           "/api/v1/sites/stream",
                           "/api/v1/hosts",
                           "/api/v1/loss",
                           "/api/v1/completeness",
                           "/api/v1/query",
                           "/api/v1/query_range",
                           "/api/v1/query_exemplars",
                           "/api/v1/series",
                           "/api/v1/labels",
                           "/api/v1/metadata",
                           "/api/v1/label/{}/values",
                           "/api/v1/format_query",
                           "/api/v1/parse_query",
                           "/api/v1/rules",
                           "/api/v1/alerts",
                           "/api/v1/targets",
                           "/api/v1/alertmanagers",
                           "/api/v1/status/tsdb",
                           "/api/v1/status/buildinfo",
                           "/api/v1/status/flags",
                           "/api/v1/status/config",
                           "/api/v1/status/runtimeinfo"})
    wanted.push_back(std::string{"read GET "} + path);
  for (const auto* path :
       {"query", "query_range", "query_exemplars", "series", "labels", "format_query", "parse_query"})
    wanted.push_back(std::string{"read POST /api/v1/"} + path);
  std::sort(wanted.begin(), wanted.end());
  CHECK(found == wanted);
}

TEST_CASE("health, readiness, build, metrics, reload") {
  test_cloud cloud;
  CHECK(cloud.ask("/-/healthy").status == 200);
  cloud.node.is_healthy = false;
  CHECK(cloud.ask("/-/healthy").status == 503);
  CHECK(cloud.ask("/-/healthy").body
        == "Skerry is not healthy: nothing can be stored: No space left on device\n");
  CHECK(cloud.ask("/-/ready").body == "Skerry is Ready.\n");
  cloud.node.is_ready = false;
  CHECK(cloud.ask("/-/ready").status == 503);
  CHECK(cloud.ask("/-/ready").body == "Skerry is not ready: the log is being read\n");
  const auto build = data_of(cloud.ask("/api/v1/status/buildinfo"));
  CHECK(build["version"] == "2.42.0");
  CHECK(build["skerryVersion"] == "0.1.0");
  CHECK(cloud.ask("/metrics").body == "skerry_up 1\n");
  CHECK(cloud.ask("/-/reload", "POST").status == 403);
  CHECK(cloud.node.reloads == 0);
  CHECK(cloud.ask("/-/reload", "POST", "", true).status == 200);
  CHECK(cloud.ask("/-/reload", "PUT", "", true).status == 200);
  CHECK(cloud.node.reloads == 2);
  cloud.node.reload_works = false;
  const auto failed = cloud.ask("/-/reload", "POST", "", true);
  CHECK(failed.status == 500);
  CHECK(failed.body == "failed to reload config: cloud.yaml:3: unknown key\n");
}

TEST_CASE("invites only through the operator's socket, tokens only once") {
  test_cloud cloud;
  CHECK(cloud.ask("/api/v1/admin/invites", "POST", "site=north").status == 403);
  CHECK(cloud.ask("/api/v1/admin/invites").status == 403);
  CHECK(cloud.node.made.empty());
  const auto made = data_of(cloud.ask("/api/v1/admin/invites", "POST", "site=north&ttl=1h", true));
  REQUIRE(made.size() == 1);
  CHECK(made[0]["token"] == "skerry1.secret0");
  CHECK(made[0]["expires"] == test::now_s + 3'600);
  CHECK(made[0]["edge"].is_null());
  const auto more = data_of(cloud.ask("/api/v1/admin/invites", "POST", "site=north&count=3", true));
  CHECK(more.size() == 3);
  CHECK(more[2]["token"] == "skerry1.secret3");
  CHECK(data_of(cloud.ask("/api/v1/admin/invites", "POST", "site=n&edge=00c0ffee00c0ffee", true))[0]["edge"]
        == "00c0ffee00c0ffee");
  const auto list = cloud.ask("/api/v1/admin/invites", "GET", "", true);
  CHECK(data_of(list).size() == 5);
  CHECK(list.body.find("secret") == std::string::npos);
  for (const auto* wrong :
       {"", "site=", "site=a/b", "site=a&ttl=0", "site=a&ttl=x", "site=a&ttl=2y", "site=a&count=0",
        "site=a&count=1001", "site=a&count=x", "site=a&edge=1", "site=a&count=2&edge=00c0ffee00c0ffee"}) {
    INFO(wrong);
    const auto got = cloud.ask("/api/v1/admin/invites", "POST", wrong, true);
    CHECK(got.status == 400);
    CHECK(json::parse(got.body)["errorType"] == "bad_data");
  }
  CHECK(cloud.node.made.size() == 5);
}

TEST_CASE("revoking an edge") {
  test_cloud cloud;
  const std::string path = "/api/v1/admin/edges/00c0ffee00c0ffee/revoke";
  CHECK(cloud.ask(path, "POST").status == 403);
  CHECK(data_of(cloud.ask("/api/v1/sites"))[0]["state"] == "connected");
  CHECK(data_of(cloud.ask(path, "POST", "", true))["state"] == "revoked");
  CHECK(data_of(cloud.ask("/api/v1/sites"))[0]["state"] == "revoked");
  CHECK(cloud.ask("/api/v1/admin/edges/1234123412341234/revoke", "POST", "", true).status == 404);
  CHECK(cloud.ask("/api/v1/admin/edges/zz/revoke", "POST", "", true).status == 400);
}
