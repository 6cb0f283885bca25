#pragma once

// Prometheus' test language for PromQL (files *.test), as of 2.42 and most of what came after (scripts with native
// histograms are read, cases that expect some fail), and two commands of our own: `restart` closes the store and opens it again, `seal` moves its log into partitions.
// https://github.com/prometheus/prometheus/blob/main/promql/promqltest/README.md describes the language.

#include "schemas/error.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::conformance {

inline constexpr std::size_t sequence_max = 1'000'000; // of values in a line

// metric{a="b"} 1 _ 3+1x5: at each step a value, the stale marker, or nothing.
struct series_line {
  labels metric;
  std::vector<std::optional<double>> values;
  bool unsupported = false; // it has native histograms or start timestamps: nothing of it is loaded
};

struct load_command {
  std::int64_t step_ms = 0;
  std::vector<series_line> series;
};

struct eval_command {
  std::string query;
  bool range = false;
  std::int64_t start_ms = 0; // of an instant query: its time
  std::int64_t end_ms = 0;
  std::int64_t step_ms = 0;

  bool fails = false;
  bool ordered = false;
  std::string fails_with;          // the whole message; "" any
  std::string fails_matching;      // a regular expression for it; "" any
  bool warns = false;              // a warning is expected
  std::optional<bool> informs;     // infos are expected, or none
  std::string informs_with;        // one of them, whole; "" any
  std::string informs_matching;    // a regular expression for it; "" any
  std::optional<double> scalar;    // expected
  std::optional<std::string> text; // expected
  std::vector<series_line> series; // expected
  struct times {
    std::int64_t start_ms = 0;
    std::int64_t step_ms = 0;
  };
  std::optional<times> matrix_times; // where the expected values of a range vector lie
};

enum class command_kind : std::uint8_t { clear, load, eval, restart, seal };

struct command {
  command_kind kind = command_kind::clear;
  std::size_t line = 0; // from 1
  load_command load;
  eval_command eval;
};

// malformed: with the line.
[[nodiscard]] result<std::vector<command>> parse_script(std::string_view text);

// The name may be left out, and so may the values.
[[nodiscard]] result<series_line> parse_series_line(std::string_view text);

} // namespace skerry::conformance
