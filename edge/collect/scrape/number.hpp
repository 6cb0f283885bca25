#pragma once

// Numbers of the exposition formats, as Go's strconv.ParseFloat reads them for Prometheus: decimal notation,
// "Inf", "Infinity" and "NaN" in any case; no hexadecimal, no underscores. Exactly rounded.

#include <bit>
#include <cstdint>

namespace skerry::edge {

// What Prometheus stores for every NaN in a page, so that no page can hold a stale marker.
inline constexpr std::uint64_t normal_nan_bits = 0x7ff8000000000001;
[[nodiscard]] inline double normal_nan() noexcept { return std::bit_cast<double>(normal_nan_bits); }

// Everything that short decimals need; what it can't do exactly goes to std::from_chars.
[[nodiscard]] const char* parse_number_slow(const char* at, const char* end, double& into) noexcept;

inline constexpr double exact_powers_of_10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

// Reads the token that starts at `at` and ends before ' ', '\t', '\n' or `end`; returns its end, nullptr
// where it is not a number.
[[nodiscard]] inline const char* parse_number(const char* at, const char* end, double& into) noexcept {
  const char* p = at;
  const bool negative = p != end && *p == '-';
  p += negative ? 1 : 0;
  std::uint64_t mantissa = 0;
  const char* const digits = p;
  while (p != end && static_cast<unsigned char>(*p - '0') < 10)
    mantissa = mantissa * 10 + static_cast<std::uint64_t>(*p++ - '0');
  auto count = p - digits;
  int exponent = 0;
  if (p != end && *p == '.') {
    const char* const fraction = ++p;
    while (p != end && static_cast<unsigned char>(*p - '0') < 10)
      mantissa = mantissa * 10 + static_cast<std::uint64_t>(*p++ - '0');
    exponent = static_cast<int>(fraction - p);
    count += p - fraction;
  }
  if (count == 0 || count > 19) // 19 digits fit 64 bits
    return parse_number_slow(at, end, into);
  if (p != end && (*p == 'e' || *p == 'E')) {
    ++p;
    const bool minus = p != end && *p == '-';
    p += p != end && (*p == '-' || *p == '+') ? 1 : 0;
    const char* const first = p;
    int e = 0;
    while (p != end && static_cast<unsigned char>(*p - '0') < 10 && p - first < 4)
      e = e * 10 + (*p++ - '0');
    if (p == first)
      return parse_number_slow(at, end, into);
    exponent += minus ? -e : e;
  }
  if (p != end && *p != '\n' && *p != ' ' && *p != '\t')
    return parse_number_slow(at, end, into);
  // Both are exact doubles, so one operation rounds once: that is the nearest double.
  if (mantissa > (std::uint64_t{1} << 53) || exponent < -22 || exponent > 22)
    return parse_number_slow(at, end, into);
  auto v = static_cast<double>(mantissa);
  if (exponent < 0)
    v /= exact_powers_of_10[-exponent];
  else
    v *= exact_powers_of_10[exponent];
  into = negative ? -v : v;
  return p;
}

} // namespace skerry::edge
