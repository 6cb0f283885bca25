#pragma once

// The functions that the table names and that are neither of each value alone nor of windows.

#include "actors/promql/evaluation.hpp"

namespace skerry::promql {

#define SKERRY_VECTOR_FUNCTION(name)                                                                         \
  void name(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink)

// value_functions.cpp
SKERRY_VECTOR_FUNCTION(eval_clamp);
SKERRY_VECTOR_FUNCTION(eval_clamp_max);
SKERRY_VECTOR_FUNCTION(eval_clamp_min);
SKERRY_VECTOR_FUNCTION(eval_round);
SKERRY_VECTOR_FUNCTION(eval_sort);
SKERRY_VECTOR_FUNCTION(eval_sort_desc);
SKERRY_VECTOR_FUNCTION(eval_vector);
SKERRY_VECTOR_FUNCTION(eval_timestamp);
SKERRY_VECTOR_FUNCTION(eval_absent);
SKERRY_VECTOR_FUNCTION(eval_absent_over_time); // window_calls.cpp
// date_functions.cpp
SKERRY_VECTOR_FUNCTION(eval_day_of_month);
SKERRY_VECTOR_FUNCTION(eval_day_of_week);
SKERRY_VECTOR_FUNCTION(eval_day_of_year);
SKERRY_VECTOR_FUNCTION(eval_days_in_month);
SKERRY_VECTOR_FUNCTION(eval_hour);
SKERRY_VECTOR_FUNCTION(eval_minute);
SKERRY_VECTOR_FUNCTION(eval_month);
SKERRY_VECTOR_FUNCTION(eval_year);
// label_functions.cpp
SKERRY_VECTOR_FUNCTION(eval_label_replace);
SKERRY_VECTOR_FUNCTION(eval_label_join);
// histogram_functions.cpp
SKERRY_VECTOR_FUNCTION(eval_of_histograms); // of native histograms: nothing yet, since no series is one
SKERRY_VECTOR_FUNCTION(eval_histogram_quantile);

#undef SKERRY_VECTOR_FUNCTION

void eval_pi(evaluation& ev, const call& c, const step_range& steps, std::vector<double>& out);
void eval_time(evaluation& ev, const call& c, const step_range& steps, std::vector<double>& out);
void eval_scalar(evaluation& ev, const call& c, const step_range& steps, std::vector<double>& out);

double to_degrees(double radians);
double to_radians(double degrees);
double sign_of(double value);

// What absent() says of a selector that finds nothing: the labels that it asks for with one `=` each.
[[nodiscard]] labels labels_of_absent(const expression& e);
[[nodiscard]] const std::string& text_of(const expression& e); // of a string literal, in parentheses or not

} // namespace skerry::promql
