#pragma once

// A node of the world: it has a disk and a clock that outlive its process, and faults can be done to it.

#include "actors/delivery/receiver.hpp"
#include "simulator/world/environment.hpp"
#include "simulator/world/memory_spool.hpp"
#include "simulator/world/network.hpp"
#include "simulator/world/node_clock.hpp"

namespace skerry::sim {

enum class crash_kind : std::uint8_t {
  killed, // the process ends; what it wrote is with the kernel
  power,  // besides: what was not synced may be gone
  torn,   // and a transaction that was being written is torn
};

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

protected:
  // What a receiver keeps has its bounds.
  void check_receiver(const delivery::receiver& of) const {
    const auto& settings = env_.settings;
    const auto usage = of.usage();
    if (usage.parked_batches > settings.parked_batches_max)
      env_.truth.violated("{} has parked {} batches of a session, of at most {}", name, usage.parked_batches,
                          settings.parked_batches_max);
    // Twice the credit, and one batch that a session with nothing open may always bring.
    if (usage.open_bytes > 2 * settings.credit_bytes + settings.batch_bytes_max + 1024)
      env_.truth.violated("{} has {} bytes of a session open, its credit is {}", name, usage.open_bytes,
                          settings.credit_bytes);
    // Beyond ranges_max holes are filled, from either end or in what is under way already.
    if (of.held().ranges_most() > 2 * settings.ranges_max + ranges_under_way_max)
      env_.truth.violated("{} holds a stream in {} ranges, of at most {}", name, of.held().ranges_most(),
                          settings.ranges_max);
    if (of.held().epochs_most() > delivery::receiver_config{}.epochs_max)
      env_.truth.violated("{} holds {} epochs of an edge", name, of.held().epochs_most());
  }

  static constexpr std::size_t ranges_under_way_max = 16;
  environment& env_;
};

} // namespace skerry::sim
