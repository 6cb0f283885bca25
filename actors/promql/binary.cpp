// Operators between scalars and between an instant vector and a scalar.

#include "actors/promql/evaluation.hpp"
#include "actors/promql/operators.hpp"

namespace skerry::promql {

double compute(binary_op op, double left, double right) noexcept {
  return with_operator(op, [&](auto f) { return static_cast<double>(f(left, right)); });
}

namespace {

// A comparison without bool keeps the vector's own value, whichever side it stands on.
void change(const binary_expression& b, std::span<double> values, const std::vector<double>& scalars,
            bool vector_left) {
  with_operator(b.op, [&](auto op) {
    const auto each = [&](auto compute_one) {
      for (std::size_t k = 0; k < values.size(); ++k) {
        const auto v = values[k];
        const auto made = compute_one(v, scalars[k]);
        values[k] = is_absent(v) ? v : made;
      }
    };
    if (vector_left)
      each([&](double v, double s) { return value_or_absent(op, v, s, v, b.return_bool, absent_value); });
    else
      each([&](double v, double s) { return value_or_absent(op, s, v, v, b.return_bool, absent_value); });
  });
}

} // namespace

void eval_binary(evaluation& ev, const binary_expression& b, const step_range& steps,
                 const series_sink& sink) {
  if (is_set_operator(b.op))
    return eval_set_operator(ev, b, steps, sink);
  const bool vector_left = type_of(*b.left) == value_type::vector;
  if (vector_left && type_of(*b.right) == value_type::vector)
    return eval_vector_match(ev, b, steps, sink);
  const auto& inner = vector_left ? *b.left : *b.right;
  scalar_column column{ev, vector_left ? *b.right : *b.left, steps};
  if (ev.failed())
    return;
  const auto& scalars = column.values();
  if (drops_name(b.op) || b.return_bool)
    return drop_names(ev, inner, steps, sink,
                      [&](std::span<double> values) { change(b, values, scalars, vector_left); });
  ev.vector(inner, steps, [&](const series_item& item) {
    change(b, item.values, scalars, vector_left);
    if (any_present(item.values))
      sink(item);
  });
}

} // namespace skerry::promql
