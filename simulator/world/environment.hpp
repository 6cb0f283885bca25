#pragma once

// What all nodes of one world share, and the settings that the seed chose for it.

#include "actors/base/planted.hpp"
#include "schemas/codec/value_codec.hpp"
#include "schemas/model/series.hpp"
#include "simulator/world/oracle.hpp"
#include "simulator/world/scheduler.hpp"

#include <set>
#include <string>
#include <vector>

namespace skerry::sim {

struct world_settings {
  std::size_t inner_edges = 2; // behind the gateway
  std::size_t outer_edges = 1; // that speak to the cloud themselves
  sim_time length = 10 * minute;
  sim_time collect_interval = 10 * second;
  std::size_t batch_bytes_max = 2000;
  std::uint64_t credit_bytes = 8000;
  std::uint64_t memory_max = 1 << 20; // of a receiver
  std::uint64_t credit_min = 300;
  std::uint64_t fresh_records = 16;
  std::size_t ranges_max = 4096;
  std::size_t epochs_max = 1024;
  std::size_t drained_epochs_kept = 4;
  std::size_t parked_batches_max = 256;
  std::uint64_t queue_bytes_max = 64 << 10; // of a gateway
  std::uint64_t group_bytes_max = 4 << 10;
  std::size_t durable_ranges_max = 4096; // of a sender
  sim_time journal_interval = 0;         // of a cloud that is a cluster; 0: it is one node
  bool limited = false; // some spools are too small for an outage, or keep records only for a while
};

struct environment {
  environment(std::uint64_t seed, planted_faults planted)
      : random(seed), time(random.fork(1)), truth(time), planted(planted) {}

  template <class... T>
  void trace(fmt::format_string<T...> text, T&&... values) {
    if (tracing)
      lines.push_back(fmt::format("{:12.6f}  {}", static_cast<double>(time.now()) / second,
                                  fmt::format(text, std::forward<T>(values)...)));
  }

  seeded_random random;
  scheduler time;
  oracle truth;
  planted_faults planted;
  world_settings settings;
  value_encoder encoder;
  std::vector<series_set_ptr> sets; // that agents choose from
  std::set<stream_key> forged;      // in the name of an edge that has a key of its own: nobody may store them
  std::set<std::string> shared_hosts; // that more than one edge has
  bool tracing = false;
  std::vector<std::string> lines;
};

} // namespace skerry::sim
