// Credit: what a receiver may hold is divided among sites, then edges; and a receiver holds no more than that.

#include "actors/delivery/credit_share.hpp"
#include "tests/actors/delivery/world.hpp"

#include <catch2/catch.hpp>

#include <numeric>

using namespace skerry;
using namespace skerry::delivery;
using namespace skerry::delivery::test;

namespace {

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;

std::uint64_t sum(const std::vector<std::uint64_t>& of) {
  return std::accumulate(of.begin(), of.end(), std::uint64_t{0});
}

} // namespace

TEST_CASE("nobody gets more than it wants, and who wants more gets as much as the others that do") {
  CHECK(fair_shares(100, {10, 80, 80}) == std::vector<std::uint64_t>{10, 45, 45});
  CHECK(fair_shares(100, {80, 10, 20}) == std::vector<std::uint64_t>{70, 10, 20});
  CHECK(fair_shares(100, {10, 20}) == std::vector<std::uint64_t>{10, 20});
  CHECK(fair_shares(0, {10, 20}) == std::vector<std::uint64_t>{0, 0});
  CHECK(fair_shares(7, {}).empty());
}

TEST_CASE("a site with many edges takes nothing from those with few") {
  std::vector<credit_claim> claims;
  for (int i = 0; i < 300; ++i)
    claims.push_back({"large", 4 * mib});
  for (const auto* site : {"a", "b", "c"})
    claims.push_back({site, 4 * mib});
  const auto shares = share_credit(64 * mib, 64 * kib, claims);
  CHECK(sum(shares) <= 64 * mib);
  for (std::size_t i = 300; i < 303; ++i)
    CHECK(shares[i] == 4 * mib); // less than a quarter of the budget: all of it
  for (std::size_t i = 0; i < 300; ++i) {
    CHECK(shares[i] == shares[0]);
    CHECK(shares[i] >= 64 * kib);
  }
  CHECK(sum(shares) > 50 * mib); // what is there is given
}

TEST_CASE("shares hold for any sites") {
  const char* given = std::getenv("SKERRY_SEED");
  const auto first = given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
  for (auto seed = first; seed < first + (given == nullptr ? 300 : 1); ++seed) {
    INFO("SKERRY_SEED=" << seed);
    seeded_random random{seed};
    std::vector<std::string> names;
    for (int i = 0; i < 20; ++i)
      names.push_back("site" + std::to_string(i));
    std::vector<credit_claim> claims;
    const auto count = 1 + random.below(400);
    const auto least = 1 + random.below(100'000);
    for (std::uint64_t i = 0; i < count; ++i)
      claims.push_back({names[random.below(1 + random.below(20))], random.chance(30) ? least : 4 * mib});
    const auto budget = random.below(1024) * mib;
    const auto shares = share_credit(budget, least, claims);
    CHECK(sum(shares) <= std::max(budget, count * least));
    std::map<std::string_view, std::uint64_t> by_site, wanted;
    for (std::size_t i = 0; i < count; ++i) {
      CHECK(shares[i] >= std::min(claims[i].wanted, least)); // nobody starves
      CHECK(shares[i] <= claims[i].wanted);
      by_site[claims[i].site] += shares[i];
      wanted[claims[i].site] += claims[i].wanted;
    }
    // A site that does not get what it wants has no less than any other, rounding and the least aside.
    for (const auto& [site, has] : by_site)
      if (has < wanted[site] * 3 / 4)
        for (const auto& [other, more] : by_site)
          CHECK(has + has / 3 + count * least + 8 >= std::min(more, wanted[site] * 3 / 4));
  }
}

namespace {

class sites_backend final : public receiver_backend {
public:
  std::optional<std::string> site_of(edge_id edge) override {
    return static_cast<std::uint64_t>(edge) < 100 ? "large" : "small" + to_string(edge);
  }
  bool may_speak(edge_id, edge_id) override { return true; }
  refused_origins register_origins(edge_id, const std::vector<edge_id>&) override { return {}; }
  std::optional<std::size_t> series_in_set(edge_id, const set_hash&) override { return std::nullopt; }
  std::uint64_t store(delivery_job job) override {
    jobs.push_back(std::move(job));
    return 1;
  }
  void keep_held(std::uint64_t ticket, const stream_key&, const held_stream&, const range_set*) override {
    held.push_back(ticket);
  }
  void forget(const std::vector<stream_key>&) override {}
  void send(const link::peer_id& to, link::message message) override {
    if (const auto* welcome = std::get_if<link::welcome>(&message.body)) {
      credit[to] = welcome->credit_bytes;
      session[to] = message.session;
    } else if (const auto* changed = std::get_if<link::credit>(&message.body)) {
      credit[to] = changed->bytes;
      ++told;
    }
  }
  std::map<link::peer_id, std::uint64_t> credit, session;
  std::vector<delivery_job> jobs;
  std::vector<std::uint64_t> held;
  int told = 0;
};

struct fleet_of_sessions {
  manual_clock clock;
  seeded_random random{3};
  sites_backend backend;
  receiver_config config;
  std::optional<receiver> under_test;
  std::map<std::uint64_t, sequence> sent;

  fleet_of_sessions() {
    config.memory_max = 32 * mib;
    config.credit_bytes = 4 * mib;
    config.credit_min = 64 * kib;
    under_test.emplace(config, clock, random, backend);
  }
  static link::peer_id peer(std::uint64_t edge) { return "p" + std::to_string(edge); }
  static stream_key key(std::uint64_t edge) { return {edge_id{edge}, {1, {1}}, stream_id::telemetry}; }
  void open(std::uint64_t edge, sequence pending) {
    link::hello hello;
    hello.edge = edge_id{edge};
    hello.instance = {static_cast<std::uint8_t>(edge), static_cast<std::uint8_t>(edge >> 8)};
    hello.current = key(edge).epoch;
    range_set held;
    if (pending != 0)
      held.add({1, pending});
    hello.streams.push_back({key(edge), held, {}, pending, false, 0});
    under_test->on_message(peer(edge), hello.edge, link::message{0, hello});
  }
  void bye(std::uint64_t edge) {
    under_test->on_message(
        peer(edge), edge_id{edge},
        link::message{backend.session[peer(edge)], link::bye{link::bye_reason::stopping, ""}});
  }
  // A batch of about so many bytes, with more behind it.
  void send(std::uint64_t edge, std::size_t bytes, std::uint64_t behind = 1000) {
    auto& last = sent[edge];
    run_builder builder{key(edge), last + 1};
    builder.append(record_kind::event, 1000, "host", byte_buffer(bytes));
    link::batch batch;
    batch.run = std::move(builder).finish();
    batch.pending_records = behind + 1;
    last = batch.run.header.last();
    under_test->on_message(peer(edge), edge_id{edge}, link::message{backend.session[peer(edge)], batch});
  }
  void later(std::int64_t seconds) { clock.now += seconds * 1'000'000'000; }
  [[nodiscard]] std::uint64_t granted(std::uint64_t from, std::uint64_t to) {
    std::uint64_t all = 0;
    for (auto edge = from; edge < to; ++edge)
      all += backend.credit[peer(edge)];
    return all;
  }
};

} // namespace

TEST_CASE("one session has all the credit that one may have, and few are told nothing") {
  fleet_of_sessions f;
  for (std::uint64_t edge = 100; edge < 104; ++edge) {
    f.open(edge, 50);
    CHECK(f.backend.credit[f.peer(edge)] == 4 * mib);
  }
  for (int i = 0; i < 20; ++i) {
    f.later(2);
    f.send(100, 1000);
  }
  CHECK(f.backend.told == 0);
}

TEST_CASE("many sessions share the memory: by site, then by edge; a part that is free goes to the rest") {
  fleet_of_sessions f;
  for (std::uint64_t edge = 0; edge < 50; ++edge)
    f.open(edge, 1000); // of one site
  for (std::uint64_t edge = 100; edge < 103; ++edge)
    f.open(edge, 1000); // a site each
  // Those that came first have it at first; who comes later has the least at once.
  for (std::uint64_t edge = 100; edge < 103; ++edge)
    CHECK(f.backend.credit[f.peer(edge)] >= 64 * kib);
  const auto busy = [&] {
    f.later(2);
    for (std::uint64_t edge = 0; edge < 103; edge = edge == 49 ? 100 : edge + 1)
      if (f.backend.session.contains(f.peer(edge)))
        f.send(edge, 100);
  };
  busy();
  busy();
  CHECK(f.granted(0, 103) <= 16 * mib);
  CHECK(f.under_test->memory().credit == f.granted(0, 103));
  for (std::uint64_t edge = 100; edge < 103; ++edge)
    CHECK(f.backend.credit[f.peer(edge)] > 2 * mib); // a quarter for each site, less the least of all
  CHECK(f.granted(0, 50) <= 5 * mib + 50 * 64 * kib);
  for (std::uint64_t edge = 0; edge < 50; ++edge)
    CHECK(f.backend.credit[f.peer(edge)] >= 64 * kib);

  SECTION("a site leaves") {
    const auto before = f.granted(0, 50);
    for (std::uint64_t edge = 100; edge < 103; ++edge) {
      f.bye(edge);
      f.backend.session.erase(f.peer(edge));
      f.backend.credit.erase(f.peer(edge));
    }
    busy();
    CHECK(f.granted(0, 50) > 2 * before);
    CHECK(f.granted(0, 50) <= 16 * mib);
  }
  SECTION("most have nothing to send any more") {
    for (int i = 0; i < 14; ++i) {
      f.later(2);
      for (std::uint64_t edge = 0; edge < 50; ++edge)
        f.send(edge, 100, edge == 7 ? 1000 : 0);
      for (std::uint64_t edge = 100; edge < 103; ++edge)
        f.send(edge, 100, 0);
    }
    CHECK(f.backend.credit[f.peer(7)] == 4 * mib);
    CHECK(f.backend.credit[f.peer(8)] == 64 * kib);
    CHECK(f.backend.credit[f.peer(101)] == 64 * kib);
  }
  SECTION("those that fell silent are not counted") {
    for (int i = 0; i < 7; ++i) {
      f.later(100);
      f.send(7, 100);
    }
    f.later(2);
    f.send(7, 100);
    CHECK(f.backend.credit[f.peer(7)] == 4 * mib);
  }
}

TEST_CASE("what is open stays within the memory, whatever is sent, and everyone may bring something") {
  fleet_of_sessions f;
  for (std::uint64_t edge = 0; edge < 60; ++edge) {
    f.open(edge, 1000);
    f.later(1);
    f.send(edge, 10 * kib);
  }
  // Each sends far more than it may, as one that gave up waiting does.
  for (int i = 0; i < 60; ++i)
    for (std::uint64_t edge = 0; edge < 60; ++edge)
      f.send(edge, 60 * kib);
  const auto memory = f.under_test->memory();
  CHECK(memory.open_bytes <= f.config.memory_max + 60 * f.config.credit_min);
  CHECK(memory.open_bytes > f.config.memory_max / 2);
  CHECK(f.under_test->counters().over_credit > 0);
  std::set<edge_id> brought;
  for (const auto& job : f.backend.jobs)
    brought.insert(job.from.header.key.edge);
  CHECK(brought.size() == 60);
  // All of it is given back, also where sessions end meanwhile.
  for (std::uint64_t edge = 0; edge < 30; ++edge)
    f.bye(edge);
  while (!f.backend.jobs.empty() || !f.backend.held.empty()) { // so many at once as take turns
    for (const auto& job : std::exchange(f.backend.jobs, {}))
      f.under_test->on_stored(job.ticket, job.ticket % 5 == 0 ? "no" : "");
    for (const auto ticket : std::exchange(f.backend.held, {}))
      f.under_test->on_held_durable(ticket, "");
  }
  CHECK(f.under_test->memory().open_bytes == 0);
}
