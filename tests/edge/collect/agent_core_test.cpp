// When an agent collects from its sources, and what it says of completeness, silence and pauses. No actors: time and
// sources are the test's.

#include "edge/collect/agent_core.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace skerry;
using namespace skerry::edge;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t second = 1000 * ms;
constexpr std::int64_t start = 1'700'000'000 * second;

struct moved_clock final : clock_source {
  std::int64_t now = start;
  std::int64_t off = 0; // of the wall clock from it
  std::int64_t wall_ns() const noexcept override { return now + off; }
  std::int64_t monotonic_ns() const noexcept override { return now - start + second; }
};

// Due each ten seconds of the wall clock, and so much later.
struct fake_source : agent_source {
  explicit fake_source(std::int64_t offset_ns = 0) : offset(offset_ns) {}
  std::chrono::nanoseconds interval() const override { return 10s; }
  std::int64_t first_due(std::int64_t now_ns) const override { return at_once ? 0 : next_due(now_ns, 0); }
  std::int64_t sample_time(std::int64_t due_ns, std::int64_t now_ns) const override {
    return now_ns - due_ns <= 2 * ms ? due_ns : now_ns / ms * ms;
  }
  std::int64_t next_due(std::int64_t now_ns, std::int64_t) const override {
    return ((now_ns - offset) / (10 * second) + 1) * 10 * second + offset;
  }
  std::optional<collection> collect(std::int64_t time_ns, std::int64_t) override {
    asked.push_back(time_ns);
    return slow ? std::nullopt : std::optional{made(time_ns)};
  }
  static collection made(std::int64_t time_ns) {
    collection out;
    out.records.push_back({record_kind::frame, time_ns, "a", {}, 0});
    return out;
  }
  bool goes_first() const override { return first; }
  void note_skipped() override { ++skipped; }
  bool answers() const override { return !silent; }
  std::string describe() const override { return "a source"; }
  due_watch* watch() override { return &due; }

  std::int64_t offset;
  bool first = false;
  bool at_once = false;
  bool slow = false;
  bool silent = false;
  int skipped = 0;
  std::vector<std::int64_t> asked;
  due_watch due{10 * second};
};

struct fixture {
  moved_clock clock;
  std::vector<pending_record> sent;
  std::uint64_t missed = 0;
  agent_core core{"a",
                  clock,
                  {[this](collection from) {
                     for (auto& record : from.records)
                       sent.push_back(std::move(record));
                   },
                   [this](std::uint64_t count) { missed += count; }}};

  std::shared_ptr<fake_source> add(std::int64_t offset_ns = 0) {
    auto made = std::make_shared<fake_source>(offset_ns);
    core.add(made);
    return made;
  }
  // Turns when they are due, as the agent's timer has them.
  void pass(std::chrono::nanoseconds time) {
    const auto until = clock.now + time.count();
    while (true) {
      const auto wait = core.run_due().count();
      if (clock.now + wait > until)
        break;
      clock.now += std::max<std::int64_t>(wait, 1);
    }
    clock.now = until;
  }
  [[nodiscard]] std::vector<std::pair<std::int64_t, bool>>
  take() { // since the start, and whether it is a watermark
    std::vector<std::pair<std::int64_t, bool>> out;
    for (const auto& r : std::exchange(sent, {}))
      out.emplace_back(r.time_ns - start,
                       r.kind == record_kind::watermark || (r.flags & flag_watermark) != 0);
    return out;
  }
  [[nodiscard]] not_collected gap() const { // the only one
    const auto is_gap = [](const auto& r) { return r.kind == record_kind::not_collected; };
    REQUIRE(std::count_if(sent.begin(), sent.end(), is_gap) == 1);
    return decode_not_collected(std::find_if(sent.begin(), sent.end(), is_gap)->payload).value();
  }
};

using told = std::vector<std::pair<std::int64_t, bool>>;

} // namespace

TEST_CASE("a source is collected when it is due, and the only one's frame is the watermark") {
  fixture f;
  const auto one = f.add();
  f.pass(25s);
  CHECK(f.take() == told{{10 * second, true}, {20 * second, true}});
  CHECK(f.core.run_due() == 5s);
  CHECK(f.core.has(*one));
}

TEST_CASE("what is due at once is collected in the first turn, and late ones bear the time that it is") {
  fixture f;
  auto one = std::make_shared<fake_source>();
  one->at_once = true;
  f.clock.now += 5 * second + 300'000;
  f.core.add(one);
  CHECK(one->due.behind_ns(f.clock.monotonic_ns()) == 0);
  CHECK(f.core.run_due() > 4s);
  f.clock.now = start + 10 * second + 2 * ms;
  (void)f.core.run_due();
  f.clock.now = start + 20 * second + 7 * ms;
  (void)f.core.run_due();
  CHECK(f.take() == told{{5 * second, true}, {10 * second, true}, {20 * second + 7 * ms, true}});
  CHECK(f.missed == 0);
}

TEST_CASE("a host of two sources is complete up to what both have") {
  fixture f;
  f.add();
  const auto two = f.add(2 * second);
  two->slow = true;
  f.pass(11s);
  CHECK(f.take()
        == told{{10 * second, false}, {0, true}}); // nothing counts as missing before they were there
  f.pass(10s);
  CHECK(f.take() == told{{20 * second, false}}); // no further, and not said again
  f.core.on_collected(*two, fake_source::made(start + 2 * second));
  CHECK(f.take() == told{{2 * second, false}, {2 * second, true}});
}

TEST_CASE("a source that goes no longer holds the host back, and its late answer is nobody's") {
  fixture f;
  f.add();
  const auto two = f.add(2 * second);
  two->slow = true;
  f.pass(11s);
  (void)f.take();
  f.core.remove(*two);
  CHECK_FALSE(f.core.has(*two));
  f.core.on_collected(*two, fake_source::made(start + 2 * second));
  CHECK(f.take().empty());
  f.pass(10s);
  CHECK(f.take() == told{{20 * second, true}});
  CHECK(two->asked.size() == 1);
}

TEST_CASE("a source slower than its interval is not begun twice, and what was due is named") {
  fixture f;
  const auto one = f.add();
  one->slow = true;
  f.pass(35s);
  CHECK(one->asked == std::vector<std::int64_t>{start + 10 * second});
  CHECK(one->skipped == 2);
  CHECK(f.missed == 2);
  CHECK(one->due.behind_ns(f.clock.monotonic_ns()) == 25 * second);
  f.core.on_collected(*one, fake_source::made(start + 10 * second));
  CHECK(one->due.behind_ns(f.clock.monotonic_ns()) == 0);
  CHECK(f.take() == told{{10 * second, true}});
  one->slow = false;
  f.pass(6s);
  const auto said = f.gap();
  CHECK(said.cause == loss_cause::collector_failed);
  CHECK(said.from_ns == start + 20 * second);
  CHECK(said.to_ns == start + 40 * second);
  CHECK(said.detail == "a source: 2 scrapes were due while the one before was under way");
  (void)f.take();
  f.pass(10s);
  CHECK(f.take().size() == 1); // named once
}

TEST_CASE("the time in which a source did not answer is named when it does again") {
  fixture f;
  const auto one = f.add();
  f.pass(15s);
  one->silent = true;
  f.pass(20s);
  CHECK(f.take().size() == 3); // what there is of it goes on, and the host is complete with that
  one->silent = false;
  f.pass(10s);
  const auto said = f.gap();
  CHECK(said.cause == loss_cause::target_down);
  CHECK(said.from_ns == start + 20 * second);
  CHECK(said.to_ns == start + 40 * second);
  CHECK(said.detail == "a source");
}

TEST_CASE("a pause in which something was due and not collected is named; a late turn is none") {
  fixture f;
  f.add();
  f.pass(15s);
  f.clock.now += 14 * second; // nothing ran meanwhile; what was due at 20 s is late, and happens
  f.pass(6s);
  CHECK(f.missed == 0);
  (void)f.take();
  f.clock.now += 30 * second;
  f.pass(1s);
  const auto said = f.gap();
  CHECK(said.cause == loss_cause::node_off);
  CHECK(said.from_ns == start + 40 * second);
  CHECK(said.to_ns == start + 65 * second);
  CHECK(f.missed == 2);
}

TEST_CASE("a clock that is set is no pause, and silences nobody") {
  const auto step = GENERATE(std::int64_t{-40 * 86'400}, std::int64_t{-1}, std::int64_t{1}, std::int64_t{90},
                             std::int64_t{40 * 86'400})
                    * second;
  fixture f;
  const auto one = f.add();
  f.pass(15s);
  (void)f.take();
  f.clock.off += step;
  f.pass(60s);
  CHECK(f.missed == 0);
  const auto all = f.take();
  CHECK(all.size() >= 5);
  CHECK(std::all_of(all.begin(), all.end(), [](const auto& one) { return one.second; }));
  CHECK(one->due.behind_ns(f.clock.monotonic_ns()) == 0);
}

TEST_CASE("a source that comes between a step of the clock and the next turn does not move with it") {
  const auto step = GENERATE(std::int64_t{-3600}, std::int64_t{3600}) * second;
  fixture f;
  const auto first = f.add();
  f.pass(15s);
  (void)f.take();
  f.clock.off += step;
  const auto later = f.add(3 * second);
  f.pass(60s);
  CHECK(later->asked.size() >= 5);
  CHECK(f.missed == 0);
  REQUIRE_FALSE(later->asked.empty());
  for (const auto& [time, watermark] : f.take())
    CHECK((!watermark || start + time <= std::min(first->asked.back(), later->asked.back())));
  CHECK(later->due.behind_ns(f.clock.monotonic_ns()) == 0);
}

TEST_CASE("how long a source was silent, or slow, does not change with the wall clock") {
  const bool slow = GENERATE(true, false);
  fixture f;
  const auto one = f.add();
  (slow ? one->slow : one->silent) = true;
  f.pass(25s);
  f.clock.off += 40 * 86'400 * second;
  f.pass(1s);
  if (slow)
    f.core.on_collected(*one, fake_source::made(start + 10 * second));
  one->slow = one->silent = false;
  f.pass(20s);
  const auto said = f.gap();
  CHECK(said.to_ns - said.from_ns <= 20 * second);
  CHECK(said.to_ns - said.from_ns >= 9 * second);
}

TEST_CASE("a clock set back by less than a step does not silence a source") {
  fixture f;
  const auto one = f.add();
  f.pass(10s);
  for (int i = 0; i < 3; ++i) {
    f.clock.off -= 49 * ms;
    f.pass(10s);
  }
  CHECK(one->asked.size() >= 4);
  CHECK(f.missed == 0);
}

TEST_CASE("of those that are due, a source that goes first is collected before the others") {
  fixture f;
  std::vector<std::string> order;
  struct named final : fake_source {
    std::vector<std::string>* order = nullptr;
    std::string name;
    std::optional<collection> collect(std::int64_t time_ns, std::int64_t monotonic_ns) override {
      order->push_back(name);
      return fake_source::collect(time_ns, monotonic_ns);
    }
  };
  const auto add = [&](std::string name, std::int64_t offset_ns, bool first) {
    auto made = std::make_shared<named>();
    made->offset = offset_ns;
    made->first = first;
    made->order = &order;
    made->name = std::move(name);
    f.core.add(made);
    return made;
  };
  add("page", second, false);
  const auto machine = add("machine", 2 * second, true);
  f.clock.now += 4 * second; // a turn that comes late
  (void)f.core.run_due();
  CHECK(order == std::vector<std::string>{"machine", "page"});
  f.core.remove(*machine);
  f.clock.now += 10 * second;
  (void)f.core.run_due();
  CHECK(order == std::vector<std::string>{"machine", "page", "page"});
}
