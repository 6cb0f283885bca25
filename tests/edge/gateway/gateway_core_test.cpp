// The gateway over a spool that takes records, or does not, as the test says.

#include "edge/gateway/gateway_core.hpp"
#include "edge/gateway/opening_records.hpp"
#include "schemas/model/frame.hpp"
#include "schemas/model/payload.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::edge;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t start = 1'700'000'000 * second;

class moved_clock final : public clock_source {
public:
  std::int64_t wall = start;
  std::int64_t monotonic = 5 * second;
  [[nodiscard]] std::int64_t wall_ns() const noexcept override { return wall; }
  [[nodiscard]] std::int64_t monotonic_ns() const noexcept override { return monotonic; }
};

class fake_spool final : public spool {
public:
  bool takes = true;
  bool closed = false;
  open_report found;
  std::vector<pending_record> records; // committed, in order
  std::vector<run> adopted;
  int adoptions = 0; // transactions
  std::optional<edge_id> unwanted;
  std::vector<stream_state> all;

  [[nodiscard]] const epoch_id& epoch() const noexcept override { return key_.epoch; }
  [[nodiscard]] const open_report& report() const noexcept override { return found; }
  result<run> commit(stream_id, std::span<const pending_record> given,
                     std::span<const series_set_ptr>) override {
    if (!takes)
      return fail(errc::exhausted, "the disk is full");
    run_builder builder{key_, records.size() + 1};
    for (const auto& r : given)
      builder.append(r.kind, r.time_ns, r.host, r.payload);
    records.insert(records.end(), given.begin(), given.end());
    return std::move(builder).finish();
  }
  result<void> adopt(std::span<const run> runs, std::span<const adopted_set>) override {
    if (!takes)
      return fail(errc::exhausted, "the disk is full");
    for (const auto& one : runs)
      if (one.header.key.edge == unwanted)
        return fail(errc::invalid_argument, "not wanted");
    ++adoptions;
    adopted.insert(adopted.end(), runs.begin(), runs.end());
    return ok();
  }
  std::optional<oldest_part> oldest(std::uint64_t) override { return std::nullopt; }
  [[nodiscard]] range_set in_closed_parts(const stream_key&) const override { return {}; }
  result<void> replace(std::span<const run>) override { return fail(errc::not_found, "nothing is held"); }
  result<void> release(const stream_key&, const range_set&) override { return ok(); }
  [[nodiscard]] result<std::optional<run>> read(const stream_key&, sequence, std::size_t) const override {
    return std::optional<run>{};
  }
  [[nodiscard]] result<std::optional<series_set_ptr>> find_set(edge_id, const set_hash&) const override {
    return std::optional<series_set_ptr>{};
  }
  [[nodiscard]] std::vector<stream_state> streams() const override { return all; }
  [[nodiscard]] spool_usage usage() const override { return {}; }
  [[nodiscard]] std::int64_t age_time_ns() override { return 0; }
  result<void> close() override {
    closed = true;
    return ok();
  }

private:
  stream_key key_{edge_id{7}, {1, {1}}, stream_id::telemetry};
};

struct world {
  moved_clock clock;
  std::shared_ptr<fake_spool> store = std::make_shared<fake_spool>();
  std::vector<run> handed;
  gateway_core_config config;
  std::unique_ptr<gateway_core> core;

  void open() {
    core = std::make_unique<gateway_core>(
        config, store, clock,
        gateway_core::outputs{[this](delivery::committed_runs runs) {
                                handed.insert(handed.end(), runs.runs.begin(), runs.runs.end());
                              },
                              {}});
    core->open();
  }
  // A second later than the one before.
  void collect(std::size_t bytes = 100) {
    clock.wall += second;
    clock.monotonic += second;
    collection made;
    made.samples = 10;
    made.records.push_back(frame_at(clock.wall, clock.monotonic, bytes));
    core->take(std::move(made));
  }
  static pending_record frame_at(std::int64_t time_ns, std::int64_t monotonic_ns, std::size_t bytes = 100) {
    frame f;
    f.time_ns = time_ns;
    f.monotonic_ns = monotonic_ns;
    value_encoder encoder;
    byte_buffer payload;
    encode_frame(f, encoder, payload);
    payload.resize(std::max(payload.size(), bytes));
    return {record_kind::frame, time_ns, "a", std::move(payload), 0};
  }
  [[nodiscard]] std::vector<std::int64_t> frames() const {
    std::vector<std::int64_t> out;
    for (const auto& r : store->records)
      if (r.kind == record_kind::frame)
        out.push_back((r.time_ns - start) / second);
    return out;
  }
  [[nodiscard]] std::vector<not_collected> gaps() const {
    std::vector<not_collected> out;
    for (const auto& r : store->records)
      if (r.kind == record_kind::not_collected)
        out.push_back(decode_not_collected(r.payload).value());
    return out;
  }
  [[nodiscard]] std::size_t clock_notes() const {
    return static_cast<std::size_t>(
        std::count_if(store->records.begin(), store->records.end(),
                      [](const auto& r) { return r.kind == record_kind::clock_note; }));
  }
};

} // namespace

TEST_CASE("what an opening found is numbered first") {
  world w;
  w.store->found.last_commit_ns = start - 100 * second;
  w.open();
  w.collect();
  REQUIRE(w.core->commit());
  REQUIRE(w.store->records.size() == 3);
  CHECK(w.store->records[0].kind == record_kind::clock_note);
  REQUIRE(w.gaps().size() == 1);
  CHECK(w.gaps()[0].cause == loss_cause::node_off);
  CHECK(w.gaps()[0].from_ns == start - 100 * second);
  CHECK(w.gaps()[0].to_ns == start);
  CHECK(w.frames() == std::vector<std::int64_t>{1});
}

TEST_CASE("how long a node was off is said when its clock is set, where it was behind at the start") {
  world w;
  w.store->found.last_commit_ns = start + 100 * second; // by a clock that had not lost its power yet
  w.open();
  w.collect();
  REQUIRE(w.core->commit());
  CHECK(w.gaps().empty());
  w.clock.wall += 3600 * second;
  w.collect();
  REQUIRE(w.core->commit());
  REQUIRE(w.gaps().size() == 1);
  CHECK(w.gaps()[0].cause == loss_cause::node_off);
  CHECK(w.gaps()[0].from_ns == start + 100 * second);
  CHECK(w.gaps()[0].to_ns == start + 3600 * second);
  w.clock.wall += 40 * 86'400 * second; // no other jump is a time in which it was off
  w.collect();
  REQUIRE(w.core->commit());
  CHECK(w.gaps().size() == 1);
}

TEST_CASE("times that targets claim do not say when something was dropped") {
  world w;
  w.config.queue_bytes_max = 10'000;
  w.config.limits.policy = full_policy::drop_newest;
  w.store->takes = false;
  w.open();
  for (int i = 0; i < 10; ++i) {
    w.collect(3'000);
    collection claimed;
    claimed.samples = 2;
    claimed.records.push_back(world::frame_at(second, 0)); // 1970, says its target
    claimed.records.push_back(world::frame_at(4 * start, 0));
    w.core->take(std::move(claimed));
    CHECK_FALSE(w.core->commit());
  }
  w.store->takes = true;
  REQUIRE(w.core->commit());
  for (const auto& gap : w.gaps()) {
    CHECK(gap.from_ns >= start);
    CHECK(gap.to_ns <= start + 10 * second);
  }
  CHECK_FALSE(w.gaps().empty());
}

TEST_CASE("opening records: clean, unclean, first, and a clock that went back") {
  moved_clock clock;
  std::int64_t offset = 0;
  open_report report;
  CHECK(opening_records(report, clock, 100ms, offset).size() == 1);
  CHECK(offset == clock.wall - clock.monotonic);
  report.last_commit_ns = start + second;
  CHECK(opening_records(report, clock, 100ms, offset).size() == 1);
  report.last_commit_ns = start - 10 * second;
  report.clean = false;
  const auto unclean = opening_records(report, clock, 100ms, offset);
  REQUIRE(unclean.size() == 3);
  const auto lost = decode_not_collected(unclean[1].payload).value();
  CHECK(lost.cause == loss_cause::uncommitted);
  CHECK(lost.from_ns == report.last_commit_ns - second / 10);
  CHECK(lost.to_ns == report.last_commit_ns + second / 10);
  const auto off = decode_not_collected(unclean[2].payload).value();
  CHECK(off.cause == loss_cause::node_off);
  CHECK(off.from_ns == lost.to_ns);
  CHECK(off.to_ns == start);
  report.last_commit_ns = start - second / 100; // it came back within a commit interval: nothing was off
  CHECK(opening_records(report, clock, 100ms, offset).size() == 2);
}

TEST_CASE("what the spool refused is committed once when it takes records again, in order") {
  world w;
  w.store->takes = false;
  w.open();
  for (int i = 0; i < 3; ++i) {
    w.collect();
    CHECK_FALSE(w.core->commit());
  }
  CHECK(w.handed.empty());
  CHECK(w.core->counters().commit_failures == 3);
  CHECK(w.core->counters().samples == 0);
  CHECK_FALSE(w.core->refusal().empty());
  w.store->takes = true;
  REQUIRE(w.core->commit());
  CHECK(w.core->refusal().empty());
  CHECK(w.frames() == std::vector<std::int64_t>{1, 2, 3});
  CHECK(w.clock_notes() == 1);
  CHECK(w.gaps().empty());
  CHECK(w.core->counters().samples == 30);
  CHECK(w.core->queue_bytes() == 0);
  std::uint64_t handed = 0;
  for (const auto& r : w.handed)
    handed += r.header.record_count;
  CHECK(handed == w.store->records.size());
}

TEST_CASE(
    "beyond the queue's bound the oldest samples go and their time is named; what the opening found stays") {
  world w;
  w.config.queue_bytes_max = 10'000;
  std::uint64_t free_disk = 0;
  w.config.free_disk = [&] { return free_disk; };
  w.config.limits.policy = full_policy::drop_newest;
  w.store->found.last_commit_ns = start - 100 * second;
  w.store->takes = false;
  w.open();
  for (int i = 0; i < 10; ++i) {
    w.collect(3'000);
    CHECK_FALSE(w.core->commit());
    CHECK(w.core->queue_bytes() <= 10'000);
  }
  CHECK(w.core->counters().dropped == 70);
  w.store->takes = true;
  REQUIRE(w.core->commit());
  CHECK(w.frames() == std::vector<std::int64_t>{8, 9, 10});
  auto gaps = w.gaps();
  std::sort(gaps.begin(), gaps.end(), [](const auto& a, const auto& b) { return a.from_ns < b.from_ns; });
  REQUIRE(gaps.size() == 2);
  CHECK(gaps[0].cause == loss_cause::node_off);
  CHECK(gaps[0].from_ns == start - 100 * second);
  CHECK(gaps[1].cause == loss_cause::spool_disk);
  CHECK(gaps[1].from_ns == start + second);
  CHECK(gaps[1].to_ns == start + 7 * second);
  w.collect();
  REQUIRE(w.core->commit());
  CHECK(w.gaps().size() == 2); // told once

  // With room on the disk it is the spool's own limit; where both struck, each has its time.
  free_disk = std::uint64_t{1} << 40;
  w.store->takes = false;
  for (int i = 0; i < 10; ++i) {
    w.collect(3'000);
    CHECK_FALSE(w.core->commit());
    if (i == 5)
      free_disk = 0;
  }
  w.store->takes = true;
  REQUIRE(w.core->commit());
  gaps = w.gaps();
  REQUIRE(gaps.size() == 4);
  std::sort(gaps.begin(), gaps.end(), [](const auto& a, const auto& b) { return a.from_ns < b.from_ns; });
  CHECK(gaps[2].cause == loss_cause::spool_bytes);
  CHECK(gaps[2].from_ns == start + 12 * second);
  CHECK(gaps[2].to_ns == start + 14 * second);
  CHECK(gaps[3].cause == loss_cause::spool_disk);
  CHECK(gaps[3].from_ns == start + 15 * second);
  CHECK(gaps[3].to_ns == start + 18 * second);
}

TEST_CASE("a stepped clock is noted, also where the commit that was to carry the note failed") {
  world w;
  w.open();
  w.collect();
  REQUIRE(w.core->commit());
  CHECK(w.clock_notes() == 1);
  w.collect();
  REQUIRE(w.core->commit());
  CHECK(w.clock_notes() == 1);
  w.clock.wall += 3600 * second;
  w.collect();
  w.store->takes = false;
  CHECK_FALSE(w.core->commit());
  w.store->takes = true;
  REQUIRE(w.core->commit());
  REQUIRE(w.clock_notes() == 2);
  const auto note = std::find_if(w.store->records.rbegin(), w.store->records.rend(),
                                 [](const auto& r) { return r.kind == record_kind::clock_note; });
  CHECK(decode_clock_note(note->payload).value().offset_ns == w.clock.wall - w.clock.monotonic);
}

TEST_CASE("a tombstone stands for what damage took") {
  world w;
  w.open();
  stream_state damaged;
  damaged.key = {edge_id{7}, {1, {2}}, stream_id::telemetry};
  damaged.lost.add({5, 9});
  w.store->all = {damaged};
  w.store->takes = false;
  w.core->replace_lost();
  CHECK(w.handed.empty());
  w.store->takes = true;
  w.core->replace_lost();
  REQUIRE(w.store->adopted.size() == 1);
  CHECK(w.store->adopted[0].header.first == 5);
  CHECK(w.store->adopted[0].header.last() == 9);
  const auto records = decode_records(w.store->adopted[0]).value();
  REQUIRE(records.size() == 1);
  CHECK(decode_tombstone(records[0].payload).value().cause == loss_cause::corrupt);
  CHECK(w.handed.size() == 1);
}

TEST_CASE("what edges further out have sent is one transaction; one that can't be taken keeps no other out") {
  world w;
  w.open();
  std::vector<delivery::delivery_job> jobs(3);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const stream_key key{edge_id{10 + i}, {1, {2}}, stream_id::telemetry};
    run_builder builder{key, 1};
    builder.append(record_kind::event, 5, "host", as_bytes("x"));
    jobs[i].from = std::move(builder).finish();
    jobs[i].ranges.add({1, 1});
    jobs[i].records = decode_records(jobs[i].from).value();
  }
  const std::vector<const delivery::delivery_job*> all{&jobs[0], &jobs[1], &jobs[2]};
  const std::string good;
  CHECK(w.core->adopt(all) == std::vector{good, good, good});
  CHECK(w.store->adoptions == 1);
  CHECK(w.handed.size() == 3);
  w.store->unwanted = edge_id{11};
  CHECK(w.core->adopt(all) == std::vector{good, std::string{"not wanted"}, good});
  CHECK(w.store->adopted.size() == 5);
}

TEST_CASE("closing commits what waits") {
  world w;
  w.open();
  w.collect();
  const auto store = w.store;
  w.core->close();
  CHECK(w.frames() == std::vector<std::int64_t>{1});
  CHECK(store->closed);
}
