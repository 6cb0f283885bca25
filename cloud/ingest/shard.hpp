#pragma once

// A shard: the actor that owns a set of hosts. It decodes and checks what is theirs, appends it to the engine, and
// knows which ranges it has stored, so that a part that arrives again (after a crash between two shards of one
// batch) is stored once.

#include "actors/actors.hpp"
#include "actors/node/clock.hpp"
#include "cloud/ingest/fleet.hpp"
#include "cloud/store/engine.hpp"

#include <atomic>
#include <chrono>
#include <memory>

namespace skerry::cloud {

// Records of one shard's hosts from one run.
struct shard_part {
  std::uint64_t ticket = 0; // the job's: named in the answer
  std::string site;
  run from;                  // keeps the bytes
  range_set ranges;          // of the whole job
  sequence held_through = 0; // everything up to here is held by the cloud as a whole
  std::vector<record_view> records;
  std::vector<series_set_ptr> sets;
};

struct shard_counters {
  std::atomic<std::uint64_t> records = 0;
  std::atomic<std::uint64_t> samples = 0;
  std::atomic<std::uint64_t> duplicate_records = 0;
  std::atomic<std::uint64_t> malformed_records = 0; // acknowledged, and written to the ledger as corrupt
  std::atomic<std::uint64_t> ahead_records = 0;     // further ahead than ingest.future_max: tombstones
  std::atomic<std::uint64_t> refused_parts = 0;     // the engine took nothing
};

struct shard_config {
  shard_id id = 0;
  std::uint64_t fence = 1;
  std::shared_ptr<engine> store;
  std::shared_ptr<fleet> hosts;
  std::shared_ptr<shard_counters> counters;
  clock_source* clock = nullptr;
  std::chrono::nanoseconds future_max = std::chrono::minutes{10};
};

// Where shards keep which ranges of a stream they have stored: "shard/<tenant>/<shard>/<edge>/<epoch>/<stream>".
[[nodiscard]] std::string shard_state_prefix();
[[nodiscard]] std::string shard_state_key(shard_id shard, const stream_key& stream);

[[nodiscard]] shard_actor spawn_shard(caf::actor_system& system, shard_config config);

} // namespace skerry::cloud
