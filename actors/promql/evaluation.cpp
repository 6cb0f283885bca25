#include "actors/promql/evaluation.hpp"

#include "actors/promql/functions.hpp"
#include "actors/promql/series_table.hpp"

#include <algorithm>
#include <limits>

namespace skerry::promql {

std::int64_t plus(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum))
    return b > 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
  return sum;
}
std::int64_t minus(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t difference = 0;
  if (__builtin_sub_overflow(a, b, &difference))
    return b < 0 ? std::numeric_limits<std::int64_t>::max() : std::numeric_limits<std::int64_t>::min();
  return difference;
}

bool any_present(std::span<const double> column) noexcept {
  return std::any_of(column.begin(), column.end(), [](double v) { return !is_absent(v); });
}
std::size_t count_present(std::span<const double> column) noexcept {
  std::size_t present = 0;
  for (const auto v : column)
    present += is_absent(v) ? 0 : 1;
  return present;
}

labels labels_of(const series_item& item) {
  if (!item.without_name)
    return *item.metric;
  labels out;
  out.reserve(item.metric->size());
  for (const auto& l : *item.metric)
    if (l.name != label_name)
      out.push_back(l);
  return out;
}

bool holding::add(std::uint64_t samples, std::uint64_t cells, std::uint64_t bytes) {
  if (!ev_.hold(samples, cells, bytes))
    return false;
  samples_ += samples;
  cells_ += cells;
  bytes_ += bytes;
  return true;
}

void holding::remove(std::uint64_t samples, std::uint64_t cells, std::uint64_t bytes) noexcept {
  ev_.release(samples, cells, bytes);
  samples_ -= samples;
  cells_ -= cells;
  bytes_ -= bytes;
}

step_column::step_column(evaluation& ev, std::size_t steps) : held_(ev) {
  if (held_.add(0, steps))
    values_.assign(steps, absent_value);
}

scalar_column::scalar_column(evaluation& ev, const expression& e, const step_range& steps) : held_(ev) {
  if (held_.add(0, steps.count))
    ev.scalar(e, steps, values_);
}

evaluation::evaluation(series_source& source, const evaluate_options& options, std::int64_t start_ms,
                       std::int64_t end_ms)
    : source_(&source), options_(options), start_ms_(start_ms), end_ms_(end_ms), budget_(own_) {}

evaluation::evaluation(const evaluation& of, selected& found, std::size_t shard)
    : source_(nullptr),
      found_(&found),
      shard_(shard),
      options_(of.options_),
      start_ms_(of.start_ms_),
      end_ms_(of.end_ms_),
      budget_(of.budget_) {}

void evaluation::fail(error e) {
  if (failed_)
    return;
  failed_ = true;
  failure_ = std::move(e);
}

bool evaluation::stopped() {
  constexpr std::uint32_t polls_per_clock = 16;
  if (!failed_ && options_.cancelled && options_.cancelled->load(std::memory_order_relaxed))
    fail(errc::cancelled, "query was canceled in expression evaluation");
  if (!failed_ && options_.deadline && polls_++ % polls_per_clock == 0
      && std::chrono::steady_clock::now() >= *options_.deadline)
    fail(errc::timeout, "query timed out in expression evaluation");
  return failed_;
}

bool evaluation::hold(std::uint64_t samples, std::uint64_t cells, std::uint64_t bytes) {
  const auto samples_max = options_.samples_max;
  // The floor lets a handful of short columns pass whatever samples_max is.
  constexpr std::uint64_t cells_floor = 1 << 20;
  const auto cells_max = std::max(cells_floor, samples_max * cells_per_sample_max);
  const auto take = [](std::atomic<std::uint64_t>& held, std::uint64_t more, std::uint64_t most) {
    if (more == 0)
      return true;
    if (more <= most && held.fetch_add(more, std::memory_order_relaxed) <= most - more)
      return true;
    if (more <= most)
      held.fetch_sub(more, std::memory_order_relaxed);
    return false;
  };
  const bool fits = take(budget_.samples, samples, samples_max);
  if (!fits || !take(budget_.cells, cells, cells_max)) {
    if (fits)
      budget_.samples.fetch_sub(samples, std::memory_order_relaxed);
    fail(errc::exhausted, "query processing would load too many samples into memory in query execution");
    return false;
  }
  bytes += cells * sizeof(double);
  if (bytes != 0 && options_.memory != nullptr && !options_.memory->take(bytes)) {
    budget_.samples.fetch_sub(samples, std::memory_order_relaxed);
    budget_.cells.fetch_sub(cells, std::memory_order_relaxed);
    fail(options_.memory->refusal());
    return false;
  }
  return true;
}

void evaluation::release(std::uint64_t samples, std::uint64_t cells, std::uint64_t bytes) noexcept {
  if (options_.memory != nullptr)
    options_.memory->give(bytes + cells * sizeof(double));
  budget_.samples.fetch_sub(samples, std::memory_order_relaxed);
  budget_.cells.fetch_sub(cells, std::memory_order_relaxed);
}

bool evaluation::pinned(const time_modifiers& when, std::int64_t& at_ms) const noexcept {
  switch (when.at) {
  case at_kind::none: return false;
  case at_kind::time: at_ms = when.at_ms; break;
  case at_kind::query_start: at_ms = start_ms_; break;
  case at_kind::query_end: at_ms = end_ms_; break;
  }
  return true;
}

void evaluation::select(const vector_selector& v, const step_range& steps, std::int64_t span_ms,
                        bool newest_only, const std::function<void(const series_view&)>& each) {
  if (stopped())
    return;
  select_request request;
  request.matchers = v.matchers;
  std::int64_t at_ms = 0;
  const auto wanted = pinned(v.when, at_ms) ? step_range{at_ms, 1, 1} : steps;
  const auto first = minus(wanted.start_ms, v.when.offset_ms);
  request.from_ms = minus(first, span_ms);
  request.to_ms = minus(wanted.at(wanted.count - 1), v.when.offset_ms);
  // Where from_ms is as early as times go, the spans would not begin there.
  if (wanted.count > 1 && wanted.step_ms > span_ms && plus(request.from_ms, span_ms) == first) {
    request.step_ms = wanted.step_ms;
    request.span_ms = span_ms;
  }
  request.newest_only = newest_only && wanted.count == 1;
  request.samples_max = options_.samples_max * scanned_per_sample_max;
  request.cancelled = options_.cancelled;
  request.memory = options_.memory;
  // Their caches stay as long as the tree does. A shard's are counted by prepare().
  std::uint64_t matching_bytes = 0;
  for (const auto& m : v.matchers)
    matching_bytes += m.matching_bytes();
  if (matching_bytes != 0 && found_ == nullptr && !hold(0, 0, matching_bytes))
    return;
  const each_series unless_stopped = [&](const series_view& view) {
    if (!stopped())
      each(view);
  };
  auto done =
      found_ != nullptr ? found_->read(shard_, unless_stopped) : source_->select(request, unless_stopped);
  if (!done)
    fail(std::move(done.error()));
}

namespace {

// Whether every series of this node comes from one series of its one selector, whatever the others are.
bool series_by_series(const expression& e) noexcept {
  const auto& inner = unwrap(e);
  if (std::holds_alternative<vector_selector>(inner.node))
    return true;
  if (const auto* u = std::get_if<unary_expression>(&inner.node))
    return series_by_series(*u->inner);
  const auto is_number = [](const expression_ptr& x) {
    return std::holds_alternative<number_literal>(unwrap(*x).node);
  };
  if (const auto* b = std::get_if<binary_expression>(&inner.node))
    return (is_number(b->left) && series_by_series(*b->right))
           || (is_number(b->right) && series_by_series(*b->left));
  const auto* c = std::get_if<call>(&inner.node);
  if (c == nullptr || (c->target->run.windows == nullptr && c->target->run.math == nullptr))
    return false;
  std::size_t series = 0;
  for (const auto& argument : c->arguments) {
    if (is_number(argument))
      continue;
    if (!std::holds_alternative<matrix_selector>(unwrap(*argument).node) && !series_by_series(*argument))
      return false;
    ++series;
  }
  return series == 1;
}

// Keeps what is asked for, and has no series itself.
class asking_source final : public series_source {
public:
  explicit asking_source(series_source& inner) : inner_(inner) {}
  result<void> select(const select_request& request, const each_series&) override {
    BOOST_OUTCOME_TRY(made, inner_.prepare(request));
    found = std::move(made);
    return ok();
  }
  result<void> series(const select_request&, const std::function<void(const labels&)>&) override {
    return ok();
  }
  result<std::vector<std::string>> label_names(const select_request&) override {
    return std::vector<std::string>{};
  }
  result<std::vector<std::string>> label_values(std::string_view, const select_request&) override {
    return std::vector<std::string>{};
  }
  result<std::vector<family_metadata>> metadata() override { return std::vector<family_metadata>{}; }

  std::unique_ptr<selected> found;

private:
  series_source& inner_;
};

} // namespace

std::unique_ptr<selected> evaluation::prepare(const expression& e, const step_range& steps) {
  if (source_ == nullptr || stopped() || !series_by_series(e))
    return nullptr;
  asking_source asking{*source_};
  evaluation question{asking, options_, start_ms_, end_ms_};
  question.vector(e, steps, [](const series_item&) {});
  if (question.failed())
    fail(question.failure());
  return std::move(asking.found);
}

void evaluation::select_newest(const vector_selector& v, const step_range& steps, bool times,
                               const series_sink& sink) {
  if (steps.count == 0)
    return;
  std::int64_t at_ms = 0;
  const bool one_time = pinned(v.when, at_ms);
  const auto wanted = one_time ? step_range{at_ms, 1, 1} : steps;
  const auto lookback = options_.lookback_ms;
  step_column column{*this, steps.count};
  const auto out = column.values();
  select(v, steps, lookback, true, [&](const series_view& view) {
    if (out.empty())
      return;
    const auto count = view.times_ms.size();
    std::size_t after = 0; // the first sample beyond the step
    bool any = false;
    for (std::size_t k = 0; k < wanted.count; ++k) {
      const auto to = minus(wanted.at(k), v.when.offset_ms);
      while (after < count && view.times_ms[after] <= to)
        ++after;
      auto found = absent_value;
      if (after > 0 && view.times_ms[after - 1] >= minus(to, lookback)
          && !is_absent(view.values[after - 1])) {
        found = times ? static_cast<double>(view.times_ms[after - 1]) / 1000 : view.values[after - 1];
        any = true;
      }
      out[k] = found;
    }
    if (!any)
      return;
    if (one_time)
      std::fill(out.begin() + 1, out.end(), out[0]);
    sink({&view.all, false, out});
  });
}

step_range evaluation::steps_of(const subquery& s, const step_range& outer) {
  std::int64_t at_ms = 0;
  auto first = outer.start_ms;
  auto last = outer.count == 0 ? first : outer.at(outer.count - 1);
  if (pinned(s.when, at_ms))
    first = last = at_ms;
  const auto from = minus(minus(first, s.when.offset_ms), s.range_ms);
  const auto to = minus(last, s.when.offset_ms);
  const auto step = s.step_ms != 0 ? s.step_ms : options_.subquery_step_ms;
  // Steps are absolute multiples of the step: the first one not before `from`.
  auto start = from / step * step;
  if (start < from)
    start = plus(start, step);
  step_range inner{start, step, 0};
  if (outer.count == 0 || start > to)
    return inner;
  const auto count = static_cast<std::uint64_t>(minus(to, start) / step) + 1;
  if (!hold(0, count)) // no column of it would fit
    return inner;
  release(0, count);
  inner.count = count;
  return inner;
}

bool names_may_differ(const expression& e) noexcept {
  const auto& inner = unwrap(e);
  if (const auto* v = std::get_if<vector_selector>(&inner.node))
    return std::none_of(v->matchers.begin(), v->matchers.end(), [](const matcher& m) {
      return m.name() == label_name && m.op() == match_op::equal && !m.value().empty();
    });
  if (const auto* m = std::get_if<matrix_selector>(&inner.node))
    return std::none_of(m->selector.matchers.begin(), m->selector.matchers.end(), [](const matcher& one) {
      return one.name() == label_name && one.op() == match_op::equal && !one.value().empty();
    });
  if (const auto* s = std::get_if<subquery>(&inner.node))
    return names_may_differ(*s->inner);
  if (const auto* u = std::get_if<unary_expression>(&inner.node))
    return !u->negative && names_may_differ(*u->inner);
  if (const auto* a = std::get_if<aggregation>(&inner.node)) {
    if (a->op == aggregate_op::topk || a->op == aggregate_op::bottomk)
      return names_may_differ(*a->inner);
    return !a->without && std::find(a->grouping.begin(), a->grouping.end(), label_name) != a->grouping.end();
  }
  if (const auto* b = std::get_if<binary_expression>(&inner.node)) {
    if (b->return_bool || drops_name(b->op))
      return !b->matching.include.empty(); // a label taken from the other side may be the name
    return true;
  }
  if (const auto* c = std::get_if<call>(&inner.node)) {
    const auto name = c->target->name;
    if (name == "sort" || name == "sort_desc" || name == "last_over_time")
      return names_may_differ(*c->arguments[0]);
    return name == "label_replace" || name == "label_join";
  }
  return false;
}

void drop_names(evaluation& ev, const expression& inner, const step_range& steps, const series_sink& sink,
                const std::function<void(std::span<double>)>& change) {
  if (!names_may_differ(inner)) {
    return ev.vector(inner, steps, [&](const series_item& item) {
      change(item.values);
      sink({item.metric, true, item.values});
    });
  }
  series_table table{ev};
  ev.vector(inner, steps, [&](const series_item& item) {
    change(item.values);
    table.add_or_fail(labels_of({item.metric, true, {}}), item.values);
  });
  table.hand_over(sink);
}

struct evaluation::vector_dispatch {
  evaluation& ev;
  const step_range& steps;
  const series_sink& sink;

  void operator()(const vector_selector& v) const { ev.select_newest(v, steps, false, sink); }
  void operator()(const paren_expression& p) const { ev.vector(*p.inner, steps, sink); }
  void operator()(const unary_expression& u) const {
    if (!u.negative)
      return ev.vector(*u.inner, steps, sink);
    const auto negate = [](std::span<double> values) {
      for (auto& v : values)
        v = is_absent(v) ? v : -v;
    };
    drop_names(ev, *u.inner, steps, sink, negate);
  }
  void operator()(const binary_expression& b) const { eval_binary(ev, b, steps, sink); }
  void operator()(const aggregation& a) const { eval_aggregation(ev, a, steps, sink); }
  void operator()(const call& c) const {
    const auto& run = c.target->run;
    if (run.windows)
      return eval_window_function(ev, c, steps, sink);
    if (run.vector)
      return run.vector(ev, c, steps, sink);
    drop_names(ev, *c.arguments[0], steps, sink, [f = run.math](std::span<double> values) {
      for (auto& v : values)
        v = is_absent(v) ? v : f(v);
    });
  }
  // Of other types: the type checker lets none through.
  void operator()(const number_literal&) const {}
  void operator()(const string_literal&) const {}
  void operator()(const matrix_selector&) const {}
  void operator()(const subquery&) const {}
};

void evaluation::vector(const expression& e, const step_range& steps, const series_sink& sink) {
  if (stopped() || steps.count == 0)
    return;
  if (!e.step_invariant || steps.count == 1)
    return std::visit(vector_dispatch{*this, steps, sink}, e.node);
  step_column repeated{*this, steps.count};
  const auto out = repeated.values();
  if (out.empty())
    return;
  const auto repeat = [&](const series_item& item) {
    std::fill(out.begin(), out.end(), item.values[0]);
    sink({item.metric, item.without_name, out});
  };
  std::visit(vector_dispatch{*this, steps.first(), repeat}, e.node);
}

struct evaluation::scalar_dispatch {
  evaluation& ev;
  const step_range& steps;
  std::vector<double>& out;

  void operator()(const number_literal& n) const { out.assign(steps.count, n.value); }
  void operator()(const paren_expression& p) const { ev.scalar(*p.inner, steps, out); }
  void operator()(const unary_expression& u) const {
    ev.scalar(*u.inner, steps, out);
    if (u.negative)
      for (auto& v : out)
        v = -v;
  }
  void operator()(const binary_expression& b) const {
    ev.scalar(*b.left, steps, out);
    const scalar_column right{ev, *b.right, steps};
    if (ev.failed())
      return;
    for (std::size_t k = 0; k < out.size(); ++k)
      out[k] = compute(b.op, out[k], right[k]);
  }
  void operator()(const call& c) const { c.target->run.scalar(ev, c, steps, out); }
  template <class Other>
  void operator()(const Other&) const {} // the type checker lets none through
};

void evaluation::scalar(const expression& e, const step_range& steps, std::vector<double>& out) {
  if (e.step_invariant && steps.count > 1) {
    std::visit(scalar_dispatch{*this, steps.first(), out}, e.node);
    out.resize(1);
    const auto first = out[0];
    out.assign(steps.count, first);
  } else {
    std::visit(scalar_dispatch{*this, steps, out}, e.node);
  }
  out.resize(steps.count); // also where it failed half-way
}

} // namespace skerry::promql
