#pragma once

// A node of the world: it has a disk and a clock that outlive its process, and faults can be done to it.

#include "actors/delivery/receiver.hpp"
#include "simulator/world/environment.hpp"
#include "simulator/world/memory_spool.hpp"
#include "simulator/world/network.hpp"
#include "simulator/world/node_clock.hpp"

#include <array>
#include <map>
#include <string_view>

namespace skerry::sim {

enum class crash_kind : std::uint8_t {
  killed, // the process ends; what it wrote is with the kernel
  power,  // besides: what was not synced may be gone
  torn,   // and a transaction that was being written is torn
};

// Bounds of a receiver that runs count.
enum class receiver_bound : std::uint8_t { ranges, parked_batches, epochs, memory };
inline constexpr std::size_t receiver_bounds = 4;
[[nodiscard]] inline std::string_view to_string(receiver_bound bound) noexcept {
  switch (bound) {
  case receiver_bound::ranges: return "ranges of a stream";
  case receiver_bound::parked_batches: return "batches parked";
  case receiver_bound::epochs: return "epochs of an edge";
  case receiver_bound::memory: return "memory";
  }
  return "unknown";
}

class node {
public:
  node(environment& env, std::string name) : name(std::move(name)), clock(env.time), env_(env) {}
  virtual ~node() = default;

  virtual void start() = 0;
  virtual void crash(crash_kind how) = 0;
  [[nodiscard]] virtual bool running() const = 0;
  [[nodiscard]] virtual bool syncing() const = 0; // something is being committed right now
  [[nodiscard]] virtual disk_health& health() = 0;
  virtual void take_image() = 0;
  virtual void restore() = 0; // the image that was taken; precondition: not running

  const std::string name;
  node_clock clock;
  std::array<std::uint64_t, receiver_bounds> bounds_hit{}; // by its receiver
  std::uint64_t custody_lost_counted = 0;                  // by it, over all its lives
  std::uint64_t restored_counted = 0;
  std::uint64_t duplicates_counted = 0;

protected:
  // What a receiver keeps has its bounds.
  void check_receiver(const delivery::receiver& of) {
    const auto& settings = env_.settings;
    const auto usage = of.usage();
    if (usage.parked_batches > settings.parked_batches_max)
      env_.truth.violated("{} has parked {} batches of a session, of at most {}", name, usage.parked_batches,
                          settings.parked_batches_max);
    // What is granted, and what is there. Whoever comes gets the least at once, and every session with nothing open may
    // bring one batch.
    const auto memory = of.memory();
    const auto least = std::min(settings.credit_min, settings.credit_bytes);
    const auto most = settings.memory_max + memory.sessions * least;
    if (memory.credit > settings.memory_max / 2 + memory.sessions * least)
      env_.truth.violated("{} has granted {} bytes to {} sessions, of at most {}", name, memory.credit,
                          memory.sessions, most);
    if (memory.open_bytes > most + memory.sessions * (settings.batch_bytes_max + 1024))
      env_.truth.violated("{} has {} bytes in memory, of at most {}", name, memory.open_bytes, most);
    // Twice the credit, and one batch that a session with nothing open may always bring.
    if (usage.open_bytes > 2 * settings.credit_bytes + settings.batch_bytes_max + 1024)
      env_.truth.violated("{} has {} bytes of a session open, its credit is {}", name, usage.open_bytes,
                          settings.credit_bytes);
    // Beyond ranges_max holes are filled, from either end or in what is under way already.
    if (of.held().ranges_most() > 2 * settings.ranges_max + ranges_under_way_max)
      env_.truth.violated("{} holds a stream in {} ranges, of at most {}", name, of.held().ranges_most(),
                          settings.ranges_max);
    // Beyond epochs_max those stay that the last Hello of each sender names, that their edge announces, and that came
    // since then.
    if (of.held().surplus_most() > settings.epochs_max + epochs_under_way_max)
      env_.truth.violated("{} remembers {} epochs of an edge that nothing keeps, of at most {}", name,
                          of.held().surplus_most(), settings.epochs_max);
    for (const auto& [of_edge, announced] : announced_) {
      auto most = settings.epochs_max + announced + epochs_under_way_max;
      for (const auto& [sender, named] : named_) {
        const auto it = named.find(of_edge);
        most += settings.epochs_max + (it == named.end() ? 0 : it->second);
      }
      if (const auto epochs = of.held().epochs(of_edge, stream_id::telemetry); epochs > most)
        env_.truth.violated("{} remembers {} epochs of {}, of at most {}", name, epochs, to_string(of_edge),
                            most);
    }
    const auto& now = of.counters();
    const std::array<std::uint64_t, receiver_bounds> seen{now.ranges_full, now.parked_full,
                                                          now.epochs_forgotten, now.credit_changes};
    for (std::size_t i = 0; i < receiver_bounds; ++i) {
      bounds_hit[i] += seen[i] - (seen[i] < seen_[i] ? 0 : seen_[i]); // less: another process counts
      seen_[i] = seen[i];
    }
  }

  // Gives its receiver a message, and notes what it keeps remembered by that.
  void receive(delivery::receiver& to, const link::peer_id& from, edge_id user, link::message message) {
    std::map<edge_id, std::size_t> named;
    std::map<edge_id, std::size_t> announced;
    if (const auto* hello = std::get_if<link::hello>(&message.body)) {
      announced[user] = 0;
      for (const auto& stream : hello->streams)
        if (stream.key.stream == stream_id::telemetry) {
          ++named[stream.key.edge];
          announced[user] += stream.key.edge == user ? 1 : 0;
        }
    } else if (const auto* epochs = std::get_if<link::origin_state>(&message.body)) {
      announced[epochs->edge] = epochs->closed.size() + 1;
    }
    const bool is_hello = std::holds_alternative<link::hello>(message.body);
    const auto before = to.counters();
    to.on_message(from, user, std::move(message));
    const auto& after = to.counters();
    const bool taken =
        is_hello ? after.sessions != before.sessions
                 : after.stale_messages == before.stale_messages && after.forbidden == before.forbidden;
    if (taken && is_hello)
      named_[user] = std::move(named);
    if (taken)
      for (const auto& [edge, count] : announced)
        announced_[edge] = count;
    custody_lost_counted += after.custody_lost_records - before.custody_lost_records;
    restored_counted += after.restored_edges - before.restored_edges;
    duplicates_counted += after.refused_duplicate - before.refused_duplicate;
    check_receiver(to);
  }

  static constexpr std::size_t ranges_under_way_max =
      64; // batches under way, of which any may fail to be stored
  static constexpr std::size_t epochs_under_way_max = 2; // what is being stored is not forgotten
  environment& env_;

private:
  std::array<std::uint64_t, receiver_bounds> seen_{};
  std::map<edge_id, std::map<edge_id, std::size_t>> named_; // by sender, by edge: epochs in its last Hello
  std::map<edge_id, std::size_t> announced_;                // by edge
};

} // namespace skerry::sim
