#pragma once

// Reading counts, sizes and milliseconds of a configuration section into whatever integer holds them.

#include "actors/node/config.hpp"

namespace skerry {

template <class T>
void read_count(config_section& from, std::string_view key, T& into, std::int64_t min, std::int64_t max) {
  auto value = static_cast<std::int64_t>(into);
  if (from.read(key, value, min, max))
    into = static_cast<T>(value);
}

template <class T>
void read_size(config_section& from, std::string_view key, T& into) {
  std::uint64_t value = into;
  if (from.read_bytes(key, value))
    into = static_cast<T>(value);
}

inline void read_milliseconds(config_section& from, std::string_view key, std::chrono::milliseconds& into) {
  std::chrono::nanoseconds value = into;
  if (from.read(key, value))
    into = std::chrono::duration_cast<std::chrono::milliseconds>(value);
}

} // namespace skerry
