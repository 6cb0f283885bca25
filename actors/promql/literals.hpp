#pragma once

// What single tokens stand for: strings with Go's escapes, numbers, and times in the units of Prometheus.

#include "schemas/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace skerry::promql {

// A string token without its quotes, escapes replaced. Precondition: the lexer took it.
[[nodiscard]] std::string unquote(std::string_view token);
// As Go reads it: an integer with a base prefix ("0x1F", "017") when it is one, else a floating point number.
// malformed: with the reason in Go's words.
[[nodiscard]] result<double> parse_number(std::string_view token);
// Go's %v: the shortest digits, an exponent below 1e-4 and from 1e6 on.
[[nodiscard]] std::string number_to_string(double value);
// Seconds to milliseconds, rounded. False when that is no number or does not fit.
[[nodiscard]] bool seconds_to_ms(double seconds, std::int64_t& ms) noexcept;

// "1h30m" to milliseconds, as Prometheus reads durations; units in falling order, "0" is allowed.
[[nodiscard]] result<std::int64_t> parse_duration_ms(std::string_view text);
// Milliseconds to "1h30m"; years and weeks only where they fit exactly.
[[nodiscard]] std::string duration_to_string(std::int64_t ms);

} // namespace skerry::promql
