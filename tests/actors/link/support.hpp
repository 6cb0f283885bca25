#pragma once

// What the link's tests share: seeds, waiting for conditions, random messages, metrics by name.

#include "actors/link/messages.hpp"
#include "actors/link/transport.hpp"

#include <prometheus/registry.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <random>
#include <string>

namespace skerry::link::test {

inline constexpr auto patience = std::chrono::seconds{60};

inline std::uint64_t seed() {
  static const std::uint64_t value = [] {
    const char* given = std::getenv("SKERRY_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }();
  return value;
}

// State under a lock with somebody who waits for it to change.
template <class T>
class watched {
public:
  template <class F>
  void change(F&& f) {
    {
      const std::lock_guard lock{mutex_};
      f(value_);
    }
    changed_.notify_all();
  }
  template <class F>
  [[nodiscard]] bool wait(F&& until, std::chrono::milliseconds at_most = patience) {
    std::unique_lock lock{mutex_};
    // In steps, as a condition may hang on metrics that notify nobody.
    const auto deadline = std::chrono::steady_clock::now() + at_most;
    while (!until(value_)) {
      if (std::chrono::steady_clock::now() >= deadline)
        return false;
      changed_.wait_for(lock, std::chrono::milliseconds{5});
    }
    return true;
  }
  [[nodiscard]] T get() const {
    const std::lock_guard lock{mutex_};
    return value_;
  }

private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
};

// The sum of a metric over its label sets, or of those whose label has this value.
inline double metric(const prometheus::Registry& registry, const std::string& name,
                     const std::string& value = "") {
  double sum = 0;
  for (const auto& family : registry.Collect())
    if (family.name == name)
      for (const auto& m : family.metric)
        if (value.empty() || (!m.label.empty() && m.label.front().value == value))
          sum += m.counter.value + m.gauge.value;
  return sum;
}

using random_engine = std::mt19937_64;

[[nodiscard]] message random_message(random_engine& random, std::size_t kind); // kind: index in `body`
[[nodiscard]] bool equal(const message& a, const message& b);
[[nodiscard]] skerry::run sample_run(std::uint64_t seed, std::size_t records);
[[nodiscard]] series_set_ptr sample_set(std::uint64_t seed);

} // namespace skerry::link::test
