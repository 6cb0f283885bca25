#include "actors/link/registry.hpp"
#include "actors/link/registry_records.hpp"
#include "tests/actors/base/small_disk.hpp"
#include "tests/actors/link/support.hpp"
#include "tests/actors/link/temporary_directory.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <lmdb.h>
#include <map>
#include <set>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace skerry;
using namespace skerry::link;
using namespace skerry::link::test;

namespace {

constexpr std::int64_t now = 1'700'000'000;
constexpr std::int64_t day = 86'400;

// Says how long the machine has run.
struct running_clock final : clock_source {
  [[nodiscard]] std::int64_t wall_ns() const noexcept override { return 0; }
  [[nodiscard]] std::int64_t monotonic_ns() const noexcept override { return ran_s * 1'000'000'000; }
  std::int64_t ran_s = 0;
};

struct world {
  temporary_directory dir;
  running_clock clock;
  std::unique_ptr<registry> reg;

  world() { reopen(); }
  void reopen() {
    reg.reset();
    auto opened = registry::open(dir.path() / "registry", clock);
    REQUIRE(opened);
    reg = std::move(opened).value();
  }
  [[nodiscard]] link::invite invite(const std::string& site = "harbour", edge_id rejoins = edge_id::none) {
    auto made = reg->create_invite(site, day, now, system_random(), rejoins);
    REQUIRE(made);
    return made.value();
  }
  [[nodiscard]] edge_id join(const curve_key& key, const std::string& site = "harbour",
                             edge_id rejoins = edge_id::none) {
    const auto done = reg->complete_join(invite(site, rejoins).id, key, now, system_random());
    REQUIRE(done);
    return done.value().edge;
  }
  [[nodiscard]] std::string reason(const curve_key& key, std::int64_t at = now) {
    const auto said = reg->admit(key, at);
    CHECK(said.admitted == said.reason.empty());
    return said.reason;
  }
};

curve_key new_key() { return make_keypair().public_key; }

template <class T>
errc code_of(const result<T>& r) {
  REQUIRE(!r);
  return r.error().code;
}

} // namespace

TEST_CASE("an invite lets one node join, and is used then") {
  world w;
  const auto key = new_key();
  CHECK(w.reason(key) == "unknown");
  const auto invite = w.invite();
  CHECK(invite.expiry_s == now + day);
  const auto said = w.reg->admit(invite.one_time.public_key, now);
  REQUIRE(said.admitted);
  CHECK(said.user_id == "join:" + to_string(invite.id));
  CHECK(parse_user_id(said.user_id).value().invite == invite.id);

  const auto done = w.reg->complete_join(invite.id, key, now + 5, system_random());
  REQUIRE(done);
  CHECK(done.value().site == "harbour");
  CHECK(done.value().edge != edge_id::none);
  // Its answer may have been lost: again, with the same key, until it expires.
  w.reopen();
  CHECK(w.reg->admit(invite.one_time.public_key, now + 10).admitted);
  const auto again = w.reg->complete_join(invite.id, key, now + 10, system_random());
  REQUIRE(again);
  CHECK(again.value().edge == done.value().edge);
  CHECK(code_of(w.reg->complete_join(invite.id, new_key(), now + 10, system_random())) == errc::conflict);
  CHECK(code_of(w.reg->complete_join(invite.id, key, now + day, system_random())) == errc::timeout);

  const auto admitted = w.reg->admit(key, now + 20);
  REQUIRE(admitted.admitted);
  CHECK(admitted.user_id == user_id_of(done.value().edge));
  CHECK(parse_user_id(admitted.user_id).value().edge == done.value().edge);
  // The key was seen: nobody needs the one-time key any more.
  CHECK(w.reason(invite.one_time.public_key) == "used");
  w.reopen();
  CHECK(w.reason(invite.one_time.public_key) == "used");
  CHECK(w.reg->admit(key, now + 100 * day).admitted);
  CHECK(w.reg->site_of(done.value().edge).value() == "harbour");
}

TEST_CASE("whose a key is") {
  world w;
  const auto key = new_key();
  const auto edge = w.join(key);
  const auto found = w.reg->edge_of(key);
  REQUIRE(found);
  CHECK(found.value() == edge);
  CHECK(code_of(w.reg->edge_of(new_key())) == errc::not_found);
  CHECK(code_of(w.reg->edge_of(w.invite().one_time.public_key)) == errc::not_found);
  const auto second = new_key();
  CHECK(w.join(second, "harbour", edge) == edge);
  CHECK(code_of(w.reg->edge_of(key)) == errc::not_found);
  CHECK(w.reg->edge_of(second).value() == edge);
}

TEST_CASE("an expired, cancelled or unknown invite joins nobody") {
  world w;
  const auto invite = w.invite();
  CHECK(w.reason(invite.one_time.public_key, invite.expiry_s - 1).empty());
  CHECK(w.reason(invite.one_time.public_key, invite.expiry_s) == "expired");
  CHECK(code_of(w.reg->complete_join(invite.id, new_key(), invite.expiry_s, system_random()))
        == errc::timeout);
  REQUIRE(w.reg->cancel_invite(invite.id, now));
  w.reopen();
  CHECK(w.reason(invite.one_time.public_key) == "cancelled");
  CHECK(code_of(w.reg->complete_join(invite.id, new_key(), now, system_random())) == errc::forbidden);
  CHECK(code_of(w.reg->complete_join(invite_id{1}, new_key(), now, system_random())) == errc::not_found);
  CHECK(code_of(w.reg->cancel_invite(invite_id{1}, now)) == errc::not_found);
  // A one-time key can't be joined with either.
  const auto other = w.invite();
  CHECK(code_of(w.reg->complete_join(other.id, other.one_time.public_key, now, system_random()))
        == errc::conflict);
}

TEST_CASE("of many keys that use one invite at once, one wins") {
  world w;
  const auto invite = w.invite();
  std::atomic<int> joined{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      const auto done = w.reg->complete_join(invite.id, new_key(), now, system_random());
      if (done)
        ++joined;
      else if (done.error().code == errc::conflict)
        ++refused;
    });
  for (auto& thread : threads)
    thread.join();
  CHECK(joined == 1);
  CHECK(refused == 7);
  CHECK(w.reg->list_edges().value().size() == 1);
}

TEST_CASE("revoking takes the edge's keys and open invites, for good") {
  world w;
  const auto key = new_key();
  const auto edge = w.join(key);
  const auto pending = w.invite("", edge);
  CHECK(w.reg->admit(key, now).admitted);
  CHECK(w.reg->may_speak(edge, edge));
  REQUIRE(w.reg->revoke(edge, now));
  REQUIRE(w.reg->revoke(edge, now + 1));
  for (int i = 0; i < 2; ++i, w.reopen()) {
    CHECK(w.reason(key) == "revoked");
    CHECK(w.reason(pending.one_time.public_key) == "cancelled");
    CHECK(!w.reg->may_speak(edge, edge));
    CHECK(w.reg->find(edge).value().revoked_s == now);
  }
  CHECK(code_of(w.reg->revoke(edge_id{12345}, now)) == errc::not_found);
  CHECK(code_of(w.reg->revoke(new_key(), now)) == errc::not_found);

  // An invite that was made afterwards brings the edge back, under its id and with another key.
  const auto fresh = new_key();
  CHECK(w.join(fresh, "", edge) == edge);
  CHECK(w.reg->admit(fresh, now).user_id == user_id_of(edge));
  CHECK(w.reason(key) == "revoked");
  CHECK(w.reg->may_speak(edge, edge));
}

TEST_CASE("one key alone can be revoked") {
  world w;
  const auto key = new_key();
  const auto edge = w.join(key);
  CHECK(w.reg->revoke(key, now).value() == edge);
  CHECK(w.reason(key) == "revoked");
  const auto invite = w.invite();
  CHECK(w.reg->revoke(invite.one_time.public_key, now).value() == edge_id::none);
  CHECK(w.reason(invite.one_time.public_key) == "cancelled");
}

TEST_CASE("joining again with an edge's own invite keeps the id and changes the key") {
  world w;
  const auto before = new_key();
  const auto edge = w.join(before);
  const auto after = new_key();
  CHECK(w.join(after, "harbour", edge) == edge);
  CHECK(w.reason(before) == "revoked");
  CHECK(w.reg->admit(after, now).user_id == user_id_of(edge));
  const auto info = w.reg->find(edge).value();
  CHECK(info.keys.size() == 2);
  CHECK(w.reg->list_edges().value().size() == 1);
  // A revoked key does not come back, not even by an invite.
  const auto invite = w.invite("", edge);
  CHECK(code_of(w.reg->complete_join(invite.id, before, now, system_random())) == errc::conflict);
  CHECK(code_of(w.reg->create_invite("elsewhere", day, now, system_random(), edge))
        == errc::invalid_argument);
  CHECK(code_of(w.reg->create_invite("", day, now, system_random(), edge_id{77})) == errc::not_found);
}

TEST_CASE("who is an edge already uses up no invite for another one") {
  world w;
  const auto key = new_key();
  const auto edge = w.join(key);
  const auto fresh = w.invite();
  const auto next = new_key();
  const auto refused = w.reg->complete_join(fresh.id, next, now, system_random(), edge);
  CHECK(code_of(refused) == errc::conflict);
  CHECK(refused.error().message.find("--edge " + to_string(edge)) != std::string::npos);
  const auto other = w.join(new_key(), "harbour");
  CHECK(code_of(w.reg->complete_join(w.invite("", other).id, next, now, system_random(), edge))
        == errc::conflict);
  // Nothing was registered, and both go on: the invite for whom it was made for, the edge with one of its own.
  CHECK(w.reg->list_edges().value().size() == 2);
  CHECK(w.reason(next) == "unknown");
  CHECK(w.reg->complete_join(w.invite("", edge).id, next, now, system_random(), edge).value().edge == edge);
  CHECK(w.reg->complete_join(fresh.id, new_key(), now, system_random()).value().edge != edge);
}

TEST_CASE("an edge that lost its identity, not its key, joins again with that key") {
  world w;
  const auto key = new_key();
  const auto edge = w.join(key);
  REQUIRE(w.reg->admit(key, now).admitted);
  const auto refused = w.reg->complete_join(w.invite().id, key, now, system_random());
  CHECK(code_of(refused) == errc::conflict);
  CHECK(refused.error().message.find("--edge " + to_string(edge)) != std::string::npos);
  const auto invite = w.invite("", edge);
  CHECK(w.reg->complete_join(invite.id, key, now + 1, system_random()).value().edge == edge);
  CHECK(w.reg->complete_join(invite.id, key, now + 1, system_random()).value().edge == edge);
  CHECK(w.reg->admit(key, now + 1).user_id == user_id_of(edge));
  CHECK(w.reason(invite.one_time.public_key) == "used");
  CHECK(w.reg->find(edge).value().keys.size() == 1);
}

TEST_CASE("invites that can't be are refused") {
  world w;
  const auto code = [&](const std::string& site, std::int64_t ttl) {
    return code_of(w.reg->create_invite(site, ttl, now, system_random()));
  };
  CHECK(code("", day) == errc::invalid_argument);
  CHECK(code("a\nb", day) == errc::invalid_argument);
  CHECK(code("\xff", day) == errc::invalid_argument);
  CHECK(code(std::string(257, 'x'), day) == errc::invalid_argument);
  CHECK(code("harbour", 0) == errc::invalid_argument);
  CHECK(code("harbour", -1) == errc::invalid_argument);
  CHECK(code("harbour", invite_ttl_max_s + 1) == errc::invalid_argument);
  CHECK(w.reg->list_invites(now).value().empty());
}

TEST_CASE("an origin speaks through one parent only") {
  world w;
  const auto a = w.join(new_key(), "a");
  const auto b = w.join(new_key(), "b");
  const auto origin = edge_id{0xabc};
  CHECK(!w.reg->may_speak(a, origin));
  REQUIRE(w.reg->register_origin(a, origin, now));
  REQUIRE(w.reg->register_origin(a, origin, now));
  REQUIRE(w.reg->register_origin(a, a, now));
  w.reopen();
  CHECK(w.reg->may_speak(a, origin));
  CHECK(w.reg->may_speak(a, a));
  CHECK(!w.reg->may_speak(b, origin));
  CHECK(!w.reg->may_speak(a, b));
  CHECK(!w.reg->may_speak(origin, origin)); // it has no key here
  CHECK(!w.reg->may_speak(edge_id::none, edge_id::none));
  CHECK(w.reg->site_of(origin).value() == "a");
  CHECK(w.reg->find(origin).value().parent == a);
  CHECK(code_of(w.reg->register_origin(b, origin, now)) == errc::conflict);
  CHECK(code_of(w.reg->register_origin(a, b, now)) == errc::forbidden);
  CHECK(code_of(w.reg->register_origin(origin, edge_id{0xdef}, now)) == errc::forbidden);
  CHECK(code_of(w.reg->register_origin(edge_id{1}, edge_id{2}, now)) == errc::not_found);
  CHECK(code_of(w.reg->register_origin(a, edge_id::none, now)) == errc::invalid_argument);
  // Its parent is revoked: nobody speaks for it, until another gateway registers it.
  REQUIRE(w.reg->revoke(a, now));
  CHECK(!w.reg->may_speak(a, origin));
  REQUIRE(w.reg->register_origin(b, origin, now));
  CHECK(w.reg->may_speak(b, origin));
  CHECK(w.reg->site_of(origin).value() == "b");
}

TEST_CASE("lists say what there is") {
  world w;
  const auto key = new_key();
  const auto open = w.invite("one");
  const auto cancelled = w.invite("two");
  REQUIRE(w.reg->cancel_invite(cancelled.id, now));
  const auto used = w.invite("three");
  const auto edge = w.reg->complete_join(used.id, key, now, system_random()).value().edge;
  const auto short_lived = w.reg->create_invite("four", 1, now, system_random()).value();
  std::map<std::string, std::string_view> states;
  const auto invites = w.reg->list_invites(now + 1).value();
  for (const auto& info : invites)
    states[info.site] = to_string(info.now);
  CHECK(states
        == std::map<std::string, std::string_view>{
            {"one", "open"}, {"two", "cancelled"}, {"three", "used"}, {"four", "expired"}});
  const auto edges = w.reg->list_edges().value();
  REQUIRE(edges.size() == 1);
  CHECK(edges[0].edge == edge);
  CHECK(edges[0].site == "three");
  REQUIRE(edges[0].keys.size() == 1);
  CHECK(edges[0].keys[0].public_key == key);
  // What expired long ago is forgotten, with its key.
  const auto later = now + day + invite_kept_s;
  w.clock.ran_s += later - now;
  REQUIRE(w.reg->create_invite("five", day, later, system_random()));
  CHECK(w.reg->list_invites(later).value().size() == 1);
  CHECK(w.reason(short_lived.one_time.public_key, later) == "unknown");
  CHECK(w.reg->admit(key, later).admitted);
}

TEST_CASE("an invite survives a clock that jumped ahead for less than a day") {
  world w;
  const auto open = w.invite();
  const auto jumped = now + 365 * day;
  const auto known = [&] {
    const auto all = w.reg->list_invites(now).value();
    return std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.id == open.id; });
  };
  const auto another = [&](std::int64_t at) {
    REQUIRE(w.reg->create_invite("other", day, at, system_random()));
  };
  CHECK(w.reason(open.one_time.public_key, jumped) == "expired"); // refused meanwhile
  w.clock.ran_s += 3600;
  another(jumped);
  CHECK(known());
  w.clock.ran_s += day - 1;
  another(jumped + day - 1);
  CHECK(known());
  CHECK(w.reason(open.one_time.public_key, now + 3600).empty()); // the clock was set right
  w.reopen(); // what was written meanwhile says nothing of the time
  another(jumped + day);
  CHECK(known());
  w.clock.ran_s += day;
  another(jumped + 2 * day);
  CHECK_FALSE(known());
}

TEST_CASE("user ids that are none are refused") {
  for (const auto* bad :
       {"", "edge:", "edge:12", "edge:0000000000000000", "join:xyz", "root", "edge:00000000000000010"})
    CHECK(code_of(parse_user_id(bad)) == errc::malformed);
}

TEST_CASE("a registry of a newer format is refused") {
  const temporary_directory dir;
  REQUIRE(registry::open(dir.path() / "r"));
  MDB_env* env = nullptr;
  REQUIRE(mdb_env_create(&env) == 0);
  mdb_env_set_maxdbs(env, 8);
  REQUIRE(mdb_env_open(env, (dir.path() / "r").c_str(), 0, 0600) == 0);
  MDB_txn* txn = nullptr;
  MDB_dbi meta = 0;
  REQUIRE(mdb_txn_begin(env, nullptr, 0, &txn) == 0);
  REQUIRE(mdb_dbi_open(txn, "meta", 0, &meta) == 0);
  std::string name = "format";
  byte_buffer version;
  byte_writer{version}.fixed(std::uint32_t{2});
  link::detail::append_check(as_bytes(name), version);
  MDB_val k{name.size(), name.data()};
  MDB_val v{version.size(), version.data()};
  REQUIRE(mdb_put(txn, meta, &k, &v, 0) == 0);
  REQUIRE(mdb_txn_commit(txn) == 0);
  mdb_env_close(env);
  CHECK(code_of(registry::open(dir.path() / "r")) == errc::unsupported_version);
  CHECK(code_of(registry::open(dir.path() / "no" / "such")) == errc::io);
}

// The child tells what it was promised, and is killed at a random moment; all of it must be there.
TEST_CASE("what was returned survives kill -9") {
  INFO("SKERRY_SEED=" << seed());
  random_engine random{seed()};
  for (int round = 0; round < 5; ++round) {
    const temporary_directory dir;
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const auto child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      auto opened = registry::open(dir.path() / "r");
      if (!opened)
        ::_exit(1);
      for (;;) {
        const auto invite = opened.value()->create_invite("s", day, now, system_random());
        const auto key = new_key();
        if (!invite || !opened.value()->complete_join(invite.value().id, key, now, system_random()))
          ::_exit(1);
        (void)!::write(ends[1], key.bytes.data(), key.bytes.size());
      }
    }
    ::close(ends[1]);
    std::vector<curve_key> promised;
    curve_key key;
    const auto until = 1 + random() % 20;
    while (promised.size() < until && ::read(ends[0], key.bytes.data(), key.bytes.size()) == 32)
      promised.push_back(key);
    ::kill(child, SIGKILL);
    while (::read(ends[0], key.bytes.data(), key.bytes.size()) == 32)
      promised.push_back(key);
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    auto opened = registry::open(dir.path() / "r");
    REQUIRE(opened);
    for (const auto& one : promised)
      CHECK(opened.value()->admit(one, now).admitted);
    CHECK(opened.value()->create_invite("s", day, now, system_random()));
  }
}

TEST_CASE("the registry answers while it is written") {
  world w;
  const auto key = new_key();
  const auto edge = w.join(key);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread reader{[&] {
    while (!done)
      if (!w.reg->admit(key, now).admitted || !w.reg->may_speak(edge, edge))
        ++wrong;
  }};
  for (int i = 0; i < 50; ++i)
    (void)w.join(new_key());
  done = true;
  reader.join();
  CHECK(wrong == 0);
}

TEST_CASE("a registry is made on a full disk or refused, and never ends the process") {
  const auto status = skerry::test::on_small_disk(512, [](const std::filesystem::path& disk) {
    for (std::size_t pages = 0; pages < 24; ++pages) {
      if (!skerry::test::leave_free(disk, pages))
        return 1;
      // io: LMDB calls a write that was cut short by the end of the disk an I/O error.
      if (const auto full = registry::open(disk / "registry");
          !full && full.error().code != errc::exhausted && full.error().code != errc::io)
        return 2;
      else if (full && pages == 0)
        return 3;
      std::filesystem::remove(disk / "filler");
      if (!registry::open(disk / "registry")) // there is room, and nothing half made is in the way
        return 4;
      std::filesystem::remove_all(disk / "registry");
    }
    return 0;
  });
  if (!status) {
    WARN("skipped: a file system of its own can't be mounted here");
    return;
  }
  INFO("signal " << (WIFSIGNALED(*status) ? WTERMSIG(*status) : 0));
  REQUIRE(WIFEXITED(*status));
  CHECK(WEXITSTATUS(*status) == 0);
}
