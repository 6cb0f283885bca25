#pragma once

// The world's randomness: small, fast, the same on every machine. Each part of the world has its own stream, so that
// leaving out one fault changes the rest as little as possible. Single-threaded.

#include "actors/base/clock.hpp"

#include <cstdint>
#include <span>

namespace skerry::sim {

class seeded_random final : public random_source {
public:
  explicit seeded_random(std::uint64_t seed) : state_(seed) {}

  void fill(std::span<std::uint8_t> out) noexcept override {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (i % 8 == 0)
        word = draw();
      out[i] = static_cast<std::uint8_t>(word >> (i % 8 * 8));
    }
  }
  // SplitMix64.
  std::uint64_t draw() noexcept {
    auto z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t n) noexcept { return draw() % n; } // precondition: n > 0
  std::int64_t between(std::int64_t from, std::int64_t to) noexcept {  // both included
    return from + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(to - from) + 1));
  }
  bool chance(unsigned percent) noexcept { return below(100) < percent; }
  template <class... T>
  auto one_of(T... values) noexcept {
    const std::common_type_t<T...> all[] = {values...};
    return all[below(sizeof...(T))];
  }
  // A stream of its own; `label` tells siblings apart.
  [[nodiscard]] seeded_random fork(std::uint64_t label) const noexcept {
    seeded_random child{state_ ^ (label + 1) * 0xd1342543de82ef95};
    child.draw();
    return child;
  }

private:
  std::uint64_t state_;
};

} // namespace skerry::sim
