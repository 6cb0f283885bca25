#pragma once

// One line of Prometheus text format 0.0.4 or OpenMetrics 1.0.0, parsed alone. This is the slow way: the
// parser takes it only for lines that it did not see at the same place last time.

#include "schemas/model/series.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace skerry::edge {

enum class exposition_format : std::uint8_t { text, open_metrics };

// As Prometheus chooses: OpenMetrics where the media type says so, text for everything else, also for none.
[[nodiscard]] exposition_format format_of(std::string_view content_type) noexcept;

enum class line_kind : std::uint8_t { sample, help, type, unit, end, blank, comment, bad };

struct exposition_line {
  line_kind kind = line_kind::bad;
  std::string_view name; // of the metric; of the family in metadata
  std::string_view text; // of metadata, still escaped
  metric_type type = metric_type::unknown;
  std::size_t series_first = 0; // [first, last): name and labels, as offsets into the line
  std::size_t series_last = 0;
  std::size_t value_at = 0;
  double value = 0;
  std::optional<std::int64_t> time_ms;
  const char* error = ""; // of kind bad; static text
};

// Where the line at `at` ends: at a '\n', or at `end`. A line feed between quotes is part of a label's value and ends no
// line, except in what begins with #. A quote that is never closed takes in all that follows; where no other quote
// follows, it is the closing one that is missing, and the line ends at its line feed.
[[nodiscard]] const char* find_line_end(const char* at, const char* end) noexcept;

// `line` is without its '\n'; between quotes there may be line feeds in the text format, in OpenMetrics there is none.
// Does not read labels: parse_labels does, for series that are new.
[[nodiscard]] exposition_line parse_line(std::string_view line, exposition_format format);

// What follows the series and the blanks after it: value, timestamp, exemplar. `end` is where the line ends.
// False: malformed, `error` says why.
struct value_part {
  double value = 0;
  bool has_time = false;
  std::int64_t time_ms = 0;
};
[[nodiscard]] bool parse_value_part(const char* at, const char* end, exposition_format format,
                                    std::string_view metric, value_part& into, const char*& error);

// The labels of `series` (name and braces, of a line that parsed), with `__name__`, sorted; labels with an
// empty value are kept. False where a name is there twice.
[[nodiscard]] bool parse_labels(std::string_view series, labels& into);

[[nodiscard]] std::string unescape_help(std::string_view text);
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;
[[nodiscard]] bool is_label_name(std::string_view text) noexcept;  // [a-zA-Z_][a-zA-Z0-9_]*
[[nodiscard]] bool is_metric_name(std::string_view text) noexcept; // and colons

} // namespace skerry::edge
