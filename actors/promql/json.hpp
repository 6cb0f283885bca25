#pragma once

// Query results as Prometheus writes them, appended straight to a string: byte for byte what 2.42 sends.

#include "actors/promql/value.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace skerry::promql {

// A sample's value: the shortest digits that read back the same, "NaN", "+Inf", "-Inf"; with an exponent
// below 1e-6 and from 1e21 on, as Go's JSON does.
void append_number(std::string& out, double value);
// A scalar's value: the same digits, never with an exponent (strconv's 'f').
void append_number_plain(std::string& out, double value);
// Seconds with three decimals, none when they are whole: 1435781430.100.
void append_time(std::string& out, std::int64_t time_ms);
// Seconds in their shortest form, as scalars and strings have them: 1435781430.1.
void append_time_short(std::string& out, std::int64_t time_ms);
// In quotes, escaped; bytes that are no UTF-8 become \ufffd.
void append_string(std::string& out, std::string_view text);
void append_labels(std::string& out, const labels& all); // {"__name__":"up",…}
// {"resultType":…,"result":…}
void append_value(std::string& out, const value& v);
void append_value(std::string& out, const matrix_value& v);
// The same; asks after some kilobytes at the most. Whoever is asked may take what `out` has by then, or end it: false.
using may_go_on = std::function<bool(std::string& out)>;
void append_value(std::string& out, const value& v, const may_go_on& more);

} // namespace skerry::promql
