#pragma once

// Latencies of many samples in fixed memory: buckets of 1/16 of a power of two, from 1 ms to about 12 days. Any thread.

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>

namespace skerry::sim {

class latency_histogram {
public:
  void add(std::chrono::nanoseconds latency, std::uint64_t count) noexcept {
    counts_[bucket_of(latency)].fetch_add(count, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t count() const noexcept {
    std::uint64_t out = 0;
    for (const auto& one : counts_)
      out += one.load(std::memory_order_relaxed);
    return out;
  }
  // The upper end of the bucket in which that share of all lies; 0: there are none.
  [[nodiscard]] std::chrono::milliseconds quantile(double share) const noexcept {
    const auto all = count();
    if (all == 0)
      return std::chrono::milliseconds{0};
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(all - 1)) + 1;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets; ++i)
      if ((seen += counts_[i].load(std::memory_order_relaxed)) >= wanted)
        return end_of(i);
    return end_of(buckets - 1);
  }

private:
  static constexpr std::size_t steps = 16; // of a power of two
  static constexpr std::size_t powers = 27;
  static constexpr std::size_t buckets = steps * powers;

  static std::size_t bucket_of(std::chrono::nanoseconds latency) noexcept {
    const auto ms = latency.count() <= 0 ? 0 : static_cast<std::uint64_t>(latency.count()) / 1'000'000;
    if (ms < steps)
      return static_cast<std::size_t>(ms);
    const auto power = static_cast<std::size_t>(std::bit_width(ms)) - 5; // of 16 to 31: 0
    const auto bucket = (power + 1) * steps + static_cast<std::size_t>((ms >> power) - steps);
    return bucket < buckets ? bucket : buckets - 1;
  }
  static std::chrono::milliseconds end_of(std::size_t bucket) noexcept {
    if (bucket < steps)
      return std::chrono::milliseconds{bucket + 1};
    const auto power = bucket / steps - 1;
    return std::chrono::milliseconds{(bucket % steps + steps + 1) << power};
  }

  std::array<std::atomic<std::uint64_t>, buckets> counts_{};
};

} // namespace skerry::sim
