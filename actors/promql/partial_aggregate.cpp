#include "actors/promql/partial_aggregate.hpp"

#include "actors/promql/arithmetic.hpp"
#include "actors/promql/evaluation.hpp"

#include <cmath>
#include <cstring>

namespace skerry::promql {

namespace {

constexpr std::uint8_t format_version = 1;

bool has_count(aggregate_op op) noexcept {
  return op == aggregate_op::avg || op == aggregate_op::stddev || op == aggregate_op::stdvar;
}
bool has_mean(aggregate_op op) noexcept { return op == aggregate_op::stddev || op == aggregate_op::stdvar; }

// into[k] = into[k] is absent ? first(v[k]) : next(into[k], v[k]), where v is present.
template <class First, class Next>
void combine(std::vector<double>& into, std::span<const double> values, First first, Next next) {
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto v = values[k];
    const auto old = into[k];
    const auto made = is_absent(old) ? first(v) : next(old, v);
    into[k] = is_absent(v) ? old : made;
  }
}

constexpr auto itself = [](double v) { return v; };
constexpr auto one = [](double) { return 1.0; };
constexpr auto plus_value = [](double a, double v) { return a + v; };
constexpr auto larger = [](double a, double v) { return a < v || std::isnan(a) ? v : a; };
constexpr auto smaller = [](double a, double v) { return a > v || std::isnan(a) ? v : a; };

void add_to_mean(partial_group& g, std::span<const double> values) {
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto v = values[k];
    if (is_absent(v))
      continue;
    const auto n = ++g.count[k];
    auto& mean = g.value[k];
    if (n == 1)
      mean = v;
    else if (!mean_stays(mean, v))
      mean += v / n - mean / n; // both divided, so that large values do not overflow
  }
}

// Welford, Technometrics 4 (1962), 419–420.
void add_to_variance(partial_group& g, std::span<const double> values) {
  for (std::size_t k = 0; k < values.size(); ++k) {
    const auto v = values[k];
    if (is_absent(v))
      continue;
    const auto n = ++g.count[k];
    if (n == 1) {
      g.mean[k] = v;
      g.value[k] = 0;
      continue;
    }
    const auto delta = v - g.mean[k];
    g.mean[k] += delta / n;
    g.value[k] += delta * (v - g.mean[k]);
  }
}

void merge_means(partial_group& to, const partial_group& from) {
  for (std::size_t k = 0; k < to.value.size(); ++k) {
    if (from.count[k] == 0)
      continue;
    const auto n = to.count[k] + from.count[k];
    auto& mean = to.value[k];
    if (to.count[k] == 0)
      mean = from.value[k];
    else if (!mean_stays(mean, from.value[k]))
      mean = mean * (to.count[k] / n) + from.value[k] * (from.count[k] / n);
    to.count[k] = n;
  }
}

// Chan, Golub and LeVeque, COMPSTAT 1982, 30–41.
void merge_variances(partial_group& to, const partial_group& from) {
  for (std::size_t k = 0; k < to.value.size(); ++k) {
    if (from.count[k] == 0)
      continue;
    if (to.count[k] == 0) {
      to.value[k] = from.value[k];
      to.mean[k] = from.mean[k];
      to.count[k] = from.count[k];
      continue;
    }
    const auto n = to.count[k] + from.count[k];
    const auto delta = from.mean[k] - to.mean[k];
    to.value[k] += from.value[k] + delta * delta * (to.count[k] / n) * from.count[k];
    to.mean[k] += delta * (from.count[k] / n);
    to.count[k] = n;
  }
}

std::vector<std::vector<double> partial_group::*> columns_of(aggregate_op op) {
  std::vector<std::vector<double> partial_group::*> all{&partial_group::value};
  if (has_count(op))
    all.push_back(&partial_group::count);
  if (has_mean(op))
    all.push_back(&partial_group::mean);
  return all;
}

} // namespace

bool has_partials(aggregate_op op) noexcept { return op <= aggregate_op::stdvar; }

std::size_t partial_columns(aggregate_op op) noexcept {
  return 1 + (has_count(op) ? 1U : 0U) + (has_mean(op) ? 1U : 0U);
}

partial_group make_group(aggregate_op op, std::size_t steps, labels metric) {
  partial_group made;
  made.metric = std::move(metric);
  made.value.assign(steps, absent_value);
  made.count.assign(has_count(op) ? steps : 0, 0);
  made.mean.assign(has_mean(op) ? steps : 0, 0);
  return made;
}

void add(aggregate_op op, partial_group& to, std::span<const double> values) {
  switch (op) {
  case aggregate_op::sum: return combine(to.value, values, itself, plus_value);
  case aggregate_op::count: return combine(to.value, values, one, [](double a, double) { return a + 1; });
  case aggregate_op::group: return combine(to.value, values, one, [](double, double) { return 1.0; });
  case aggregate_op::max: return combine(to.value, values, itself, larger);
  case aggregate_op::min: return combine(to.value, values, itself, smaller);
  case aggregate_op::avg: return add_to_mean(to, values);
  default: return add_to_variance(to, values);
  }
}

void merge(aggregate_op op, partial_group& to, const partial_group& from) {
  switch (op) {
  case aggregate_op::sum:
  case aggregate_op::count: return combine(to.value, from.value, itself, plus_value);
  case aggregate_op::avg: return merge_means(to, from);
  case aggregate_op::stddev:
  case aggregate_op::stdvar: return merge_variances(to, from);
  default: return add(op, to, from.value);
  }
}

void finish(aggregate_op op, partial_group& g) {
  if (!has_mean(op))
    return;
  for (std::size_t k = 0; k < g.value.size(); ++k) {
    if (is_absent(g.value[k]))
      continue;
    const auto variance = g.value[k] / g.count[k];
    g.value[k] = op == aggregate_op::stddev ? std::sqrt(variance) : variance;
  }
}

void encode_partial(const partial_aggregate& from, byte_buffer& into) {
  byte_writer w{into};
  w.fixed(format_version);
  w.fixed(static_cast<std::uint8_t>(from.op));
  w.varint(from.steps);
  w.varint(from.groups.size());
  for (const auto& g : from.groups) {
    w.varint(g.metric.size());
    for (const auto& l : g.metric) {
      w.text(l.name);
      w.text(l.value);
    }
    for (const auto column : columns_of(from.op))
      w.bytes(std::as_bytes(std::span{g.*column}));
  }
}

result<partial_aggregate> decode_partial(bytes_view bytes) {
  byte_reader r{bytes};
  const auto broken = [](const char* what) {
    return fail(errc::malformed, std::string{"a partial aggregate does not decode: "} + what);
  };
  if (const auto version = r.fixed<std::uint8_t>(); !r.failed() && version != format_version)
    return fail(errc::unsupported_version, "a partial aggregate of version " + std::to_string(version)
                                               + "; this node knows version "
                                               + std::to_string(format_version));
  partial_aggregate out;
  const auto op = r.fixed<std::uint8_t>();
  out.op = static_cast<aggregate_op>(op);
  if (r.failed() || op > static_cast<std::uint8_t>(aggregate_op::stdvar))
    return broken("its operator is unknown");
  out.steps = r.varint();
  const auto groups = r.varint();
  if (r.failed() || (groups != 0 && out.steps > bytes.size() / sizeof(double)))
    return broken("more steps than bytes");
  const auto columns = columns_of(out.op);
  for (std::uint64_t i = 0; i < groups && !r.failed(); ++i) {
    auto& g = out.groups.emplace_back();
    const auto count = r.varint();
    for (std::uint64_t l = 0; l < count && !r.failed(); ++l) {
      std::string name{r.text()};
      g.metric.push_back({std::move(name), std::string{r.text()}});
    }
    for (const auto column : columns) {
      const auto raw = r.bytes(out.steps * sizeof(double));
      if (r.failed())
        return broken("it ends too early");
      (g.*column).resize(out.steps);
      std::memcpy((g.*column).data(), raw.data(), raw.size());
    }
    // What is not counted must be absent, and the other way round: merging relies on it.
    for (std::size_t k = 0; k < g.count.size(); ++k)
      if (!(g.count[k] >= 0) || (g.count[k] == 0) != is_absent(g.value[k]))
        return broken("its counts do not fit its values");
  }
  if (r.failed() || r.remaining() != 0)
    return broken("its length is wrong");
  return out;
}

} // namespace skerry::promql
