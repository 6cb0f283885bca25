#include "actors/node/clock.hpp"

#include <cstring>
#include <ctime>
#include <sodium.h>

namespace skerry {

namespace {

std::int64_t read_clock(clockid_t id) noexcept {
  timespec ts{};
  clock_gettime(id, &ts);
  return std::int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

class real_clock final : public clock_source {
public:
  std::int64_t wall_ns() const noexcept override { return read_clock(CLOCK_REALTIME); }
  std::int64_t monotonic_ns() const noexcept override { return read_clock(CLOCK_BOOTTIME); }
};

class real_random final : public random_source {
public:
  void fill(std::span<std::uint8_t> out) noexcept override { randombytes_buf(out.data(), out.size()); }
};

} // namespace

std::uint64_t random_source::next() noexcept {
  std::array<std::uint8_t, 8> bytes;
  fill(bytes);
  std::uint64_t value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

std::array<std::uint8_t, 16> random_source::next_128() noexcept {
  std::array<std::uint8_t, 16> bytes;
  fill(bytes);
  return bytes;
}

clock_source& system_clock() noexcept {
  static real_clock clock;
  return clock;
}

random_source& system_random() noexcept {
  static real_random random;
  return random;
}

} // namespace skerry
