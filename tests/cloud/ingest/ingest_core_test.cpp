// What the one ingest actor does between peers, shards and the engine.

#include "cloud/ingest/ingest_core.hpp"
#include "schemas/model/record.hpp"
#include "tests/cloud/ingest/fake_engine.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <utility>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

const stream_key key{edge_id{7}, {3, {9}}, stream_id::telemetry};

class one_site final : public delivery::authority {
public:
  bool may_speak(edge_id user, edge_id origin) override { return user == origin; }
  result<std::string> site_of(edge_id) override { return std::string{"ship"}; }
  std::map<edge_id, error> register_origins(edge_id, const std::vector<edge_id>&, std::int64_t) override {
    return {};
  }
};

struct world {
  fixed_clock clock;
  one_site keys;
  std::shared_ptr<fake_engine> store = std::make_shared<fake_engine>();
  stream_news_list told;
  std::vector<std::pair<shard_id, std::shared_ptr<shard_part>>> parts;              // that shards were given
  std::vector<std::pair<shard_id, std::shared_ptr<const stream_release>>> releases; // not answered
  std::size_t released = 0;
  std::vector<link::message> sent;
  std::optional<ingest_core> core;
  std::uint64_t session = 0;
  bool keeps_news = false; // as a reader that is behind
  std::shared_ptr<const stream_news_list> last_news;

  world() { start(); }
  void start() { // anew, with what the store has
    parts.clear();
    releases.clear();
    ingest_core::outputs to;
    to.to_shard = [this](shard_id id, std::shared_ptr<shard_part> part) {
      parts.emplace_back(id, std::move(part));
    };
    to.release = [this](shard_id id, const std::shared_ptr<const stream_release>& over) {
      releases.emplace_back(id, over);
      ++released;
    };
    to.held = [this](std::uint64_t ticket, std::string failed) {
      core->receiver().on_held_durable(ticket, failed);
    };
    to.streams = [this](const std::shared_ptr<const stream_news_list>& news) {
      told.insert(told.end(), news->begin(), news->end());
      if (keeps_news)
        last_news = news;
    };
    to.send = [this](const link::peer_id&, link::message message) { sent.push_back(std::move(message)); };
    core.emplace(delivery::receiver_config{}, store, store, keys, clock, system_random(), std::move(to));
    hello(key.epoch, {});
  }
  void hello(const epoch_id& current, std::vector<link::hello_stream> streams) {
    link::hello hello;
    hello.edge = key.edge;
    hello.features = link::feature_refusals;
    hello.instance = {1};
    hello.current = current;
    hello.streams = std::move(streams);
    core->receiver().on_message("peer", key.edge, link::message{0, hello});
    session = sent.back().session;
  }
  void store_all() {
    for (const auto& [id, part] : parts)
      core->on_part_stored(part->ticket, {});
    parts.clear();
    while (!store->open.empty())
      store->succeed();
  }
  // Some shards have more of it.
  void answer_releases(bool dropped) {
    for (const auto& [id, over] : std::exchange(releases, {}))
      core->on_released(id, over, dropped);
  }
  void advance() {
    while (core->advance_completeness()) {
    }
  }
  void bring(sequence first, const std::vector<std::string>& of_hosts, const stream_key& of = key) {
    run_builder builder{of, first};
    for (const auto& host : of_hosts)
      builder.append(record_kind::event, now, host, as_bytes("x"));
    link::batch batch;
    batch.run = std::move(builder).finish();
    core->receiver().on_message("peer", key.edge, link::message{session, batch});
  }
  [[nodiscard]] range_set acknowledged() const {
    range_set out;
    for (const auto& message : sent)
      if (const auto* ack = std::get_if<link::ack>(&message.body))
        for (const auto& held : ack->ranges)
          out.add(held.ranges);
    return out;
  }
};

// Two hosts of different shards.
std::vector<std::string> two_hosts() {
  const auto shard = [](const std::string& host) {
    return shard_of(make_host_id(tenant_default, "ship", host));
  };
  for (int i = 1;; ++i)
    if (const auto other = "b" + std::to_string(i); shard(other) != shard("a"))
      return {"a", other};
}

} // namespace

TEST_CASE("a batch is acknowledged once the store notes all that counts as held with it") {
  world w;
  w.bring(1, two_hosts());
  REQUIRE(w.parts.size() == 2);
  const auto first = w.parts.front().second->ticket;
  CHECK_FALSE(w.parts.front().second->held);
  w.bring(3, {"a"});
  REQUIRE(w.parts.size() == 3);
  const auto second_one = w.parts.back().second;
  REQUIRE(second_one->held); // noted with its record
  // The first is stored, and is being noted.
  w.core->on_part_stored(first, {});
  w.core->on_part_stored(first, {});
  REQUIRE(w.store->open.size() == 1);
  // The second is stored and noted. With it the first would count as held, and nothing durable says so yet.
  w.core->on_part_stored(second_one->ticket, {});
  CHECK(w.acknowledged().empty());
  CHECK(w.core->receiver().held().held(key) == nullptr);
  REQUIRE(w.store->open.size() == 2);
  w.store->succeed();
  w.store->succeed();
  CHECK(w.acknowledged().count() == 3);
}

TEST_CASE("a batch of one shard costs one commit, and a second one about every two dozen") {
  world w;
  constexpr sequence batches = 240;
  std::size_t second_commits = 0;
  for (sequence seq = 1; seq <= batches; ++seq) {
    w.bring(seq, {"a"});
    const auto part = w.parts.back().second;
    w.core->on_part_stored(part->ticket, {});
    CHECK(w.store->open.size() == (part->held ? 0 : 1));
    for (; !w.store->open.empty(); ++second_commits)
      w.store->succeed();
    CHECK(w.acknowledged().count() == seq);
  }
  CHECK(second_commits >= batches / 30);
  CHECK(second_commits <= batches / 20);
}

TEST_CASE("streams that are complete are let go in turns, by what their shards keep") {
  world w;
  std::vector<std::string> many;
  for (int i = 0; i < 200; ++i)
    many.push_back("h" + std::to_string(i));
  link::hello hello;
  hello.edge = key.edge;
  hello.features = link::feature_refusals;
  hello.instance = {1};
  hello.current = {100, {1}};
  std::size_t holders = 0;
  constexpr std::uint64_t epochs = 10;
  for (std::uint64_t boot = 10; boot < 10 + epochs; ++boot) {
    const stream_key of{key.edge, {boot, {1}}, stream_id::telemetry};
    const auto before = w.parts.size();
    w.bring(1, many, of);
    const auto made = w.parts.size() - before;
    REQUIRE(made > 100);
    holders += made;
    for (std::size_t i = before; i < before + made; ++i)
      w.core->on_part_stored(w.parts[i].second->ticket, {});
    while (!w.store->open.empty())
      w.store->succeed();
    hello.streams.push_back({of, {}, {}, many.size(), true, 0});
    hello.streams.back().released.add({1, many.size()});
  }
  w.core->receiver().on_message("peer", key.edge, link::message{0, hello});
  int calls = 1;
  while (w.core->advance_completeness()) {
    CHECK(w.released <= static_cast<std::size_t>(calls) * (256 + 200)); // not all in one go
    ++calls;
    REQUIRE(calls < 100);
  }
  CHECK(w.released == holders);
  CHECK(calls >= 4);
  w.advance();
  CHECK(w.released == holders); // asked once
  w.told.clear();
  w.answer_releases(true);
  w.advance();
  CHECK(w.released == holders);
  CHECK(w.told.size() == epochs);
  CHECK(std::all_of(w.told.begin(), w.told.end(),
                    [](const auto& one) { return one.what == stream_news::kind::over; }));
}

TEST_CASE("a shard that keeps more than is held is asked again when that may have changed") {
  world w;
  const stream_key old{key.edge, {2, {1}}, stream_id::telemetry};
  link::hello_stream closed{old, {}, {}, 1, true, 0};
  closed.released.add({1, 1});
  w.bring(1, {"a"}, old);
  w.store_all();
  w.hello(key.epoch, {closed});
  w.advance();
  REQUIRE(w.releases.size() == 1);
  CHECK(w.releases[0].second->key == old);
  CHECK(w.releases[0].second->held.contains(1));
  w.answer_releases(false);
  w.advance();
  CHECK(w.released == 1);
  w.bring(2, {"a"}, old); // of a copy of the edge's disk
  w.advance();
  w.store_all();
  w.hello(key.epoch, {{old, {}, {}, 2, true, 0}});
  w.advance();
  REQUIRE(w.releases.size() == 1);
  w.bring(3, {"a"}, old); // on its way when the shard answers
  w.answer_releases(true);
  w.store_all();
  w.hello(key.epoch, {{old, {}, {}, 3, true, 0}});
  w.advance();
  CHECK(w.releases.size() == 1); // it has some again
}

TEST_CASE("a crash between a shard that lets go of a stream and ingest leaves nothing behind") {
  world w;
  const stream_key old{key.edge, {2, {1}}, stream_id::telemetry};
  link::hello_stream closed{old, {}, {}, 2, true, 0};
  closed.released.add({1, 2});
  w.bring(1, two_hosts(), old);
  const auto first = w.parts.front().first, second_one = w.parts.back().first;
  w.store_all();
  for (const auto id : {first, second_one}) // as shards keep it with their records
    w.store->state[shard_state_key(id, old)] = "x";
  w.hello(key.epoch, {closed});
  w.advance();
  CHECK(w.releases.size() == 2);
  w.store->state.erase(shard_state_key(first, old)); // it did, and the answer is lost
  w.start();
  w.hello(key.epoch, {closed});
  w.advance();
  REQUIRE(w.releases.size() == 1);
  CHECK(w.releases[0].first == second_one);
  w.answer_releases(true);
  w.told.clear();
  w.advance();
  CHECK(w.told == stream_news_list{{old, stream_news::kind::over}});
}

TEST_CASE("how far a stream is held is told once it changes, and no more while nobody takes it") {
  world w;
  w.bring(1, {"a", "a"});
  w.store_all();
  CHECK_FALSE(w.core->advance_completeness());
  CHECK(w.told == stream_news_list{{key, stream_news::kind::held, 2, true}});
  CHECK_FALSE(w.core->advance_completeness());
  CHECK(w.told.size() == 1); // nothing new
  w.keeps_news = true;
  w.bring(3, {"a"});
  w.store_all();
  CHECK_FALSE(w.core->advance_completeness());
  REQUIRE(w.told.size() == 2);
  CHECK(w.told.back().through == 3);
  w.bring(4, {"a"});
  w.store_all();
  CHECK_FALSE(w.core->advance_completeness());
  CHECK(w.told.size() == 2); // the reader still has the last
  w.last_news = nullptr;
  CHECK_FALSE(w.core->advance_completeness());
  REQUIRE(w.told.size() == 3);
  CHECK(w.told.back().through == 4);
}
