#include "actors/promql/functions.hpp"
#include "actors/promql/vector_functions.hpp"
#include "actors/promql/windows.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace skerry::promql {

namespace {

constexpr std::array of_matrix{value_type::matrix};
constexpr std::array of_matrix_scalar{value_type::matrix, value_type::scalar};
constexpr std::array of_matrix_2_scalars{value_type::matrix, value_type::scalar, value_type::scalar};
constexpr std::array of_scalar{value_type::scalar};
constexpr std::array of_scalar_matrix{value_type::scalar, value_type::matrix};
constexpr std::array of_2_scalars_vector{value_type::scalar, value_type::scalar, value_type::vector};
constexpr std::array of_scalar_vector{value_type::scalar, value_type::vector};
constexpr std::array of_vector{value_type::vector};
constexpr std::array of_vector_scalar{value_type::vector, value_type::scalar};
constexpr std::array of_vector_2_scalars{value_type::vector, value_type::scalar, value_type::scalar};
constexpr std::array of_vector_3_strings{value_type::vector, value_type::string, value_type::string,
                                         value_type::string};
constexpr std::array of_vector_4_strings{value_type::vector, value_type::string, value_type::string,
                                         value_type::string, value_type::string};

// A function of <cmath>, as one of doubles.
template <double (*f)(double)>
double math_of(double v) {
  return f(v);
}

// Sorted by name. Every function of Prometheus 2.42:
// https://prometheus.io/docs/prometheus/2.42/querying/functions/
const std::array table = std::to_array<function>({
    {"abs", of_vector, 0, value_type::vector, false, {.math = math_of<std::fabs>}},
    {"absent", of_vector, 0, value_type::vector, false, {.vector = eval_absent}},
    {"absent_over_time", of_matrix, 0, value_type::vector, false, {.vector = eval_absent_over_time}},
    {"acos", of_vector, 0, value_type::vector, false, {.math = math_of<std::acos>}},
    {"acosh", of_vector, 0, value_type::vector, false, {.math = math_of<std::acosh>}},
    {"asin", of_vector, 0, value_type::vector, false, {.math = math_of<std::asin>}},
    {"asinh", of_vector, 0, value_type::vector, false, {.math = math_of<std::asinh>}},
    {"atan", of_vector, 0, value_type::vector, false, {.math = math_of<std::atan>}},
    {"atanh", of_vector, 0, value_type::vector, false, {.math = math_of<std::atanh>}},
    {"avg_over_time", of_matrix, 0, value_type::vector, false, {.windows = windows_avg_over_time}},
    {"ceil", of_vector, 0, value_type::vector, false, {.math = math_of<std::ceil>}},
    {"changes", of_matrix, 0, value_type::vector, false, {.windows = windows_changes}},
    {"clamp", of_vector_2_scalars, 0, value_type::vector, false, {.vector = eval_clamp}},
    {"clamp_max", of_vector_scalar, 0, value_type::vector, false, {.vector = eval_clamp_max}},
    {"clamp_min", of_vector_scalar, 0, value_type::vector, false, {.vector = eval_clamp_min}},
    {"cos", of_vector, 0, value_type::vector, false, {.math = math_of<std::cos>}},
    {"cosh", of_vector, 0, value_type::vector, false, {.math = math_of<std::cosh>}},
    {"count_over_time", of_matrix, 0, value_type::vector, false, {.windows = windows_count_over_time}},
    {"day_of_month", of_vector, 1, value_type::vector, true, {.vector = eval_day_of_month}},
    {"day_of_week", of_vector, 1, value_type::vector, true, {.vector = eval_day_of_week}},
    {"day_of_year", of_vector, 1, value_type::vector, true, {.vector = eval_day_of_year}},
    {"days_in_month", of_vector, 1, value_type::vector, true, {.vector = eval_days_in_month}},
    {"deg", of_vector, 0, value_type::vector, false, {.math = to_degrees}},
    {"delta", of_matrix, 0, value_type::vector, false, {.windows = windows_delta}},
    {"deriv", of_matrix, 0, value_type::vector, false, {.windows = windows_deriv}},
    {"exp", of_vector, 0, value_type::vector, false, {.math = math_of<std::exp>}},
    {"floor", of_vector, 0, value_type::vector, false, {.math = math_of<std::floor>}},
    {"histogram_count", of_vector, 0, value_type::vector, false, {.vector = eval_of_histograms}},
    {"histogram_fraction", of_2_scalars_vector, 0, value_type::vector, false, {.vector = eval_of_histograms}},
    {"histogram_quantile",
     of_scalar_vector,
     0,
     value_type::vector,
     false,
     {.vector = eval_histogram_quantile}},
    {"histogram_sum", of_vector, 0, value_type::vector, false, {.vector = eval_of_histograms}},
    {"holt_winters", of_matrix_2_scalars, 0, value_type::vector, false, {.windows = windows_holt_winters}},
    {"hour", of_vector, 1, value_type::vector, true, {.vector = eval_hour}},
    {"idelta", of_matrix, 0, value_type::vector, false, {.windows = windows_idelta}},
    {"increase", of_matrix, 0, value_type::vector, false, {.windows = windows_increase}},
    {"irate", of_matrix, 0, value_type::vector, false, {.windows = windows_irate}},
    {"label_join", of_vector_3_strings, variadic_any, value_type::vector, false, {.vector = eval_label_join}},
    {"label_replace", of_vector_4_strings, 0, value_type::vector, false, {.vector = eval_label_replace}},
    {"last_over_time", of_matrix, 0, value_type::vector, false, {.windows = windows_last_over_time}},
    {"ln", of_vector, 0, value_type::vector, false, {.math = math_of<std::log>}},
    {"log10", of_vector, 0, value_type::vector, false, {.math = math_of<std::log10>}},
    {"log2", of_vector, 0, value_type::vector, false, {.math = math_of<std::log2>}},
    {"max_over_time", of_matrix, 0, value_type::vector, false, {.windows = windows_max_over_time}},
    {"min_over_time", of_matrix, 0, value_type::vector, false, {.windows = windows_min_over_time}},
    {"minute", of_vector, 1, value_type::vector, true, {.vector = eval_minute}},
    {"month", of_vector, 1, value_type::vector, true, {.vector = eval_month}},
    {"pi", {}, 0, value_type::scalar, false, {.scalar = eval_pi}},
    {"predict_linear", of_matrix_scalar, 0, value_type::vector, true, {.windows = windows_predict_linear}},
    {"present_over_time", of_matrix, 0, value_type::vector, false, {.windows = windows_present_over_time}},
    {"quantile_over_time",
     of_scalar_matrix,
     0,
     value_type::vector,
     false,
     {.windows = windows_quantile_over_time}},
    {"rad", of_vector, 0, value_type::vector, false, {.math = to_radians}},
    {"rate", of_matrix, 0, value_type::vector, false, {.windows = windows_rate}},
    {"resets", of_matrix, 0, value_type::vector, false, {.windows = windows_resets}},
    {"round", of_vector_scalar, 1, value_type::vector, false, {.vector = eval_round}},
    {"scalar", of_vector, 0, value_type::scalar, false, {.scalar = eval_scalar}},
    {"sgn", of_vector, 0, value_type::vector, false, {.math = sign_of}},
    {"sin", of_vector, 0, value_type::vector, false, {.math = math_of<std::sin>}},
    {"sinh", of_vector, 0, value_type::vector, false, {.math = math_of<std::sinh>}},
    {"sort", of_vector, 0, value_type::vector, false, {.vector = eval_sort}},
    {"sort_desc", of_vector, 0, value_type::vector, false, {.vector = eval_sort_desc}},
    {"sqrt", of_vector, 0, value_type::vector, false, {.math = math_of<std::sqrt>}},
    {"stddev_over_time", of_matrix, 0, value_type::vector, false, {.windows = windows_stddev_over_time}},
    {"stdvar_over_time", of_matrix, 0, value_type::vector, false, {.windows = windows_stdvar_over_time}},
    {"sum_over_time", of_matrix, 0, value_type::vector, false, {.windows = windows_sum_over_time}},
    {"tan", of_vector, 0, value_type::vector, false, {.math = math_of<std::tan>}},
    {"tanh", of_vector, 0, value_type::vector, false, {.math = math_of<std::tanh>}},
    {"time", {}, 0, value_type::scalar, true, {.scalar = eval_time}},
    {"timestamp", of_vector, 0, value_type::vector, true, {.vector = eval_timestamp}},
    {"vector", of_scalar, 0, value_type::vector, false, {.vector = eval_vector}},
    {"year", of_vector, 1, value_type::vector, true, {.vector = eval_year}},

});

} // namespace

const function* find_function(std::string_view name) noexcept {
  const auto* found = std::lower_bound(table.begin(), table.end(), name,
                                       [](const function& f, std::string_view n) { return f.name < n; });
  return found != table.end() && found->name == name ? found : nullptr;
}

std::span<const function> all_functions() noexcept { return table; }

} // namespace skerry::promql
