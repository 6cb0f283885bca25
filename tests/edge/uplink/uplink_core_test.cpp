// What the uplink does around its sender: failover, the backlog's own connection, the quota. Time is the test's.

#include "edge/uplink/uplink_core.hpp"
#include "tests/actors/delivery/world.hpp"

#include <catch2/catch.hpp>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <optional>
#include <sstream>

using namespace skerry;
using namespace skerry::edge;
using namespace std::chrono_literals;
using delivery::quota_level;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t day = 86'400 * second;
constexpr std::uint64_t session = 9;

struct fake_connections final : uplink_connections {
  bool send(link::message message) override {
    if (address.empty())
      return false;
    sent.push_back(std::move(message));
    return true;
  }
  void reconnect() override { ++reconnects; }
  bool backlog_apart() const noexcept override { return apart; }
  result<void> start(const std::string& to) override {
    CHECK(address.empty()); // that was stopped before
    tried.push_back(to);
    if (fails)
      return fail(errc::io, "no descriptor is left");
    address = to;
    return ok();
  }
  void stop() override {
    address.clear();
    apart = false;
  }
  bool started() const noexcept override { return !address.empty(); }
  void open_apart(const std::string& to) override {
    apart = true;
    apart_to = to;
  }
  void close_apart() override { apart = false; }
  bool has_apart() const noexcept override { return apart; }
  std::uint64_t take_ip_bytes() override { return std::exchange(untaken, 0); }
  std::uint64_t bytes_sent() const noexcept override { return 0; }
  std::uint64_t bytes_received() const noexcept override { return 0; }

  std::vector<link::message> sent;
  std::vector<std::string> tried;
  std::string address; // empty: it is not started
  std::string apart_to;
  bool apart = false;
  bool fails = false;
  std::uint64_t untaken = 0;
  int reconnects = 0;
};

struct fake_keeper final : usage_keeper {
  result<kept_usage> load() override {
    if (refuses_load)
      return fail(errc::unsupported_version, "it is of a newer version");
    return kept;
  }
  result<void> store(const kept_usage& from) override {
    ++stores;
    if (refuses)
      return fail(errc::io, "the disk is full");
    kept = from;
    return ok();
  }
  kept_usage kept;
  int stores = 0;
  bool refuses = false;
  bool refuses_load = false;
};

struct fixture {
  fixture() {
    settings.sender.edge = key.edge;
    settings.sender.current = key.epoch;
    settings.sender.fresh_records = 1;
    settings.addresses = {"a", "b"};
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_st>(lines)));
  }
  ~fixture() { spdlog::set_default_logger(logger); }

  // A process of it starts.
  void start() {
    core.reset();
    link = {};
    core.emplace(settings, clock, random, spool, link, &keeper);
    core->start();
  }
  void pass(std::chrono::nanoseconds time) {
    for (auto left = time; left.count() > 0; left -= uplink_core::tick_interval) {
      clock.now += std::chrono::nanoseconds{uplink_core::tick_interval}.count();
      core->on_tick();
    }
  }
  void welcome(std::int64_t server_time_ns = 0) {
    core->on_up();
    link::welcome welcome;
    welcome.credit_bytes = 2000;
    welcome.kinds = known_kinds;
    welcome.server_time_ns = server_time_ns;
    core->on_message({session, welcome});
  }
  void commit(int records) {
    std::vector<pending_record> all(static_cast<std::size_t>(records));
    for (auto& record : all) {
      record.kind = record_kind::event;
      record.payload.resize(100);
    }
    spool.commit(key, all);
  }
  // The receiver takes all that was sent since the last call.
  void answer() {
    for (const auto& message : std::exchange(link.sent, {}))
      if (const auto* batch = std::get_if<link::batch>(&message.body)) {
        link::ack ack{{{key, {}}}, 0, link::ack_level::safe};
        ack.ranges[0].ranges.add({batch->run.header.first, batch->run.header.last()});
        core->on_message({session, ack});
      }
  }
  // Session and backlog, whose round trip takes a second, for so long.
  void exchange(std::chrono::seconds time) {
    for (; time.count() > 0; time -= 1s) {
      pass(1s);
      answer();
    }
  }
  [[nodiscard]] std::size_t said(std::string_view what) const {
    const auto text = lines.str();
    std::size_t n = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
      ++n;
    return n;
  }
  [[nodiscard]] std::size_t batches() const {
    return static_cast<std::size_t>(std::count_if(link.sent.begin(), link.sent.end(), [](const auto& one) {
      return std::holds_alternative<link::batch>(one.body);
    }));
  }

  const std::shared_ptr<spdlog::logger> logger = spdlog::default_logger();
  std::ostringstream lines;
  const stream_key key{edge_id{1}, {1, {1}}, stream_id::telemetry};
  uplink_core_config settings;
  delivery::test::manual_clock clock;
  delivery::test::seeded_random random{1};
  delivery::test::memory_spool spool;
  fake_connections link;
  fake_keeper keeper;
  std::optional<uplink_core> core;
};

} // namespace

TEST_CASE("without a session for failover_after, and not sooner, the next address is tried, in turn") {
  fixture f;
  f.start();
  CHECK(f.link.tried == std::vector<std::string>{"a"});
  f.pass(20s);
  CHECK(f.link.tried.size() == 1); // counted from the first tick on
  f.pass(1s);
  CHECK(f.link.tried == std::vector<std::string>{"a", "b"});
  CHECK(f.core->status().address == "b");
  CHECK(f.said("trying b") == 1);
  f.pass(20s);
  CHECK(f.link.tried == std::vector<std::string>{"a", "b", "a"});
}

TEST_CASE("an address with a session is kept, and what is under way there goes again over the next one") {
  fixture f;
  f.commit(5);
  f.start();
  f.pass(19s);
  f.welcome();
  REQUIRE(f.batches() != 0);
  f.answer();
  f.pass(100s);
  CHECK(f.link.tried.size() == 1);
  f.commit(1);
  f.core->on_up(); // a greeting without an answer is no session
  f.pass(19s);
  CHECK(f.link.tried.size() == 1);
  f.pass(2s);
  CHECK(f.link.address == "b");
  CHECK(f.core->status().phase == delivery::sender_phase::down);
  f.link.sent.clear();
  f.welcome();
  CHECK(f.batches() != 0);
}

TEST_CASE("a connection that is up with the session refused is given up like one that is down") {
  fixture f;
  f.start();
  f.core->on_refused();
  f.core->on_refused();
  CHECK(f.said("does not know this edge's key") == 1);
  CHECK(f.core->status().refusal.find("Join again") != std::string::npos);
  f.pass(21s);
  CHECK(f.link.address == "b");
  f.core->on_up();
  CHECK(f.core->status().refusal.empty());
}

TEST_CASE("one address alone is never given up") {
  fixture f;
  f.settings.addresses = {"a"};
  f.start();
  f.pass(600s);
  CHECK(f.link.tried.size() == 1);
}

TEST_CASE("a link that cannot be started is tried again, and that is said once") {
  fixture f;
  f.settings.addresses = {"a"};
  f.link.fails = true;
  f.core.emplace(f.settings, f.clock, f.random, f.spool, f.link, nullptr);
  f.pass(60s);
  CHECK(f.link.tried.empty()); // nobody has told it to start
  f.core->start();
  f.pass(20s);
  CHECK(f.link.tried.size() == 5);
  CHECK(f.said("no descriptor is left") == 1);
  CHECK(f.core->status().refusal == "no descriptor is left");
  f.link.fails = false;
  f.pass(5s);
  CHECK(f.link.address == "a");
  CHECK(f.core->status().refusal.empty());
  f.pass(60s);
  CHECK(f.link.tried.size() == 6);
}

TEST_CASE("a backlog that lasts over a long round trip gets a connection of its own, until it is gone") {
  fixture f;
  f.settings.backlog_apart_from = 200ms;
  f.commit(300);
  f.start();
  f.welcome();
  f.exchange(10s);
  CHECK_FALSE(f.link.apart); // it has to last
  f.exchange(3s);
  CHECK(f.link.apart);
  CHECK(f.link.apart_to == "a");
  CHECK(f.core->status().backlog_apart);
  while (f.core->sender().has_backlog())
    f.exchange(1s);
  CHECK(f.link.apart);
  f.pass(9s);
  CHECK(f.link.apart); // more may come
  f.pass(3s);
  CHECK_FALSE(f.link.apart);
  CHECK(f.said("no backlog is left") == 1);
}

TEST_CASE("the backlog's own connection is not opened over a short round trip, or where it never is") {
  const auto least = GENERATE(std::chrono::nanoseconds{2s}, std::chrono::nanoseconds{0});
  fixture f;
  f.settings.backlog_apart_from = least;
  f.commit(1000);
  f.start();
  f.welcome();
  f.exchange(30s);
  REQUIRE(f.core->sender().has_backlog());
  CHECK_FALSE(f.link.apart);
}

TEST_CASE("the backlog's own connection closes with the session, and when nothing comes through it") {
  const bool silent = GENERATE(true, false);
  fixture f;
  f.settings.backlog_apart_from = 200ms;
  f.settings.sender.dead_after = 5s;
  f.commit(1000);
  f.start();
  f.welcome();
  f.exchange(13s);
  REQUIRE(f.link.apart);
  if (silent) {
    // The first connection answers, what goes over the second is never acknowledged.
    for (int i = 0; i < 6; ++i) {
      f.core->on_message({session, link::pong{}});
      f.pass(1s);
    }
    CHECK(f.said("nothing came through") == 1);
  } else {
    f.core->on_down();
    f.pass(500ms);
    CHECK(f.said("the session has ended") == 1);
  }
  CHECK_FALSE(f.link.apart);
}

TEST_CASE("what crossed the link counts, is told, and holds back what the quota does not allow") {
  fixture f;
  f.settings.quota.bytes = 1000;
  f.settings.quota.per = delivery::quota_period::day;
  f.start();
  f.welcome();
  f.link.untaken = 700;
  f.pass(500ms);
  CHECK(f.core->status().bytes_today == 700);
  CHECK(f.core->status().quota_bytes == 1000);
  CHECK(f.core->status().quota == quota_level::open);
  f.link.untaken = 300;
  f.pass(500ms);
  CHECK(f.core->status().quota == quota_level::exhausted);
  f.commit(3);
  f.link.sent.clear();
  f.welcome();
  f.pass(10s);
  CHECK(f.batches() == 0);
  f.core->on_message({session, link::pong{}}); // or the link would count as dead
  f.clock.now += day;
  f.pass(1s);
  CHECK(f.core->status().quota == quota_level::open);
  CHECK(f.batches() != 0);
}

TEST_CASE("a quota that is used up holds from the first moment of a process on") {
  fixture f;
  f.settings.quota.bytes = 1000;
  f.settings.quota.per = delivery::quota_period::day;
  f.start();
  f.link.untaken = 1000;
  f.pass(1s);
  f.core->stop();
  f.commit(3);
  f.start();
  f.welcome();
  CHECK(f.batches() == 0); // before the first tick
}

TEST_CASE("what the link has carried, and a paused backlog, are kept over a restart") {
  fixture f;
  f.start();
  f.link.untaken = 700;
  f.pass(29s);
  CHECK(f.keeper.kept.usage.days.empty());
  f.pass(1s);
  CHECK(f.keeper.kept.usage.days.size() == 1);
  f.pass(60s);
  CHECK(f.keeper.stores == 1); // nothing has crossed since
  f.core->pause_backlog(true);
  CHECK(f.keeper.kept.backlog_paused);
  f.link.untaken = 50;
  f.core->stop();
  CHECK_FALSE(f.link.started());
  f.start();
  CHECK(f.core->status().backlog_paused);
  f.link.untaken = 6;
  f.pass(500ms);
  CHECK(f.core->status().bytes_today == 756);
  f.core->pause_backlog(false);
  CHECK_FALSE(f.keeper.kept.backlog_paused);
  // With the time that has passed, be there bytes or not.
  const auto clock = f.keeper.kept.clock;
  f.pass(5s);
  f.core->stop();
  CHECK(f.keeper.kept.clock != clock);
}

TEST_CASE(
    "usage that is not taken is said once, until it is taken again; nor is what cannot be read the end") {
  fixture f;
  f.keeper.refuses = true;
  f.keeper.refuses_load = true;
  f.start();
  CHECK(f.said("it is of a newer version") == 1);
  const auto some = [&] {
    f.link.untaken = 10;
    f.pass(30s);
  };
  some();
  some();
  CHECK(f.keeper.stores == 2);
  CHECK(f.said("the disk is full") == 1);
  CHECK(f.core->status().bytes_today == 20);
  f.keeper.refuses = false;
  some();
  CHECK(f.keeper.kept.usage.days.begin()->second == 30);
  f.keeper.refuses = true;
  some();
  CHECK(f.said("the disk is full") == 2);
}

TEST_CASE("a clock ahead begins no new day, is told once, and is set right by the receiver's time") {
  fixture f;
  f.settings.quota.bytes = 1000;
  f.settings.quota.per = delivery::quota_period::day;
  f.start();
  f.pass(1s);
  f.link.untaken = 990;
  f.pass(500ms);
  f.clock.wall_offset += 3 * day;
  f.pass(10s);
  CHECK(f.core->status().quota == quota_level::alerts_only);
  CHECK(f.core->status().quota_clock_ahead > std::chrono::hours{71});
  CHECK(f.said("more than has passed") == 1);
  f.clock.wall_offset -= 3 * day;
  f.pass(10s);
  CHECK(f.core->status().quota_clock_ahead == 0s);
  f.clock.wall_offset += 3 * day;
  f.pass(10s);
  CHECK(f.said("more than has passed") == 2); // it is another time
}

TEST_CASE("what was counted for days to come counts for today when the receiver says its time") {
  fixture f;
  f.clock.wall_offset += 3 * day; // from the first on: nothing is known of earlier runs
  f.settings.quota.bytes = 1000;
  f.settings.quota.per = delivery::quota_period::day;
  f.start();
  f.link.untaken = 900;
  f.pass(1s);
  f.clock.wall_offset -= 3 * day;
  const auto stores = f.keeper.stores;
  f.welcome(f.clock.wall_ns());
  CHECK(f.core->status().set_back_bytes == 900);
  CHECK(f.said("900 bytes were counted for days that are yet to come") == 1);
  CHECK(f.keeper.stores == stores + 1); // at once
  CHECK(f.core->status().bytes_today == 900);
  f.clock.now += day;
  f.pass(1s);
  CHECK(f.core->status().bytes_today == 0);
}
