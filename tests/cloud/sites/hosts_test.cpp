// The hosts actor between those that tell and the store.

#include "cloud/sites/host_keeper.hpp"
#include "cloud/sites/hosts.hpp"
#include "schemas/model/record.hpp"
#include "tests/actor_world.hpp"
#include "tests/cloud/ingest/fake_engine.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

const stream_key key{edge_id{7}, {2, {1}}, stream_id::telemetry};

struct world {
  skerry::test::actor_world actors;
  fixed_clock clock;
  std::shared_ptr<fake_engine> store = std::make_shared<fake_engine>();
  std::shared_ptr<host_admission> places = std::make_shared<host_admission>();
  std::shared_ptr<host_table> table = std::make_shared<host_table>(places);
  std::int64_t kept_from = INT64_MIN;
  hosts_actor hosts;

  world() {
    hosts_config config;
    config.table = table;
    config.places = places;
    config.store = store;
    config.kept_from_ns = [this] { return kept_from; };
    config.clock = &clock;
    config.also = [] { return state_update{"ingest/clock", "1"}; };
    hosts = spawn_hosts(actors.system, std::move(config));
    actors.run();
  }
  ~world() { stop(); }
  void stop() {
    caf::anon_send(hosts, stop_atom_v);
    actors.run();
  }
  void tell_watermark(sequence seq, std::int64_t time_ns) {
    run_builder builder{key, seq};
    builder.append(record_kind::watermark, time_ns, "a", {});
    const auto from = std::move(builder).finish();
    auto what = std::make_shared<committed_effects>();
    what->site = "ship";
    what->origin = key;
    what->watermarks = decode_records(from).value();
    what->owner = from.bytes.owner;
    caf::anon_send(hosts, effects_ptr{what});
    actors.run();
  }
  void tell_held(sequence through) {
    caf::anon_send(hosts, stream_news_ptr{std::make_shared<const stream_news_list>(
                              stream_news_list{{key, stream_news::kind::held, through, true}})});
    actors.run();
  }
  [[nodiscard]] host_view host() const {
    const auto all = table->hosts();
    REQUIRE(all.size() == 1);
    return all.front();
  }
};

} // namespace

TEST_CASE("what is told of a host is known, and kept within seconds where it changed") {
  world w;
  w.tell_held(1);
  w.tell_watermark(1, now);
  CHECK(w.host().live_watermark_ns == now);
  CHECK(w.host().complete_watermark_ns == now);
  w.actors.pass(std::chrono::seconds{11}, std::chrono::seconds{1});
  REQUIRE(w.store->open.size() == 1);
  const auto& kept = w.store->open.front().request.state;
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].key.starts_with("host/0/"));
  CHECK(kept[1].key == "ingest/clock");
  w.store->succeed();
  w.actors.pass(std::chrono::seconds{20}, std::chrono::seconds{1});
  CHECK(w.store->open.empty()); // nothing changed

  host_table again;
  REQUIRE(restore_hosts(again, *w.store));
  REQUIRE(again.hosts().size() == 1);
  CHECK(again.hosts().front().complete_watermark_ns == now);
}

TEST_CASE("what changed last is kept at the end") {
  world w;
  w.tell_watermark(1, now);
  w.stop();
  CHECK(w.store->open.size() == 1);
}

TEST_CASE("hosts beyond the retention go within minutes, with their place and their state") {
  world w;
  w.tell_watermark(1, now);
  w.tell_held(1);
  w.actors.pass(std::chrono::seconds{11}, std::chrono::seconds{1});
  w.store->succeed();
  REQUIRE(w.store->state.size() == 2);
  CHECK(w.places->size() == 1);
  w.kept_from = now + 1;
  w.actors.pass(std::chrono::minutes{11}, std::chrono::seconds{1});
  CHECK(w.table->hosts().empty());
  CHECK(w.places->size() == 0);
  REQUIRE(w.store->open.size() == 1);
  w.store->succeed();
  CHECK(w.store->open.empty());
}

TEST_CASE("an edge that is revoked speaks for its hosts no longer") {
  world w;
  w.tell_watermark(1, now - second);
  w.table->on_watermark("ship", "a", {edge_id{8}, {1, {1}}, stream_id::telemetry}, 1, now);
  caf::anon_send(w.hosts, revoked_atom_v, std::uint64_t{7});
  w.actors.run();
  const auto host = w.host();
  REQUIRE(host.statements.size() == 2);
  CHECK(host.statements[0].ended);
  CHECK_FALSE(host.statements[1].ended);
}
