#include "actors/promql/functions.hpp"

#include <algorithm>
#include <array>

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

// Sorted by name. Every function of Prometheus 2.42:
// https://prometheus.io/docs/prometheus/2.42/querying/functions/
const std::array table = std::to_array<function>({
    {"abs", of_vector, 0, value_type::vector, false, {}},
    {"absent", of_vector, 0, value_type::vector, false, {}},
    {"absent_over_time", of_matrix, 0, value_type::vector, false, {}},
    {"acos", of_vector, 0, value_type::vector, false, {}},
    {"acosh", of_vector, 0, value_type::vector, false, {}},
    {"asin", of_vector, 0, value_type::vector, false, {}},
    {"asinh", of_vector, 0, value_type::vector, false, {}},
    {"atan", of_vector, 0, value_type::vector, false, {}},
    {"atanh", of_vector, 0, value_type::vector, false, {}},
    {"avg_over_time", of_matrix, 0, value_type::vector, false, {}},
    {"ceil", of_vector, 0, value_type::vector, false, {}},
    {"changes", of_matrix, 0, value_type::vector, false, {}},
    {"clamp", of_vector_2_scalars, 0, value_type::vector, false, {}},
    {"clamp_max", of_vector_scalar, 0, value_type::vector, false, {}},
    {"clamp_min", of_vector_scalar, 0, value_type::vector, false, {}},
    {"cos", of_vector, 0, value_type::vector, false, {}},
    {"cosh", of_vector, 0, value_type::vector, false, {}},
    {"count_over_time", of_matrix, 0, value_type::vector, false, {}},
    {"day_of_month", of_vector, 1, value_type::vector, true, {}},
    {"day_of_week", of_vector, 1, value_type::vector, true, {}},
    {"day_of_year", of_vector, 1, value_type::vector, true, {}},
    {"days_in_month", of_vector, 1, value_type::vector, true, {}},
    {"deg", of_vector, 0, value_type::vector, false, {}},
    {"delta", of_matrix, 0, value_type::vector, false, {}},
    {"deriv", of_matrix, 0, value_type::vector, false, {}},
    {"exp", of_vector, 0, value_type::vector, false, {}},
    {"floor", of_vector, 0, value_type::vector, false, {}},
    {"histogram_count", of_vector, 0, value_type::vector, false, {}},
    {"histogram_fraction", of_2_scalars_vector, 0, value_type::vector, false, {}},
    {"histogram_quantile", of_scalar_vector, 0, value_type::vector, false, {}},
    {"histogram_sum", of_vector, 0, value_type::vector, false, {}},
    {"holt_winters", of_matrix_2_scalars, 0, value_type::vector, false, {}},
    {"hour", of_vector, 1, value_type::vector, true, {}},
    {"idelta", of_matrix, 0, value_type::vector, false, {}},
    {"increase", of_matrix, 0, value_type::vector, false, {}},
    {"irate", of_matrix, 0, value_type::vector, false, {}},
    {"label_join", of_vector_3_strings, variadic_any, value_type::vector, false, {}},
    {"label_replace", of_vector_4_strings, 0, value_type::vector, false, {}},
    {"last_over_time", of_matrix, 0, value_type::vector, false, {}},
    {"ln", of_vector, 0, value_type::vector, false, {}},
    {"log10", of_vector, 0, value_type::vector, false, {}},
    {"log2", of_vector, 0, value_type::vector, false, {}},
    {"max_over_time", of_matrix, 0, value_type::vector, false, {}},
    {"min_over_time", of_matrix, 0, value_type::vector, false, {}},
    {"minute", of_vector, 1, value_type::vector, true, {}},
    {"month", of_vector, 1, value_type::vector, true, {}},
    {"pi", {}, 0, value_type::scalar, false, {}},
    {"predict_linear", of_matrix_scalar, 0, value_type::vector, true, {}},
    {"present_over_time", of_matrix, 0, value_type::vector, false, {}},
    {"quantile_over_time", of_scalar_matrix, 0, value_type::vector, false, {}},
    {"rad", of_vector, 0, value_type::vector, false, {}},
    {"rate", of_matrix, 0, value_type::vector, false, {}},
    {"resets", of_matrix, 0, value_type::vector, false, {}},
    {"round", of_vector_scalar, 1, value_type::vector, false, {}},
    {"scalar", of_vector, 0, value_type::scalar, false, {}},
    {"sgn", of_vector, 0, value_type::vector, false, {}},
    {"sin", of_vector, 0, value_type::vector, false, {}},
    {"sinh", of_vector, 0, value_type::vector, false, {}},
    {"sort", of_vector, 0, value_type::vector, false, {}},
    {"sort_desc", of_vector, 0, value_type::vector, false, {}},
    {"sqrt", of_vector, 0, value_type::vector, false, {}},
    {"stddev_over_time", of_matrix, 0, value_type::vector, false, {}},
    {"stdvar_over_time", of_matrix, 0, value_type::vector, false, {}},
    {"sum_over_time", of_matrix, 0, value_type::vector, false, {}},
    {"tan", of_vector, 0, value_type::vector, false, {}},
    {"tanh", of_vector, 0, value_type::vector, false, {}},
    {"time", {}, 0, value_type::scalar, true, {}},
    {"timestamp", of_vector, 0, value_type::vector, true, {}},
    {"vector", of_scalar, 0, value_type::vector, false, {}},
    {"year", of_vector, 1, value_type::vector, true, {}},

});

} // namespace

const function* find_function(std::string_view name) noexcept {
  const auto* found = std::lower_bound(table.begin(), table.end(), name,
                                       [](const function& f, std::string_view n) { return f.name < n; });
  return found != table.end() && found->name == name ? found : nullptr;
}

std::span<const function> all_functions() noexcept { return table; }

} // namespace skerry::promql
