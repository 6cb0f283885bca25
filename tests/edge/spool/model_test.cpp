// The spool against a model in memory: random commits, adoptions, releases, reads, orderly stops, kills, and
// copies of the directory that are put back.

#include "tests/edge/spool/spool_world.hpp"

#include <set>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

struct model {
  struct stream {
    std::map<sequence, std::string> records; // all that was ever stored
    range_set released;
    range_set released_durable; // known to be written: by close
    sequence last = 0;
  };
  std::map<stream_key, stream> streams;
};

class model_run {
public:
  explicit model_run(std::uint64_t seed) : w_(seed) {
    config_ = small_config(dir_.path() / "spool");
    s_ = w_.open(config_);
  }

  void step() {
    switch (w_.random.below(24)) {
    case 0: restart(true); break;
    case 1: restart(false); break;
    case 2: snapshot(); break;
    case 3: put_back(); break;
    case 4:
    case 5:
    case 6: adopt(); break;
    case 7:
    case 8:
    case 9:
    case 10: release(); break;
    case 11: check_all(); break;
    default: commit();
    }
  }

  void check_all() {
    std::set<stream_key> seen;
    for (const auto& state : s_->streams()) {
      seen.insert(state.key);
      const auto it = model_.streams.find(state.key);
      REQUIRE(it != model_.streams.end());
      const auto& expected = it->second;
      INFO(to_string(state.key));
      CHECK(state.lost.empty());
      CHECK(state.last == expected.last);
      range_set held;
      for (const auto& [seq, bytes] : expected.records)
        if (!expected.released.contains(seq))
          held.add({seq, seq});
      CHECK(state.held == held);
      const auto found = read_all(*s_, state.key, 1 + w_.random.below(100'000));
      CHECK(found.size() == held.count());
      for (const auto& [seq, bytes] : found)
        CHECK(expected.records.at(seq) == bytes);
      for (const auto& range : state.released.ranges())
        CHECK(expected.released.contains(range));
    }
    for (const auto& [key, expected] : model_.streams)
      if (!seen.contains(key))
        for (const auto& [seq, bytes] : expected.records)
          CHECK(expected.released.contains(seq)); // only what is drained is forgotten
    CHECK(s_->usage().disk_bytes <= config_.bytes_max);
  }

private:
  void commit() {
    const auto stream = w_.random.below(4) == 0 ? stream_id::alert : stream_id::telemetry;
    const auto made =
        s_->commit(stream, event_records(w_.random, 1 + w_.random.below(30), w_.random.below(8000)), {});
    REQUIRE(made);
    auto& m = model_.streams[made.value().header.key];
    CHECK(made.value().header.first == m.last + 1);
    expect_run(m.records, made.value());
    m.last = made.value().header.last();
  }

  void adopt() {
    const stream_key key{edge_id{1 + w_.random.below(3)}, {w_.random.below(2), {}}, stream_id::telemetry};
    auto& m = model_.streams[key];
    std::vector<run> runs;
    for (std::uint64_t i = 0; i <= w_.random.below(3); ++i) {
      run_builder b{key, 1 + w_.random.below(200)};
      for (std::uint64_t n = 0; n <= w_.random.below(20); ++n) {
        const auto seq = b.header().first + b.header().sequence_count;
        b.append(record_kind::event, static_cast<std::int64_t>(seq), "far",
                 as_bytes(std::string(seq * 7 % 900, 'x')));
      }
      runs.push_back(std::move(b).finish());
    }
    REQUIRE(s_->adopt(runs, {}));
    for (const auto& one : runs) {
      std::map<sequence, std::string> all;
      expect_run(all, one);
      for (auto& [seq, bytes] : all)
        if (!m.released.contains(seq)) {
          m.records.try_emplace(seq, bytes);
          m.last = std::max(m.last, seq);
        }
    }
  }

  void release() {
    const auto states = s_->streams();
    if (states.empty())
      return;
    const auto& state = states[w_.random.below(states.size())];
    auto& m = model_.streams[state.key];
    if (m.last == 0)
      return;
    const auto first = w_.random.below(3) == 0 ? 1 + w_.random.below(m.last) : 1;
    const auto last = w_.random.below(4) == 0 ? m.last : first + w_.random.below(m.last - first + 1);
    REQUIRE(s_->release(state.key, ranges({{first, last}})));
    m.released.add({first, last});
  }

  void restart(bool orderly) {
    if (orderly)
      REQUIRE(s_->close());
    s_.reset();
    s_ = w_.open(config_);
    CHECK(s_->report().clean == orderly);
    CHECK(s_->report().damaged.empty());
    forget_releases(orderly);
  }

  // A kill may forget releases, never invent them; what is forgotten is offered again.
  void forget_releases(bool orderly) {
    for (const auto& state : s_->streams()) {
      auto& m = model_.streams[state.key];
      auto forgotten = m.released;
      for (const auto& range : state.released.ranges()) {
        CHECK(m.released.contains(range));
        forgotten.remove(range);
      }
      if (orderly)
        CHECK(forgotten.empty());
      for (const auto& range : forgotten.ranges())
        m.released.remove(range);
    }
  }

  void snapshot() {
    std::error_code ignored;
    fs::remove_all(dir_.path() / "copy", ignored);
    fs::copy(dir_.path() / "spool", dir_.path() / "copy", fs::copy_options::recursive);
    copy_ = model_;
    copied_ = true;
  }

  void put_back() {
    if (!copied_)
      return;
    const auto before = s_->epoch();
    s_.reset();
    fs::remove_all(dir_.path() / "spool");
    fs::copy(dir_.path() / "copy", dir_.path() / "spool", fs::copy_options::recursive);
    model_ = copy_;
    s_ = w_.open(config_);
    CHECK(s_->epoch() != before);
    CHECK(epochs_.insert(s_->epoch()).second); // never given before, though the counter may repeat
    CHECK(s_->report().damaged.empty());
    forget_releases(false);
  }

  temporary_directory dir_;
  world w_;
  spool_config config_;
  std::unique_ptr<spool> s_;
  model model_;
  model copy_;
  bool copied_ = false;
  std::set<epoch_id> epochs_;
};

} // namespace

TEST_CASE("the spool behaves as its model") {
  const char* rounds = std::getenv("SKERRY_ROUNDS");
  const auto from = seed_of(1);
  const auto count = std::getenv("SKERRY_SEED") != nullptr ? 1
                     : rounds != nullptr                   ? std::strtoull(rounds, nullptr, 10)
                                                           : 12;
  for (auto seed = from; seed < from + count; ++seed) {
    INFO("SKERRY_SEED=" << seed);
    model_run run{seed};
    for (int i = 0; i < 150; ++i)
      run.step();
    run.check_all();
  }
}
