// The spool's files as a power loss at any moment may leave them: whatever commit(), adopt() or replace() returned is
// there, nothing is called damaged, and no epoch is given twice.

#include "images.hpp"
#include "schemas/model/payload.hpp"
#include "tests/edge/spool/spool_world.hpp"

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

// What was promised, and from which mark on.
struct promise {
  std::uint64_t mark;
  stream_key key;
  sequence seq;
  std::string bytes;
  // A tombstone. What it replaced may be back, in a segment whose deletion the disk forgot: that is offered then, and the
  // receiver takes whichever comes first.
  bool stone;
};
struct freed { // may be gone once this mark was set
  std::uint64_t mark;
  stream_key key;
  sequence_range range;
};
struct history {
  std::vector<promise> kept;
  std::vector<freed> released;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> boots; // mark, boot counter
  std::map<set_hash, std::uint64_t> sets;                     // of frames of this edge: mark
  std::uint64_t marks = 0;

  std::uint64_t next_mark() {
    test::disk_recording::mark(++marks);
    return marks;
  }
  void keep(const run& made) {
    const auto mark = next_mark();
    const auto records = decode_records(made).value();
    for (const auto& record : records)
      kept.push_back({mark, made.header.key, record.seq, std::string{as_text(record.bytes)},
                      record.kind == record_kind::tombstone});
  }
};

void live(world& w, const spool_config& config, history& all) {
  auto s = w.open(config);
  const auto opened = [&] { all.boots.emplace_back(all.next_mark(), s->epoch().boot_counter); };
  opened();
  std::uint64_t sets = 0;
  std::map<stream_key, sequence> newest;
  for (int step = 0; step < 260; ++step) {
    switch (w.random.below(16)) {
    case 0: {
      if (w.random.below(2) == 0)
        REQUIRE(s->close());
      s.reset();
      s = w.open(config);
      opened();
      break;
    }
    case 1:
    case 2: {
      const stream_key far{edge_id{7}, {1 + w.random.below(2), {}}, stream_id::telemetry};
      run_builder b{far, newest[far] + 1};
      for (std::uint64_t n = 0; n <= w.random.below(10); ++n)
        b.append(record_kind::event, 1000, "far", as_bytes(std::string(100 + w.random.below(3000), 'x')));
      newest[far] = b.header().first + b.header().sequence_count - 1;
      const auto made = std::move(b).finish();
      REQUIRE(s->adopt(std::span{&made, 1}, {}));
      all.keep(made);
      break;
    }
    case 3:
    case 4:
    case 5: {
      const auto states = s->streams();
      if (states.empty())
        break;
      const auto& state = states[w.random.below(states.size())];
      if (state.held.empty())
        break;
      const auto first = state.held.ranges().front().first;
      const sequence_range range{first, first + w.random.below(state.last - first + 1)};
      all.released.push_back({all.next_mark(), state.key, range});
      REQUIRE(s->release(state.key, ranges({range})));
      break;
    }
    case 6: { // tombstones in place of the oldest part, as limits make them
      const auto oldest = s->oldest();
      if (!oldest)
        break;
      std::vector<run> with;
      for (const auto& [key, held] : oldest->held)
        for (const auto& range : held.ranges()) {
          run_builder b{key, range.first};
          byte_buffer payload;
          encode_payload(tombstone{range.last, 1, 2, 3, 4, loss_cause::spool_bytes}, payload);
          b.append(record_kind::tombstone, 1000, "h", payload, range.last - range.first + 1);
          with.push_back(std::move(b).finish());
          all.released.push_back({all.next_mark(), key, range});
        }
      const auto replaced = s->replace(with);
      INFO((replaced ? "" : replaced.error().message));
      REQUIRE(replaced);
      for (const auto& made : with)
        all.keep(made);
      break;
    }
    default: {
      std::vector<series_set_ptr> named;
      auto records = event_records(w.random, 1 + w.random.below(8), w.random.below(6000));
      if (w.random.below(2) == 0) {
        named.push_back(some_set(++sets, 1 + w.random.below(40)));
        records.push_back(frame_record(named.back(), 2000 + step));
      }
      const auto made =
          s->commit(w.random.below(4) == 0 ? stream_id::alert : stream_id::telemetry, records, named);
      REQUIRE(made);
      all.keep(made.value());
      newest[made.value().header.key] = made.value().header.last();
      for (const auto& set : named)
        all.sets.try_emplace(set->hash, all.marks);
    }
    }
  }
}

// Whether one of the records is a tombstone over `seq`.
bool stands_for(const std::map<sequence, std::string>& records, sequence seq) {
  const auto after = records.upper_bound(seq);
  if (after == records.begin())
    return false;
  const auto record = decode_record(as_bytes(std::prev(after)->second)).value();
  return record.kind == record_kind::tombstone && decode_tombstone(record.payload).value().last >= seq;
}

} // namespace

TEST_CASE("what the spool promised survives a power loss at any moment") {
  const temporary_directory dir;
  world w{1};
  auto config = small_config(dir.path() / "disk" / "spool");
  config.segment_bytes = 1 << 20;
  history all;
  fs::create_directory(dir.path() / "disk");
  test::disk_recording::start(dir.path() / "disk");
  live(w, config, all);
  const auto recording = test::disk_recording::stop();
  REQUIRE(recording.operations().size() > 1'000);

  std::uint64_t seen = 0;
  test::each_image(
      recording, dir.path(), "build/release/bin/spool_power_loss_test",
      [&](const fs::path& image, std::size_t cut) {
        const auto mark = recording.mark_before(cut);
        config.directory = image / "spool";
        world after{1000 + cut};
        const auto s = after.open(config);
        for (const auto& one : s->report().damaged)
          FAIL("called damaged: " << one.segment << ": " << one.what);
        for (const auto& [at, boot] : all.boots)
          if (at <= mark)
            CHECK(s->epoch().boot_counter > boot);
        std::map<stream_key, std::map<sequence, std::string>> found;
        for (const auto& state : s->streams()) {
          CHECK(state.lost.empty());
          found[state.key] = read_all(*s, state.key);
        }
        for (const auto& one : all.kept) {
          if (one.mark > mark)
            continue;
          const auto may_be_gone = std::any_of(all.released.begin(), all.released.end(), [&](const freed& r) {
            return r.mark <= mark && r.mark > one.mark && r.key == one.key && r.range.first <= one.seq
                   && one.seq <= r.range.last;
          });
          if (may_be_gone)
            continue;
          const auto& of = found[one.key];
          const auto at = of.find(one.seq);
          const bool there = (at != of.end() && (at->second == one.bytes || one.stone))
                             || (one.stone && stands_for(of, one.seq));
          if (!there)
            FAIL("record " << one.seq << " of " << to_string(one.key) << " was promised at mark " << one.mark
                           << " of " << mark << " and is " << (at == of.end() ? "gone" : "another"));
          ++seen;
        }
      });
  CHECK(seen > 10'000);
}
