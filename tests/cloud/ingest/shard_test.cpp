// A shard between a listener that asks and an engine whose commits the test answers.

#include "cloud/ingest/held_clock.hpp"
#include "cloud/ingest/shard.hpp"
#include "cloud/sites/host_table.hpp"
#include "schemas/model/frame.hpp"
#include "schemas/model/payload.hpp"
#include "tests/actor_world.hpp"
#include "tests/cloud/ingest/fake_engine.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

const stream_key key{edge_id{7}, {3, {9}}, stream_id::telemetry};
constexpr auto state_key = "shard/0/0005/0000000000000007/3-09000000000000000000000000000000/telemetry";

struct world {
  skerry::test::actor_world actors;
  fixed_clock clock;
  std::shared_ptr<fake_engine> store = std::make_shared<fake_engine>();
  std::shared_ptr<host_admission> places = std::make_shared<host_admission>();
  std::shared_ptr<host_table> hosts = std::make_shared<host_table>(places);
  std::size_t told = 0;           // messages of what is stored
  std::vector<effects_ptr> taken; // by one that keeps them
  bool keeps_effects = false;
  std::shared_ptr<shard_counters> counters = std::make_shared<shard_counters>();
  std::shared_ptr<clock_trust> trust = std::make_shared<clock_trust>(clock, std::chrono::minutes{10});
  std::map<std::uint64_t, std::vector<std::string>> answers; // by ticket: how each try ended
  std::vector<bool> released;                                // what it answered
  ingest_actor listener;
  shard_actor shard;

  world() {
    // With an argument: without any, CAF 0.17 binds a reference to nothing, which UBSan reports.
    listener = actors.system.spawn(
        [this](int) -> ingest_actor::behavior_type {
          return {[](const inbound_ptr&) {},
                  [this](stored_atom, std::uint64_t ticket, const std::string& failed) {
                    answers[ticket].push_back(failed);
                  },
                  [](held_atom, std::uint64_t, const std::string&) {},
                  [](down_atom, const std::string&, const std::string&) {},
                  [](revoked_atom, std::uint64_t) {},
                  [](turn_atom) {},
                  [](tick_atom) {},
                  [](stop_atom) {},
                  [](const push_job_ptr&) {},
                  [this](released_atom, std::uint64_t, const stream_release_ptr&, bool dropped) {
                    released.push_back(dropped);
                  }};
        },
        0);
    open();
  }
  ~world() { caf::anon_send(shard, stop_atom_v), actors.run(); }

  void open() {
    if (shard)
      caf::anon_send(shard, stop_atom_v);
    shard_config config;
    config.id = 5;
    config.store = store;
    config.state = store;
    config.places = places;
    config.subscribers.push_back([this](const effects_ptr& what) { hosts->apply(*what), ++told; });
    config.subscribers.push_back([this](const effects_ptr& what) {
      if (keeps_effects)
        taken.push_back(what);
    });
    config.counters = counters;
    config.clock = &clock;
    config.future_max = std::chrono::minutes{10};
    config.trust = trust;
    shard = spawn_shard(actors.system, std::move(config));
    actors.run();
  }
  void send(std::uint64_t ticket, const run& from) {
    auto part = std::make_shared<shard_part>();
    part->ticket = ticket;
    part->site = "ship";
    part->from = from;
    part->ranges.add({from.header.first, from.header.last()});
    part->records = decode_records(from).value();
    caf::send_as(listener, shard, shard_part_ptr{part});
    actors.run();
  }
  void succeed() { store->succeed(), actors.run(); }
  void refuse() { store->refuse(), actors.run(); }
  [[nodiscard]] range_set kept() const {
    return decode_shard_ranges(as_bytes(store->state.at(state_key))).value().stored;
  }
};

// Frames with two samples each, and a watermark at the end.
class run_maker {
public:
  explicit run_maker(sequence first) : builder_(key, first) {}
  run_maker& frame_at(std::int64_t time_ns, std::optional<std::int64_t> inside = std::nullopt,
                      std::string_view host = "a") {
    frame f;
    f.time_ns = inside.value_or(time_ns);
    f.monotonic_ns = 1;
    f.sections.push_back({{{1, 2, 3}}, 2, {}});
    f.values = {1, 2.5};
    byte_buffer payload;
    encode_frame(f, encoder_, payload);
    builder_.append(record_kind::frame, time_ns, host, payload);
    return *this;
  }
  run_maker& claimed_at(std::int64_t time_ns) { // the time is a target's
    frame f;
    f.time_ns = time_ns;
    f.sections.push_back({{{1, 2, 3}}, 2, {1}});
    f.values = {1};
    byte_buffer payload;
    encode_frame(f, encoder_, payload);
    builder_.append(record_kind::frame, time_ns, "a", payload);
    return *this;
  }
  run_maker& watermark_at(std::int64_t time_ns, std::string_view host = "a") {
    byte_buffer payload;
    encode_payload(watermark{}, payload);
    builder_.append(record_kind::watermark, time_ns, host, payload);
    return *this;
  }
  run_maker& broken_frame(std::int64_t time_ns) {
    builder_.append(record_kind::frame, time_ns, "a", as_bytes("\x07 no frame"));
    return *this;
  }
  run_maker& missing(record_kind kind, bytes_view payload, std::int64_t time_ns) {
    builder_.append(kind, time_ns, "a", payload);
    return *this;
  }
  run_maker& tombstone_to(sequence last, std::int64_t time_ns) {
    tombstone stone;
    stone.last = last;
    stone.to_ns = time_ns;
    byte_buffer payload;
    encode_payload(stone, payload);
    const auto& header = builder_.header();
    builder_.append(record_kind::tombstone, time_ns, {}, payload,
                    last - (header.first + header.sequence_count) + 1);
    return *this;
  }
  run make() { return std::move(builder_).finish(); }

private:
  run_builder builder_;
  value_encoder encoder_;
};

host_view only_host(const host_table& of) {
  const auto all = of.hosts();
  REQUIRE(all.size() == 1);
  return all.front();
}

range_set span_of(sequence first, sequence last) {
  range_set out;
  out.add({first, last});
  return out;
}

} // namespace

TEST_CASE("records of kinds without samples are stored as they came, and counted by kind") {
  world w;
  run_maker make{1};
  make.frame_at(now).missing(record_kind{200}, as_bytes("new"), now).missing(record_kind{201}, {}, now);
  make.missing(record_kind::log_chunk, as_bytes("lines"), now).missing(record_kind::event, {}, now);
  const auto sent = make.make();
  w.send(1, sent);
  const auto& request = w.store->open.front().request;
  const auto records = decode_records(sent).value();
  REQUIRE(request.records.size() == records.size());
  for (std::size_t i = 0; i < records.size(); ++i)
    CHECK(std::ranges::equal(request.records[i].bytes, records[i].bytes));
  w.succeed();
  CHECK(w.answers == decltype(w.answers){{1, {""}}});
  const auto count = [&](record_kind kind) { return w.counters->of_kind[row_of(kind)].load(); };
  CHECK(count(record_kind::frame) == 1);
  CHECK(count(record_kind{200}) == 2); // all that are unknown together
  CHECK(count(record_kind::log_chunk) == 1);
  CHECK(count(record_kind::event) == 1);
  CHECK(count(record_kind::watermark) == 0);
  CHECK(w.counters->malformed_records == 0);
}

TEST_CASE("a watermark speaks for the kinds that it names") {
  world w;
  const auto mark = [](kind_set kinds) {
    byte_buffer payload;
    encode_payload(watermark{0, kinds}, payload);
    return payload;
  };
  const auto of_logs = mark(bit_of(record_kind::log_chunk));
  const auto of_both = mark(bit_of(record_kind::log_chunk) | bit_of(record_kind::frame));
  run_maker make{1};
  make.frame_at(now - 3 * second)
      .missing(record_kind::watermark, of_both, now - 3 * second)
      .missing(record_kind::watermark, of_logs, now)
      .missing(record_kind::watermark, as_bytes("no watermark"), now);
  w.send(1, make.make());
  w.succeed();
  CHECK(only_host(*w.hosts).statements.front().live_watermark_ns == now - 3 * second);
}

TEST_CASE("a part is appended with its ranges, and answered and counted when that is durable") {
  world w;
  w.send(1, run_maker{1}.frame_at(now - second).frame_at(now).watermark_at(now).make());
  REQUIRE(w.store->open.size() == 1);
  const auto& request = w.store->open.front().request;
  CHECK(request.shard == 5);
  CHECK(request.fence == 1);
  CHECK(request.site == "ship");
  CHECK(request.origin == key);
  CHECK(request.ranges == span_of(1, 3));
  CHECK(request.records.size() == 3);
  REQUIRE(request.state.size() == 1);
  CHECK(request.state[0].key == state_key);
  CHECK(w.answers.empty());
  CHECK(w.counters->records == 0);
  CHECK(w.hosts->hosts().empty());
  w.succeed();
  CHECK(w.answers[1] == std::vector<std::string>{""});
  CHECK(w.kept() == span_of(1, 3));
  CHECK(w.counters->records == 3);
  CHECK(w.counters->samples == 4);
  const auto host = only_host(*w.hosts);
  CHECK(host.samples == 4);
  CHECK(host.series == 2);
  CHECK(host.edge == key.edge);
  CHECK(host.live_watermark_ns == now);
}

TEST_CASE("what failed and comes again counts once") {
  world w;
  const auto from =
      run_maker{1}.frame_at(now).broken_frame(now).frame_at(now + 3600 * second).watermark_at(now).make();
  w.send(1, from);
  w.refuse();
  CHECK(w.answers[1] == std::vector<std::string>{"the store's queue is full"});
  CHECK(w.counters->refused_parts == 1);
  CHECK(w.counters->records == 0);
  CHECK(w.counters->samples == 0);
  CHECK(w.counters->malformed_records == 0);
  CHECK(w.counters->ahead_records == 0);
  CHECK(w.hosts->hosts().empty()); // and no watermark before it is stored
  w.send(2, from);
  w.succeed();
  CHECK(w.answers[2] == std::vector<std::string>{""});
  CHECK(w.counters->records == 4);
  CHECK(w.counters->samples == 2);
  CHECK(w.counters->malformed_records == 1);
  CHECK(w.counters->ahead_records == 1);
  CHECK(only_host(*w.hosts).samples == 2);
}

TEST_CASE("what is stored is told once, and the part is answered when everybody has taken it") {
  world w;
  w.keeps_effects = true;
  const auto from = run_maker{1}
                        .frame_at(now - second)
                        .frame_at(now, std::nullopt, "b")
                        .watermark_at(now)
                        .missing(record_kind::event, as_bytes("on fire"), now)
                        .broken_frame(now)
                        .make();
  w.send(1, from);
  CHECK(w.told == 0);
  w.refuse();
  CHECK(w.told == 0);
  CHECK(w.answers[1].size() == 1);
  w.send(2, from);
  w.succeed();
  CHECK(w.told == 1);
  REQUIRE(w.taken.size() == 1);
  CHECK(w.answers[2].empty()); // somebody is not done with it
  CHECK(w.kept() == span_of(1, 5));
  w.send(3, run_maker{6}.frame_at(now).make()); // others need not wait for that
  w.succeed();
  CHECK(w.told == 2);
  w.send(4, from); // nothing of it is new
  CHECK(w.told == 2);
  CHECK(w.answers[4] == std::vector<std::string>{""});
  {
    const auto& what = *w.taken.front();
    CHECK(what.shard == 5);
    CHECK(what.site == "ship");
    CHECK(what.origin == key);
    CHECK(what.records == 5);
    CHECK(what.of_kind[row_of(record_kind::frame)] == 2);
    CHECK(what.of_kind[row_of(record_kind::tombstone)] == 1);
    REQUIRE(what.frames.size() == 2);
    CHECK(what.frames[1].record.host == "b");
    CHECK(what.frames[1].samples == 2);
    CHECK(what.sets_of(what.frames[1]).front().series == 2);
    REQUIRE(what.watermarks.size() == 1);
    CHECK(what.watermarks[0].seq == 3);
    REQUIRE(what.others.size() == 2);
    CHECK(as_text(what.others[0].payload) == "on fire");
    CHECK(decode_tombstone(what.others[1].payload).value().cause == loss_cause::corrupt);
  }
  w.taken.erase(w.taken.begin());
  w.actors.run();
  CHECK(w.answers[2] == std::vector<std::string>{""});
  CHECK(w.answers[3].empty());
  w.taken.clear();
  w.actors.run();
  CHECK(w.answers[3] == std::vector<std::string>{""});
}

TEST_CASE("a shard lets go of a stream of which everything is held, and of no other") {
  world w;
  const auto release = [&w](sequence through) {
    auto over = std::make_shared<stream_release>();
    over->key = key;
    over->held = span_of(1, through);
    caf::send_as(w.listener, w.shard, stream_release_ptr{over});
    w.actors.run();
  };
  w.send(1, run_maker{1}.frame_at(now).make());
  release(1); // under way
  w.send(2, run_maker{2}.frame_at(now).make());
  w.succeed();
  w.succeed();
  CHECK(w.store->open.empty()); // more came since
  CHECK(w.kept() == span_of(1, 2));
  release(1); // 2 is of a job that other shards failed to store
  CHECK(w.store->open.empty());
  CHECK(w.kept() == span_of(1, 2));
  w.open();
  release(1);
  CHECK(w.store->open.empty());
  release(2);
  REQUIRE(w.store->open.size() == 1);
  w.succeed();
  CHECK_FALSE(w.store->state.contains(state_key));
  release(2); // nothing is there
  CHECK(w.store->open.empty());
  CHECK(w.released == std::vector<bool>{false, false, false, true, true});
}

TEST_CASE("a shard that is asked to let go while a part is under way does so when it is stored") {
  world w;
  w.send(1, run_maker{1}.frame_at(now).make());
  auto over = std::make_shared<stream_release>();
  over->key = key;
  over->held = span_of(1, 1);
  caf::send_as(w.listener, w.shard, stream_release_ptr{over});
  w.actors.run();
  CHECK(w.released == std::vector<bool>{false});
  w.succeed();
  REQUIRE(w.store->open.size() == 1); // nobody asks again
  w.succeed();
  CHECK_FALSE(w.store->state.contains(state_key));
}

TEST_CASE("what a shard keeps of what was pushed to an earlier process goes when it starts") {
  world w;
  const auto pushed = shard_state_key(5, {edge_pushed, {3, {9}}, stream_id::telemetry});
  const auto other = shard_state_key(6, {edge_pushed, {3, {9}}, stream_id::telemetry});
  w.store->state[pushed] = w.store->state[other] = "x";
  w.open();
  REQUIRE(w.store->open.size() == 1);
  w.succeed();
  CHECK_FALSE(w.store->state.contains(pushed));
  CHECK(w.store->state.contains(other)); // another shard's
}

TEST_CASE("a place that became free is asked for anew") {
  world w;
  w.places = std::make_shared<host_admission>(host_limits{.hosts_max = 1, .site_hosts_max = 1});
  w.hosts = std::make_shared<host_table>(w.places);
  w.open();
  w.send(1, run_maker{1}.frame_at(now).make());
  w.succeed();
  w.hosts->forget_before(now + second);
  REQUIRE(w.places->admit("ship", "heir", key.edge));
  w.send(2, run_maker{2}.frame_at(now).make());
  w.succeed();
  CHECK(w.counters->host_limit_records == 1);
  CHECK(w.hosts->hosts().empty());
}

TEST_CASE("what is stored already is answered without an append, also after a restart") {
  world w;
  const auto from = run_maker{1}.frame_at(now).frame_at(now).make();
  w.send(1, from);
  w.succeed();
  w.send(2, from);
  CHECK(w.store->open.empty());
  CHECK(w.answers[2] == std::vector<std::string>{""});
  CHECK(w.counters->duplicate_records == 2);
  w.open();
  w.send(3, from);
  CHECK(w.store->open.empty());
  CHECK(w.answers[3] == std::vector<std::string>{""});
  CHECK(only_host(*w.hosts).samples == 4);
}

TEST_CASE("a tombstone over records that other shards failed to store is stored, once") {
  world w;
  // Of a job of 1 to 9 this shard had 2, and stored that; others failed. Then 3 to 9 were dropped from the spool.
  auto part = std::make_shared<shard_part>();
  part->ticket = 1;
  part->site = "ship";
  part->from = run_maker{2}.frame_at(now).make();
  part->ranges.add({1, 9});
  part->records = decode_records(part->from).value();
  caf::send_as(w.listener, w.shard, shard_part_ptr{part});
  w.actors.run();
  w.succeed();
  const auto dropped = run_maker{2}.frame_at(now).tombstone_to(9, now).make();
  w.send(2, dropped);
  REQUIRE(w.store->open.size() == 1);
  REQUIRE(w.store->open.front().request.records.size() == 1); // 2 is there
  CHECK(w.store->open.front().request.records[0].kind == record_kind::tombstone);
  w.succeed();
  w.send(3, dropped);
  CHECK(w.store->open.empty());
  w.open(); // also after a restart
  w.send(4, dropped);
  CHECK(w.store->open.empty());
  CHECK(w.answers[4] == std::vector<std::string>{""});
}

TEST_CASE("of a tombstone that has its neighbours in it, only what is not stored yet is stored") {
  world w;
  w.send(1, run_maker{4}.tombstone_to(6, now).make()); // of a job that failed elsewhere
  w.succeed();
  w.send(2, run_maker{1}.tombstone_to(9, now).make()); // made one with its neighbours since
  REQUIRE(w.store->open.size() == 1);
  const auto& records = w.store->open.front().request.records;
  REQUIRE(records.size() == 2);
  CHECK(records[0].seq == 1);
  CHECK(decode_tombstone(records[0].payload).value().last == 3);
  CHECK(records[1].seq == 7);
  CHECK(decode_tombstone(records[1].payload).value().last == 9);
  w.succeed();
  w.send(3, run_maker{1}.tombstone_to(9, now).make());
  CHECK(w.store->open.empty());
}

TEST_CASE("a tombstone from a clock that runs ahead stands for all that it stood for") {
  world w;
  w.send(1, run_maker{4}.tombstone_to(9, now + 3600 * second).make());
  REQUIRE(w.store->open.size() == 1);
  const auto& records = w.store->open.front().request.records;
  REQUIRE(records.size() == 1);
  CHECK(decode_tombstone(records[0].payload).value().last == 9);
  CHECK(sequences_of(records[0]).value() == 6);
}

TEST_CASE("parts of a stream wait for each other: a later one does not speak for one that failed") {
  world w;
  w.send(1, run_maker{1}.frame_at(now).make());
  w.send(2, run_maker{2}.frame_at(now).make());
  REQUIRE(w.store->open.size() == 1);
  w.refuse();
  CHECK(w.answers[1].size() == 1);
  REQUIRE(w.store->open.size() == 1);
  w.succeed();
  CHECK(w.answers[2] == std::vector<std::string>{""});
  CHECK(w.kept() == span_of(2, 2));
}

TEST_CASE("samples further ahead than ingest.future_max become tombstones and are acknowledged") {
  world w;
  const auto limit = now + 600 * second;
  const auto from = run_maker{1}
                        .frame_at(limit)
                        .frame_at(limit + 1)
                        .frame_at(limit + 2)
                        .watermark_at(limit + 3)
                        .frame_at(now, limit + 1) // the record's own time says another
                        .make();
  w.send(1, from);
  REQUIRE(w.store->open.size() == 1);
  const auto& records = w.store->open.front().request.records;
  REQUIRE(records.size() == 3); // one tombstone for those that follow each other, and lie close
  CHECK(records[0].kind == record_kind::frame);
  REQUIRE(records[1].kind == record_kind::tombstone);
  CHECK(records[1].seq == 2);
  CHECK(records[1].host == "a");
  CHECK(records[1].time_ns == now); // it stands where it was noticed, not in a time that nobody believes
  const auto stone = decode_tombstone(records[1].payload);
  REQUIRE(stone);
  CHECK(stone.value().cause == loss_cause::clock_ahead);
  CHECK(stone.value().last == 4);
  CHECK(stone.value().samples == 4);
  CHECK(stone.value().from_ns == limit + 1);
  CHECK(stone.value().to_ns == limit + 3);
  CHECK(records[2].seq == 5);
  CHECK(records[2].kind == record_kind::tombstone);
  w.succeed();
  CHECK(w.answers[1] == std::vector<std::string>{""}); // never a wedge
  CHECK(w.kept() == span_of(1, 5));
  CHECK(w.counters->ahead_records == 4);
  CHECK(w.counters->samples == 2);
  CHECK(only_host(*w.hosts).last_sample_ns == limit);
  CHECK(only_host(*w.hosts).live_watermark_ns == 0); // a clock that runs ahead makes nobody current
}

TEST_CASE("what is ahead of a clock that most edges contradict is not taken, and not lost") {
  world w;
  const auto two_hours = 7200 * second;
  for (const auto edge : {edge_id{7}, edge_id{8}, edge_id{9}})
    w.trust->heard(edge, now + two_hours);
  const auto from = run_maker{1}.frame_at(now + two_hours).watermark_at(now + two_hours).make();
  w.send(1, from);
  CHECK(w.store->open.empty());
  REQUIRE(w.answers[1].size() == 1);
  CHECK(w.answers[1][0].find("the clock of this node is 7200 s or more behind") == 0);
  CHECK(w.counters->doubted_parts == 1);
  CHECK(w.counters->ahead_records == 0);
  // What is not ahead goes on.
  w.send(2, run_maker{3}.frame_at(now).make());
  REQUIRE(w.store->open.size() == 1);
  w.succeed();
  CHECK(w.answers[2] == std::vector<std::string>{""});
  CHECK(w.kept() == span_of(3, 3));
  // The others put theirs right: then this one is wrong.
  w.trust->heard(edge_id{8}, now);
  w.trust->heard(edge_id{9}, now);
  w.send(3, from);
  REQUIRE(w.store->open.size() == 1);
  w.succeed();
  CHECK(w.answers[3] == std::vector<std::string>{""});
  CHECK(w.counters->ahead_records == 2);
}

TEST_CASE("entries of the ledger are not cut by a clock that most edges contradict") {
  world w;
  const auto later = now + 7200 * second;
  for (const auto edge : {edge_id{7}, edge_id{8}, edge_id{9}})
    w.trust->heard(edge, later);
  const auto stone = run_maker{1}.tombstone_to(3, later).make();
  w.send(1, stone);
  byte_buffer payload;
  encode_payload(not_collected{later - second, later, loss_cause::node_off, {}}, payload);
  const auto gap = run_maker{4}.missing(record_kind::not_collected, payload, now).make();
  w.send(2, gap);
  CHECK(w.store->open.empty());
  CHECK(w.counters->doubted_parts == 2);
  // The others put theirs right: then this one's is wrong, and its entries reach no further than they may.
  w.trust->heard(edge_id{8}, now);
  w.trust->heard(edge_id{9}, now);
  w.send(3, stone);
  REQUIRE(w.store->open.size() == 1);
  CHECK(decode_tombstone(w.store->open.front().request.records.front().payload).value().to_ns
        == now + 600 * second);
  w.succeed();
  w.send(4, gap);
  w.succeed();
  CHECK(w.answers[3] == std::vector<std::string>{""});
  CHECK(w.answers[4] == std::vector<std::string>{""});
}

TEST_CASE("a sample with a time of its own makes no host complete since then") {
  world w;
  w.send(1, run_maker{1}.frame_at(now).claimed_at(1).claimed_at(now + 60 * second).watermark_at(now).make());
  w.succeed();
  const auto host = only_host(*w.hosts);
  CHECK(host.first_sample_ns == now);
  CHECK(host.last_sample_ns == now);
  CHECK(host.series == 2);
  CHECK(host.samples == 4);
}

TEST_CASE("replaced records of other causes, or that do not follow each other, stay apart") {
  world w;
  const auto ahead = now + 3600 * second;
  w.send(1,
         run_maker{1}.frame_at(ahead).broken_frame(now).frame_at(ahead).frame_at(now).frame_at(ahead).make());
  const auto& records = w.store->open.front().request.records;
  REQUIRE(records.size() == 5);
  for (const std::size_t i : {0, 1, 2, 4})
    CHECK(decode_tombstone(records[i].payload).value().last == i + 1);
  w.succeed();
  CHECK(w.counters->ahead_records == 3);
}

TEST_CASE("a host beyond the bound loses its samples by name, and its edge's other hosts lose nothing") {
  world w;
  w.places = std::make_shared<host_admission>(host_limits{.hosts_max = 10, .site_hosts_max = 1});
  w.hosts = std::make_shared<host_table>(w.places);
  w.open();
  w.send(1, run_maker{1}
                .frame_at(now)
                .frame_at(now, std::nullopt, "one too many")
                .watermark_at(now, "one too many")
                .frame_at(now + second)
                .watermark_at(now + second)
                .make());
  const auto& records = w.store->open.front().request.records;
  REQUIRE(records.size() == 5);
  CHECK(records[0].kind == record_kind::frame);
  REQUIRE(records[1].kind == record_kind::tombstone);
  CHECK(records[1].host == "one too many");
  CHECK(records[1].seq == 2);
  const auto stone = decode_tombstone(records[1].payload);
  REQUIRE(stone);
  CHECK(stone.value().cause == loss_cause::host_limit);
  CHECK(stone.value().samples == 2);
  CHECK(records[2].kind == record_kind::watermark); // no row of the ledger for each of them
  CHECK(records[3].kind == record_kind::frame);
  w.succeed();
  CHECK(w.answers[1] == std::vector<std::string>{""}); // never a wedge
  CHECK(w.kept() == span_of(1, 5));
  CHECK(w.counters->host_limit_records == 1);
  CHECK(w.counters->samples == 4);
  CHECK(only_host(*w.hosts).live_watermark_ns == now + second);
}

TEST_CASE("an entry of the ledger says no more than can be true") {
  world w;
  tombstone stone;
  stone.last = 1;
  stone.from_ns = now - second;
  stone.to_ns = INT64_MAX; // for ever
  stone.samples = stone.bytes = UINT64_MAX;
  stone.cause = loss_cause::thinned;
  byte_buffer tombstones, gaps;
  encode_payload(stone, tombstones);
  encode_payload(not_collected{now + 7200 * second, INT64_MAX, loss_cause::node_off, "of old"}, gaps);
  w.send(1, run_maker{1}
                .missing(record_kind::tombstone, tombstones, now)
                .missing(record_kind::not_collected, gaps, now)
                .make());
  const auto& records = w.store->open.front().request.records;
  REQUIRE(records.size() == 2);
  const auto lost = decode_tombstone(records[0].payload).value();
  CHECK(lost.last == 1);
  CHECK(lost.from_ns == now - second);
  CHECK(lost.to_ns == now + 600 * second);
  CHECK(lost.samples == 1 << 20);
  CHECK(lost.bytes == 1 << 26);
  CHECK(lost.cause == loss_cause::thinned);
  const auto gap = decode_not_collected(records[1].payload).value();
  CHECK(records[1].seq == 2);
  CHECK(gap.from_ns == now + 600 * second);
  CHECK(gap.to_ns == now + 600 * second);
  CHECK(gap.detail == "of old");
}

TEST_CASE("a frame that does not decode is written to the ledger as corrupt") {
  world w;
  w.send(1, run_maker{1}.broken_frame(now).frame_at(now).make());
  const auto& records = w.store->open.front().request.records;
  REQUIRE(records.size() == 2);
  const auto stone = decode_tombstone(records[0].payload);
  REQUIRE(stone);
  CHECK(stone.value().cause == loss_cause::corrupt);
  w.succeed();
  CHECK(w.counters->malformed_records == 1);
  CHECK(w.counters->samples == 2);
}

TEST_CASE("a node that starts again in the past goes by when it last ran") {
  struct settable_clock final : clock_source {
    std::int64_t wall = now;
    std::int64_t monotonic = 5 * second;
    [[nodiscard]] std::int64_t wall_ns() const noexcept override { return wall; }
    [[nodiscard]] std::int64_t monotonic_ns() const noexcept override { return monotonic; }
  };
  settable_clock real;
  fake_engine store;
  held_clock first{real, store};
  CHECK(first.wall_ns() == now);
  real.wall -= 100 * second; // set back while it runs: as it says
  CHECK(first.wall_ns() == now - 100 * second);
  real.wall = now;
  const auto note = first.note();
  store.state[note.key] = note.value;

  real.wall = now - 7200 * second;
  real.monotonic = second; // the machine was started again
  const held_clock second_start{real, store};
  CHECK(second_start.wall_ns() == now);
  real.monotonic += 3 * second;
  CHECK(second_start.wall_ns() == now + 3 * second);
  real.wall = now + 60 * second; // put right
  CHECK(second_start.wall_ns() == now + 60 * second);

  store.state[note.key] = "no number";
  real.wall = now - 7200 * second;
  CHECK(held_clock{real, store}.wall_ns() == real.wall);
}

TEST_CASE("what is stored of a stream with thousands of holes is written as changes") {
  world w;
  constexpr sequence parts = 3000;
  std::uint64_t written = 0, now_and_then = 0;
  for (sequence i = 0; i < parts; ++i) {
    w.send(i + 1, run_maker{1000 + 3 * i}.frame_at(now).make());
    const auto& update = w.store->open.front().request.state.front();
    written += update.value.size();
    now_and_then += update.appends ? 0 : 1;
    if (i % 7 == 0) {
      w.refuse(); // and is brought again
      w.send(i + 1, run_maker{1000 + 3 * i}.frame_at(now).make());
    }
    w.succeed();
    if (i % 500 == 250)
      w.open(); // the shard begins anew with what the store has
  }
  const auto whole = [&] {
    byte_buffer all;
    encode_shard_ranges({w.kept(), {}}, all);
    return all.size();
  }();
  CHECK(w.kept().ranges().size() == parts);
  CHECK(w.store->state.at(state_key).size() <= 2 * whole);
  CHECK(written <= 16 * whole); // all of it each time would be half of `parts` times that
  CHECK(now_and_then >= growing_value::small_bytes / 4);
  w.open();
  w.send(parts + 1, run_maker{1000}.frame_at(now).make());
  CHECK(w.counters->duplicate_records == 1);
}

TEST_CASE("what makes a job held is stored with its records, and also where all of them are there already") {
  world w;
  const auto with_note = [&](std::uint64_t ticket, const std::string& note) {
    auto part = std::make_shared<shard_part>();
    part->ticket = ticket;
    part->site = "ship";
    part->from = run_maker{1}.frame_at(now).make();
    part->ranges = span_of(1, 1);
    part->records = decode_records(part->from).value();
    part->held = state_update{"held/x", note, true};
    caf::send_as(w.listener, w.shard, shard_part_ptr{part});
    w.actors.run();
  };
  with_note(1, "a");
  REQUIRE(w.store->open.size() == 1);
  CHECK(w.store->open.front().request.records.size() == 1);
  CHECK(w.store->state.empty());
  w.refuse();
  CHECK(w.store->state.empty()); // neither of the two
  with_note(1, "b");
  w.succeed();
  CHECK(w.store->state.at("held/x") == "b");
  with_note(2, "c");
  REQUIRE(w.store->open.size() == 1);
  CHECK(w.store->open.front().request.records.empty());
  w.succeed();
  CHECK(w.store->state.at("held/x") == "bc");
  CHECK(w.answers.at(2).back().empty());
}
