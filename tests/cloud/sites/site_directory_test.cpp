// How sites stand, over a real registry and what ingest would have published.

#include "cloud/sites/site_directory.hpp"
#include "tests/cloud/registry_fixture.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

struct world : registry_fixture {
  std::shared_ptr<host_table> hosts = std::make_shared<host_table>();
  std::shared_ptr<edge_board> board = std::make_shared<edge_board>();
  std::unique_ptr<site_directory> sites;

  world() { sites = std::make_unique<site_directory>(registry, hosts, board, clock); }
  // The host's newest frame and watermark, complete up to it.
  void heard(const std::string& site, const std::string& host, edge_id edge, std::uint64_t series,
             bool complete = true) {
    const stream_key key{edge, {1, {1}}, stream_id::telemetry};
    const frame_seen::set one{1, static_cast<std::uint32_t>(series), static_cast<std::uint32_t>(series)};
    hosts->on_frame(site, host, {edge, clock.now, clock.now, true, std::span{&one, 1}});
    hosts->on_watermark(site, host, key, ++last, clock.now);
    if (complete)
      hosts->on_held(key, last, true);
  }
  void session(edge_id edge, std::uint64_t bytes = 0, bool connected = true, bool duplicate = false,
               std::uint64_t pending = 0) {
    delivery::edge_view view;
    view.edge = edge;
    view.connected = connected;
    view.ended = link::presence::unreachable;
    view.duplicate = duplicate;
    view.last_heard_wall_ns = clock.now;
    view.pending_records = pending;
    view.clock_offset_ns = -5;
    view.link.bytes_today = bytes;
    board->publish({view});
  }
  [[nodiscard]] site_status only_site() const {
    const auto all = sites->sites();
    REQUIRE(all.size() == 1);
    return all.front();
  }
  sequence last = 0;
};

} // namespace

TEST_CASE("a site that only joined was never heard; one that is connected tells its hosts") {
  world w;
  const auto edge = w.join("harbour");
  auto site = w.only_site();
  CHECK(site.site == "harbour");
  CHECK(site.edge == edge);
  CHECK(site.state == link_state::never);
  CHECK(site.completeness == "nothing yet");
  CHECK_FALSE(site.clock_offset_ns);
  CHECK(site.key_fingerprints.size() == 1);
  w.heard("harbour", "a", edge, 100);
  w.heard("harbour", "b", edge, 20);
  w.session(edge, 0, true, false, 7);
  site = w.only_site();
  CHECK(site.state == link_state::connected);
  CHECK(site.hosts == 2);
  CHECK(site.series == 120);
  CHECK(site.samples_total == 120);
  CHECK(site.pending_records == 7);
  CHECK(site.last_heard_ns == w.clock.now);
  CHECK(site.clock_offset_ns == -5);
  CHECK(site.live_watermark_ns == w.clock.now);
  CHECK(site.completeness == "complete");
}

TEST_CASE("a silent, a doubled and a revoked edge are told apart") {
  world w;
  const auto edge = w.join("harbour");
  w.heard("harbour", "a", edge, 1);
  w.session(edge);
  CHECK(w.only_site().state == link_state::connected);
  w.clock.now += 301 * second; // it would have pinged
  CHECK(w.only_site().state == link_state::unreachable);
  CHECK(w.only_site().completeness == "unknown since 301 s");
  w.session(edge, 0, false);
  CHECK(w.only_site().state == link_state::unreachable);
  w.session(edge, 0, true, true);
  CHECK(w.only_site().state == link_state::duplicate);
  w.board->publish({}); // as after a restart of the cloud
  CHECK(w.only_site().state == link_state::unreachable);
  REQUIRE(w.registry->revoke(edge, w.clock.now / second));
  CHECK(w.only_site().state == link_state::revoked);
  CHECK(w.only_site().key_fingerprints.empty());
}

TEST_CASE("a site is as complete as its slowest host, but one that went long ago holds nobody back") {
  world w;
  const auto edge = w.join("harbour");
  w.heard("harbour", "a", edge, 1);
  w.heard("harbour", "b", edge, 1);
  w.clock.now += 200 * second;
  w.heard("harbour", "a", edge, 1);
  w.session(edge);
  CHECK(w.only_site().complete_watermark_ns == start);
  CHECK(w.only_site().completeness == "complete up to 200 s ago");
  w.clock.now += 3600 * second;
  w.heard("harbour", "a", edge, 1);
  w.session(edge);
  CHECK(w.only_site().complete_watermark_ns == w.clock.now);
  CHECK(w.only_site().completeness == "complete");
}

TEST_CASE("edges behind a gateway have rows of their own, which say how they stand with it") {
  world w;
  const auto gateway = w.join("harbour");
  const edge_id outer{77};
  REQUIRE(w.registry->register_origin(gateway, outer, w.clock.now / second));
  w.heard("harbour", "behind", outer, 5);
  w.session(gateway);
  const auto row = [&w](edge_id of) {
    for (auto& site : w.sites->sites())
      if (site.edge == of)
        return site;
    FAIL("no such row");
    return site_status{};
  };
  CHECK(row(gateway).hosts == 0);
  CHECK(row(outer).site == "harbour");
  CHECK(row(outer).hosts == 1);
  CHECK(row(outer).series == 5);
  CHECK(row(outer).behind == gateway);
  CHECK(row(outer).state == link_state::connected); // the gateway does not say, and data comes
  CHECK(row(outer).last_heard_ns == w.clock.now);
  CHECK(w.sites->hosts().front().state == link_state::connected);
  w.clock.now += 301 * second;
  w.session(gateway);
  CHECK(row(outer).state == link_state::unreachable);
  CHECK(row(outer).cause == "silent");
  w.session(gateway, 0, false);
  CHECK(row(outer).cause.starts_with("behind gateway "));
  // What it says goes before.
  delivery::edge_presence said{outer, gateway, link::presence::stopped, start, start, {}};
  w.board->publish({}, {{outer, said}});
  CHECK(row(outer).state == link_state::stopped);
  CHECK(w.sites->hosts().front().state == link_state::stopped);
}

TEST_CASE("what only is pushed is a site, too") {
  world w;
  const auto edge = w.join("harbour");
  w.heard("harbour", "a", edge, 3);
  w.heard("harbour", "b", edge_pushed, 5, false);
  w.heard("island", "c", edge_pushed, 7, false);
  w.session(edge);
  w.sites->on_tick();
  w.clock.now += 10 * second;
  w.heard("island", "c", edge_pushed, 7, false);
  w.sites->on_tick();
  const auto all = w.sites->sites();
  REQUIRE(all.size() == 3);
  CHECK(all[0].hosts == 1);
  CHECK(all[1].site == "harbour");
  CHECK(all[1].state == link_state::pushed);
  CHECK(all[1].series == 5);
  CHECK(all[2].site == "island");
  CHECK(all[2].edge == edge_id::none);
  CHECK(all[2].last_heard_ns == w.clock.now);
  CHECK(all[2].samples_per_second == Approx(0.7));
  CHECK(all[1].samples_per_second == 0);
}

TEST_CASE("when an edge was heard is known after a restart") {
  world w;
  const auto edge = w.join("harbour");
  w.board->publish({}, {{edge, {edge, edge_id::none, link::presence::stopped, start - 9, start - 10, {}}}});
  CHECK(w.only_site().state == link_state::stopped);
  CHECK(w.only_site().last_heard_ns == start - 10);
  CHECK(w.only_site().since_ns == start - 9);
}

TEST_CASE("bytes on the link are today's") {
  world w;
  const auto edge = w.join("harbour");
  w.session(edge, 1'000);
  CHECK(w.only_site().bytes_on_link_today == 1'000);
  w.session(edge, 5'000);
  CHECK(w.only_site().bytes_on_link_today == 5'000);
  w.clock.now += day;
  CHECK(w.only_site().bytes_on_link_today == 0); // what it said was of another day
  w.session(edge, 500);
  CHECK(w.only_site().bytes_on_link_today == 500);
}

TEST_CASE("samples per second are those of the last seconds") {
  world w;
  const auto edge = w.join("harbour");
  w.session(edge);
  w.heard("harbour", "a", edge, 100);
  w.sites->on_tick();
  CHECK(w.only_site().samples_per_second == 0);
  for (int i = 0; i < 10; ++i) {
    w.clock.now += second;
    w.heard("harbour", "a", edge, 100);
    w.sites->on_tick();
  }
  CHECK(w.only_site().samples_per_second == 100);
  for (int i = 0; i < 10; ++i) {
    w.clock.now += second;
    w.sites->on_tick();
  }
  CHECK(w.only_site().samples_per_second == 0);
}
