// The agent: when it asks, what it says about completeness, silence and pauses. Time is the test's.

#include "edge/collect/agent.hpp"
#include "schemas/model/frame.hpp"
#include "schemas/model/payload.hpp"
#include "tests/actor_world.hpp"

#include <catch2/catch.hpp>
#include <prometheus/counter.h>
#include <prometheus/registry.h>

using namespace skerry;
using namespace skerry::edge;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t start = 1'700'000'000 * second;

class moved_clock final : public clock_source {
public:
  std::int64_t now = start;
  std::int64_t off = 0; // of the wall clock from it
  [[nodiscard]] std::int64_t wall_ns() const noexcept override { return now + off; }
  [[nodiscard]] std::int64_t monotonic_ns() const noexcept override { return now - start + second; }
};

class fake_fetcher final : public fetcher {
public:
  std::vector<callback> asked;
  bool stopped = false;

  result<fetch_slot_ptr> open(fetch_options) override {
    return fetch_slot_ptr{};
  } // an agent only hands it back
  result<void> fetch(const fetch_slot_ptr&, fetch_request, callback done) override {
    if (stopped)
      return fail(errc::cancelled, "the fetcher stops");
    asked.push_back(std::move(done));
    return ok();
  }
  void answer(std::string page, std::string error = {}) {
    auto all = std::exchange(asked, {});
    for (auto& done : all) {
      fetch_response response;
      response.status = error.empty() ? 200 : 0;
      response.failure = error.empty() ? fetch_failure::none : fetch_failure::connect;
      response.error = error;
      response.content_type = "text/plain";
      response.body = page;
      done(std::move(response));
    }
  }
};

struct told {
  record_kind kind;
  std::int64_t time_ns;
  bool watermark; // a record of its own, or by its flag

  bool operator==(const told&) const = default;
};

std::ostream& operator<<(std::ostream& out, const told& t) {
  return out << "kind " << static_cast<int>(t.kind) << " at +" << (t.time_ns - start) / 1'000'000 << " ms"
             << (t.watermark ? ", watermark" : "");
}

struct world {
  prometheus::Registry registry;
  scrape_metrics metrics{registry};
  moved_clock clock;
  test::actor_world actors;
  std::shared_ptr<fake_fetcher> pages = std::make_shared<fake_fetcher>();
  std::shared_ptr<gateway_inbox> inbox = std::make_shared<gateway_inbox>(100ms);
  gateway_actor gateway;
  agent_actor agent;
  prometheus::Counter missed;
  page_reader_actor reader;
  std::vector<pending_record> records; // as they came

  explicit world(std::shared_ptr<local_collection> local = {}) {
    // With an argument: without any, CAF 0.17 binds a reference to nothing, which UBSan reports.
    gateway = actors.system.spawn(
        [](int) -> gateway_actor::behavior_type {
          return {[](commit_atom) {}, [](tick_atom) {},          [](job_ptr&) {},
                  [](turn_atom) {},   [](const release_ptr&) {}, [](stop_atom) {}};
        },
        0);
    agent_config config;
    config.host = "a";
    config.gateway = gateway;
    config.inbox = inbox;
    config.clock = &clock;
    config.local = std::move(local);
    config.missed = &missed;
    agent = spawn_agent(actors.system, std::move(config));
    page_reader_config reads;
    reads.gateway = gateway;
    reads.inbox = inbox;
    reads.detached = false;
    reader = spawn_page_reader(actors.system, std::move(reads));
    actors.run();
  }
  ~world() {
    caf::anon_send(agent, stop_atom_v);
    caf::anon_send(reader, stop_atom_v);
    actors.run();
  }

  [[nodiscard]] scrape_target_ptr target(const std::string& job) {
    scrape_config config;
    config.job_name = job;
    config.scrape_interval = 10s;
    config.scrape_timeout = 5s;
    auto resolved = resolve_target({{"__address__", "a:1"}}, config);
    REQUIRE(resolved);
    return std::make_shared<scrape_target>(std::make_shared<const scrape_config>(config), *resolved.value(),
                                           7, metrics);
  }
  void assign(const std::vector<scrape_target_ptr>& targets) {
    auto assignment = std::make_shared<target_assignment>();
    for (const auto& t : targets)
      assignment->targets.push_back({t, fetch_options{}, 1, nullptr});
    assignment->pages = pages;
    assignment->reader = reader;
    caf::anon_send(agent, target_assignment_ptr{assignment});
    actors.run();
  }
  // In steps of 10 ms on both clocks, as the machine's would go.
  void pass(std::chrono::milliseconds time) {
    for (auto passed = 0ms; passed < time; passed += 10ms) {
      clock.now += 10'000'000;
      actors.pass(10ms, 10ms);
    }
    gather();
  }
  bool pass_until_asked(std::chrono::milliseconds at_most = 11s) {
    for (auto passed = 0ms; passed < at_most && pages->asked.empty(); passed += 10ms)
      pass(10ms);
    return !pages->asked.empty();
  }
  void answer(const std::string& page, const std::string& error = {}) {
    pages->answer(page, error);
    actors.run();
    gather();
  }
  void gather() {
    for (auto& from : inbox->take())
      for (auto& record : from.records)
        records.push_back(std::move(record));
  }
  // The only record that says what was not collected.
  [[nodiscard]] not_collected gap() const {
    const auto is_gap = [](const auto& r) { return r.kind == record_kind::not_collected; };
    REQUIRE(std::count_if(records.begin(), records.end(), is_gap) == 1);
    return decode_not_collected(std::find_if(records.begin(), records.end(), is_gap)->payload).value();
  }
  [[nodiscard]] std::vector<told> take() {
    std::vector<told> out;
    for (const auto& r : std::exchange(records, {})) {
      CHECK(r.host == "a");
      out.push_back({r.kind, r.time_ns, r.kind == record_kind::watermark || (r.flags & flag_watermark) != 0});
    }
    return out;
  }
};

constexpr auto page = "x 1\n";

} // namespace

TEST_CASE("a target is asked once an interval, and its frame is the watermark of a host with one source") {
  world w;
  const auto one = w.target("j");
  w.assign({one});
  const auto first = one->next_scrape_time(start);
  for (int i = 0; i < 3; ++i) {
    INFO(i);
    REQUIRE(w.pass_until_asked());
    CHECK(w.pages->asked.size() == 1);
    w.answer(page);
    const auto due = first + i * 10 * second;
    CHECK(w.take() == std::vector<told>{{record_kind::frame, due, true}});
  }
}

TEST_CASE("a host with two sources is complete when both were collected") {
  world w;
  w.assign({w.target("j"), w.target("k")});
  w.pass(10s);
  REQUIRE(w.pages->asked.size() == 2);
  auto both = std::exchange(w.pages->asked, {});
  w.pages->asked = {both[0]};
  w.answer(page);
  const auto first = w.take();
  REQUIRE(first.size() == 2);
  CHECK_FALSE(first[0].watermark);
  CHECK(first[1]
        == told{record_kind::watermark, start, true}); // when it got the targets: nothing was missed before
  w.pages->asked = {both[1]};
  w.answer(page);
  const auto second_one = w.take();
  REQUIRE(second_one.size() == 2);
  CHECK(second_one[1]
        == told{record_kind::watermark, std::min(first[0].time_ns, second_one[0].time_ns), true});
}

TEST_CASE("the machine's own values are taken at the start and then on time, never twice in a millisecond") {
  for (const std::int64_t until_due : {300'000, 700'000'000}) {
    INFO(until_due);
    auto local = std::make_shared<local_collection>();
    local->interval = 10s;
    local->offset = std::chrono::nanoseconds{(start + until_due) % (10 * second)};
    local->collect = [](std::int64_t time_ns, std::int64_t, std::string_view host) {
      collection made;
      pending_record one;
      one.kind = record_kind::frame;
      one.host = host;
      one.time_ns = time_ns;
      made.records.push_back(std::move(one));
      return made;
    };
    world w{std::move(local)};
    w.pass(25s);
    std::vector<std::int64_t> times;
    for (const auto& record : w.take())
      if (record.kind == record_kind::frame)
        times.push_back(record.time_ns - start);
    // The time here goes in steps of 10 ms, which is late for the one that is due between two.
    const auto on_time = until_due < 1'000'000 ? 10'000'000 : until_due;
    std::vector<std::int64_t> due{0, on_time, on_time + 10 * second, on_time + 20 * second};
    if (until_due < 1'000'000)
      due.erase(due.begin() + 1);
    CHECK(times == due);
  }
}

TEST_CASE("a target slower than its interval is not asked twice, and holds the watermark back") {
  world w;
  w.assign({w.target("j")});
  REQUIRE(w.pass_until_asked());
  const auto asked_at = w.clock.now;
  w.pass(25s);
  CHECK(w.pages->asked.size() == 1);
  CHECK(w.take().empty());
  CHECK(w.metrics.skipped.Value() == 2);
  w.answer(page);
  const auto all = w.take();
  REQUIRE(all.size() == 1);
  CHECK(std::abs(all[0].time_ns - asked_at) < second);
  // What was due meanwhile did not happen, and the next answer brings that along.
  REQUIRE(w.pass_until_asked());
  w.pages->answer(page);
  w.actors.run();
  w.gather();
  const auto said = w.gap();
  CHECK(said.cause == loss_cause::collector_failed);
  CHECK(std::abs(said.from_ns - asked_at - 10 * second) < second);
  CHECK(std::abs(said.to_ns - asked_at - 30 * second) < second);
  CHECK(said.detail.find("2 scrapes") != std::string::npos);
  CHECK(w.missed.Value() == 2);
  CHECK(w.take().size() == 2);
  REQUIRE(w.pass_until_asked());
  w.answer(page);
  CHECK(w.take().size() == 1); // named once
}

TEST_CASE("a collection of the machine's values that was due and did not happen is named") {
  auto local = std::make_shared<local_collection>();
  local->interval = 1s;
  local->watch = std::make_shared<due_watch>(local->interval.count());
  auto lateness = 0ms;
  world* running = nullptr;
  local->collect = [&](std::int64_t time_ns, std::int64_t, std::string_view host) {
    // Collecting takes that long.
    if (running != nullptr)
      running->clock.now += std::chrono::nanoseconds{std::exchange(lateness, 0ms)}.count();
    collection made;
    made.records.push_back({record_kind::frame, time_ns, std::string{host}, {}, 0});
    return made;
  };
  const auto watch = local->watch;
  world w{std::move(local)};
  running = &w;
  w.pass(3s);
  (void)w.take();
  CHECK(watch->behind_ns(w.clock.monotonic_ns()) == 0);
  lateness = 900ms; // the next one is late, and happens
  w.pass(2s);
  CHECK(w.missed.Value() == 0);
  lateness = 2400ms; // the next two are due meanwhile; one happens
  w.pass(1s);
  CHECK(watch->behind_ns(w.clock.monotonic_ns()) == 0);
  CHECK(w.missed.Value() == 1);
  const auto said = w.gap();
  CHECK(said.cause == loss_cause::node_off);
  CHECK(said.to_ns - said.from_ns >= second);
  CHECK(watch->behind_ns(w.clock.monotonic_ns() + 5 * second) > 3 * second);
}

TEST_CASE("how late a collection is does not change with the wall clock") {
  auto local = std::make_shared<local_collection>();
  local->interval = 1s;
  const auto watch = local->watch = std::make_shared<due_watch>(local->interval.count());
  local->collect = [](std::int64_t time_ns, std::int64_t, std::string_view host) {
    collection made;
    made.records.push_back({record_kind::frame, time_ns, std::string{host}, {}, 0});
    return made;
  };
  world w{std::move(local)};
  for (const auto step : {3600 * second, -7200 * second}) {
    w.pass(3s);
    w.clock.off += step; // and nothing has run since
    CHECK(watch->behind_ns(w.clock.monotonic_ns()) == 0);
    w.pass(3s);
    CHECK(watch->behind_ns(w.clock.monotonic_ns()) == 0);
    CHECK(watch->behind_ns(w.clock.monotonic_ns() + 5 * second) > 3 * second);
  }
}

TEST_CASE("targets by the thousand of one host are asked on time, each once an interval") {
  world w;
  std::vector<scrape_target_ptr> many;
  for (int i = 0; i < 3000; ++i)
    many.push_back(w.target("job" + std::to_string(i)));
  w.assign(many);
  for (int round = 0; round < 2; ++round) {
    std::size_t asked = 0;
    for (auto passed = 0ms; passed < 10s; passed += 10ms) {
      w.pass(10ms);
      asked += w.pages->asked.size();
      w.answer(page);
    }
    CHECK(asked == many.size());
  }
  CHECK(w.missed.Value() == 0);
  w.assign({many.begin(), many.begin() + 1});
  w.records.clear();
  w.pass(10s);
  CHECK(w.pages->asked.size() == 1);
}

TEST_CASE("time in which a target was silent is named when it answers again") {
  world w;
  w.assign({w.target("j")});
  REQUIRE(w.pass_until_asked());
  w.answer(page);
  const auto up = w.take().at(0).time_ns;
  for (int i = 0; i < 2; ++i) {
    REQUIRE(w.pass_until_asked());
    w.answer("", "no route");
    const auto down = w.take();
    REQUIRE(down.size() == 1); // `up` 0 and stale markers, and no gap yet
    CHECK(down[0] == told{record_kind::frame, up + (i + 1) * 10 * second, true});
  }
  REQUIRE(w.pass_until_asked());
  w.pages->answer(page);
  w.actors.run();
  w.gather();
  const auto gap = std::find_if(w.records.begin(), w.records.end(),
                                [](const auto& r) { return r.kind == record_kind::not_collected; });
  REQUIRE(gap != w.records.end());
  const auto said = decode_not_collected(gap->payload);
  REQUIRE(said);
  CHECK(said.value().cause == loss_cause::target_down);
  CHECK(said.value().from_ns == up + 10 * second);
  CHECK(said.value().to_ns == up + 30 * second);
  CHECK(said.value().detail.find("job j") != std::string::npos);
  (void)w.take();
  REQUIRE(w.pass_until_asked());
  w.answer(page);
  CHECK(w.take().size() == 1); // named once
}

TEST_CASE("a pause of the process is named, and the target asked again at once") {
  world w;
  w.assign({w.target("j")});
  REQUIRE(w.pass_until_asked());
  w.answer(page);
  const auto before = w.take().at(0).time_ns;
  w.clock.now += 60 * second; // nothing ran meanwhile
  w.pass(11s);
  const auto gap = std::find_if(w.records.begin(), w.records.end(),
                                [](const auto& r) { return r.kind == record_kind::not_collected; });
  REQUIRE(gap != w.records.end());
  const auto said = decode_not_collected(gap->payload);
  REQUIRE(said);
  CHECK(said.value().cause == loss_cause::node_off);
  CHECK(said.value().from_ns == before + 10 * second);
  CHECK(said.value().to_ns >= before + 60 * second);
  CHECK(w.pages->asked.size() == 1);
}

TEST_CASE("a clock that is set back does not silence a target") {
  world w;
  w.assign({w.target("j")});
  REQUIRE(w.pass_until_asked());
  w.answer(page);
  w.clock.off -= 3600 * second;
  CHECK(w.pass_until_asked(61s));
  // Nor its watermarks.
  w.records.clear();
  w.answer(page);
  const auto said = w.take();
  REQUIRE(said.size() == 1);
  CHECK(said[0].watermark);
  CHECK(said[0].time_ns < start - 3000 * second);
}

TEST_CASE("a clock that is set is no pause, whichever way") {
  world w;
  w.assign({w.target("j")});
  REQUIRE(w.pass_until_asked());
  w.answer(page);
  constexpr std::int64_t days_40 = 40 * 86'400 * second;
  w.clock.off -= days_40;
  REQUIRE(w.pass_until_asked());
  w.answer(page);
  w.clock.off += days_40;
  for (int i = 0; i < 3; ++i) {
    REQUIRE(w.pass_until_asked());
    w.answer(page);
  }
  w.clock.off += days_40;
  REQUIRE(w.pass_until_asked());
  w.answer(page);
  CHECK(std::none_of(w.records.begin(), w.records.end(),
                     [](const auto& r) { return r.kind == record_kind::not_collected; }));
  // A pause with a step in it is as long as the boot clock says.
  w.clock.now += 60 * second;
  w.clock.off -= days_40;
  w.pass(11s);
  const auto gap = std::find_if(w.records.begin(), w.records.end(),
                                [](const auto& r) { return r.kind == record_kind::not_collected; });
  REQUIRE(gap != w.records.end());
  const auto said = decode_not_collected(gap->payload).value();
  CHECK(said.to_ns - said.from_ns > 45 * second);
  CHECK(said.to_ns - said.from_ns < 75 * second);
}

TEST_CASE("how long a target was silent does not change with the wall clock") {
  world w;
  w.assign({w.target("j")});
  REQUIRE(w.pass_until_asked());
  w.answer("", "no route");
  w.clock.off += 40 * 86'400 * second;
  REQUIRE(w.pass_until_asked());
  w.answer(page);
  const auto gap = std::find_if(w.records.begin(), w.records.end(),
                                [](const auto& r) { return r.kind == record_kind::not_collected; });
  REQUIRE(gap != w.records.end());
  const auto said = decode_not_collected(gap->payload).value();
  CHECK(said.to_ns - said.from_ns <= 20 * second);
}

TEST_CASE("a target that is taken away ends with stale markers, its late answer is dropped") {
  world w;
  const auto one = w.target("j");
  w.assign({one});
  REQUIRE(w.pass_until_asked());
  w.answer(page);
  (void)w.take();
  REQUIRE(w.pass_until_asked());
  w.assign({});
  w.gather();
  REQUIRE(w.records.size() == 1);
  frame f;
  value_decoder decoder;
  REQUIRE(decode_frame(w.records[0].payload, decoder, f));
  CHECK(f.values.size() == 6); // the page's one and five about the scrape
  CHECK(std::all_of(f.values.begin(), f.values.end(), [](double v) { return is_stale(v); }));
  w.records.clear();
  w.answer(page);
  CHECK(w.take().empty());
}

TEST_CASE("a large page goes another way to the same end") {
  world w;
  w.assign({w.target("j")});
  std::string large;
  for (std::size_t i = 0; large.size() < large_page_bytes; ++i)
    large += "x{i=\"" + std::to_string(i) + "\"} 1\n";
  for (const auto& body : {std::string{page}, large, std::string{page}}) {
    REQUIRE(w.pass_until_asked());
    w.answer(body);
    const auto all = w.take();
    REQUIRE(all.size() == 1);
    CHECK(all[0].watermark);
  }
  REQUIRE(w.pass_until_asked());
  w.pages->answer(large);
  w.assign({}); // while it is being read: what is made of it comes before the end, or not at all
  w.gather();
  REQUIRE(!w.records.empty());
  frame f;
  value_decoder decoder;
  REQUIRE(decode_frame(w.records.back().payload, decoder, f));
  CHECK(std::all_of(f.values.begin(), f.values.end(), [](double v) { return is_stale(v); }));
}

TEST_CASE("a target that cannot be asked is down, and that is told on time") {
  world w;
  w.pages->stopped = true;
  const auto one = w.target("j");
  w.assign({one});
  w.pass(10s);
  CHECK(w.take().size() == 1);
  CHECK(one->status().health == target_health::down);
  CHECK(one->status().last_error.find("the fetcher stops") != std::string::npos);
}
