#pragma once

// A node of the world: it has a disk and a clock that outlive its process, and faults can be done to it.

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
  environment& env_;
};

} // namespace skerry::sim
