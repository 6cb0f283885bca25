#include "actors/base/clock.hpp"

#include <cstdio>
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

std::array<std::uint8_t, 16> boot_id() noexcept {
  std::array<std::uint8_t, 16> id{};
  char text[64] = {};
  if (auto* file = std::fopen("/proc/sys/kernel/random/boot_id", "re")) {
    if (std::fgets(text, sizeof text, file) == nullptr)
      text[0] = '\0';
    std::fclose(file);
  }
  std::size_t digits = 0;
  for (const char* c = text; *c != '\0' && digits < 32; ++c) {
    const int value = *c >= '0' && *c <= '9' ? *c - '0' : *c >= 'a' && *c <= 'f' ? *c - 'a' + 10 : -1;
    if (value < 0)
      continue;
    id[digits / 2] = static_cast<std::uint8_t>(id[digits / 2] << 4 | value);
    ++digits;
  }
  return id;
}

random_source& system_random() noexcept {
  static real_random random;
  return random;
}

} // namespace skerry
