#include "actors/api/answer_text.hpp"
#include "actors/api/parameters.hpp"
#include "actors/api/query_stats.hpp"
#include "actors/api/route_list.hpp"
#include "actors/node/settings.hpp"
#include "actors/promql/evaluator.hpp"
#include "actors/promql/infos.hpp"
#include "actors/promql/json.hpp"
#include "actors/promql/parser.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>

namespace skerry::api {

using promql::expression_ptr;

namespace {

// What instant and range queries have in common.
struct query_settings {
  std::chrono::nanoseconds timeout{};
  promql::evaluate_options options;
  std::uint64_t limit = 0; // series in the answer; 0: all
  bool stats = false;
  std::vector<std::string> infos; // where something is found
  query_timings times;
  query_memory_ptr memory;
};
struct instant_query {
  std::shared_ptr<const promql::expression> tree;
  std::int64_t time_ms = 0;
  query_settings settings;
};
struct range_query {
  std::shared_ptr<const promql::expression> tree;
  promql::time_range range;
  query_settings settings;
};

result<std::shared_ptr<const promql::expression>> query_parameter(const http::request& request,
                                                                  promql::query_memory& memory) {
  BOOST_OUTCOME_TRY(tree, promql::parse(text_parameter(request, "query"), &memory));
  return std::shared_ptr<const promql::expression>{std::move(tree)};
}

result<std::chrono::nanoseconds> timeout_parameter(const http::request& request, const query_limits& limits) {
  const std::chrono::nanoseconds most = limits.timeout;
  BOOST_OUTCOME_TRY(given, duration_parameter(request, "timeout", most));
  if (given <= std::chrono::nanoseconds::zero()) // over before it began
    return std::chrono::nanoseconds{1};
  return std::min(given, most);
}

result<promql::evaluate_options> options_from(const http::request& request, const query_limits& limits) {
  promql::evaluate_options options;
  options.lookback_ms = limits.lookback.count();
  options.samples_max = limits.samples_max;
  if (const auto text = text_parameter(request, "lookback_delta"); !text.empty()) {
    const auto given = parse_duration_parameter(text);
    if (!given)
      return fail(errc::invalid_argument,
                  fmt::format("error parsing lookback delta duration: {}", given.error().message));
    if (given.value().count() >= ns_per_ms) // Prometheus takes zero for its default
      options.lookback_ms = given.value().count() / ns_per_ms;
  }
  return options;
}

result<query_settings> settings_from(const http::request& request, const query_context& context) {
  const auto& limits = context.limits;
  query_settings settings;
  settings.memory = make_memory(context);
  settings.times.received = std::chrono::steady_clock::now();
  BOOST_OUTCOME_TRY(timeout, timeout_parameter(request, limits));
  BOOST_OUTCOME_TRY(options, options_from(request, limits));
  BOOST_OUTCOME_TRY(limit, limit_parameter(request));
  settings.timeout = timeout;
  settings.options = options;
  settings.options.memory = settings.memory.get();
  settings.limit = limit.value_or(0);
  settings.stats = !text_parameter(request, "stats").empty();
  return settings;
}

result<instant_query> read_instant(const http::request& request, const query_context& context) {
  BOOST_OUTCOME_TRY(time_ms, time_parameter(request, "time", context.clock->wall_ns() / ns_per_ms));
  BOOST_OUTCOME_TRY(settings, settings_from(request, context));
  auto tree = query_parameter(request, *settings.memory);
  if (!tree && tree.error().code != errc::invalid_argument)
    return tree.error();
  if (!tree) // Prometheus 2.42 names the parameter here, not with a range
    return invalid_parameter("query", tree.error().message);
  settings.infos = promql::infos_of(*tree.value(), text_parameter(request, "query"));
  return instant_query{std::move(tree.value()), time_ms, std::move(settings)};
}

// start and end have no default.
result<std::int64_t> bound_parameter(const http::request& request, std::string_view name) {
  auto parsed = parse_time_ms(text_parameter(request, name));
  if (!parsed)
    return invalid_parameter(name, parsed.error().message);
  return parsed;
}

result<range_query> read_range(const http::request& request, const query_context& context) {
  BOOST_OUTCOME_TRY(start_ms, bound_parameter(request, "start"));
  BOOST_OUTCOME_TRY(end_ms, bound_parameter(request, "end"));
  if (end_ms < start_ms)
    return invalid_parameter("end", "end timestamp must not be before start time");
  const auto step = parse_duration_parameter(text_parameter(request, "step"));
  if (!step)
    return invalid_parameter("step", step.error().message);
  const auto step_ms = step.value().count() / ns_per_ms;
  if (step_ms <= 0)
    return invalid_parameter("step", "zero or negative query resolution step widths are not accepted. Try a "
                                     "positive integer");
  if ((end_ms - start_ms) / step_ms > promql::points_max)
    return fail(errc::invalid_argument, "exceeded maximum resolution of 11,000 points per timeseries. Try "
                                        "decreasing the query resolution (?step=XX)");
  BOOST_OUTCOME_TRY(settings, settings_from(request, context));
  BOOST_OUTCOME_TRY(tree, query_parameter(request, *settings.memory));
  if (const auto type = promql::type_of(*tree);
      type != promql::value_type::scalar && type != promql::value_type::vector)
    return fail(errc::invalid_argument,
                fmt::format("invalid expression type \"{}\" for range query, must be Scalar "
                            "or instant Vector",
                            promql::describe(type)));
  settings.infos = promql::infos_of(*tree, text_parameter(request, "query"));
  return range_query{std::move(tree), {start_ms, end_ms, step_ms}, std::move(settings)};
}

// Cuts an answer to `limit` series; whether it did.
bool cut(promql::value& all, std::uint64_t limit) {
  const auto shorten = [limit](auto& series) {
    if (limit == 0 || series.size() <= limit)
      return false;
    series.resize(limit);
    return true;
  };
  if (auto* vector = std::get_if<promql::vector_value>(&all))
    return shorten(*vector);
  if (auto* matrix = std::get_if<promql::matrix_value>(&all))
    return shorten(*matrix);
  return false;
}

bool finds_something(const promql::value& all) {
  if (const auto* vector = std::get_if<promql::vector_value>(&all))
    return !vector->empty();
  if (const auto* matrix = std::get_if<promql::matrix_value>(&all))
    return !matrix->empty();
  return true;
}

http::response query_timed_out() {
  return failure({api_errc::timeout, "query timed out in query execution"});
}

template <class Evaluate>
http::response answer(const query_context& context, const query_ticket& ticket, query_settings settings,
                      Evaluate evaluate) {
  settings.times.started = std::chrono::steady_clock::now();
  settings.options.cancelled = &ticket.cancelled();
  const auto watch = make_watch(context, ticket);
  counting_source source{watch->source()};
  result<promql::value> outcome = evaluate(*watch, source, settings.options);
  settings.times.evaluated = std::chrono::steady_clock::now();
  // Over its time is over its time, also when the answer came just after, and whoever looks first.
  if (ticket.cancelled().load())
    return query_failure({errc::cancelled, {}}, ticket);
  if (settings.times.evaluated - settings.times.received >= settings.timeout)
    return query_timed_out();
  // The query itself was fine: what it does to these data was not.
  if (!outcome && outcome.error().code == errc::invalid_argument)
    return failure({api_errc::execution, outcome.error().message});
  if (!outcome)
    return query_failure(outcome.error(), ticket);
  auto warnings = watch->warnings();
  if (cut(outcome.value(), settings.limit))
    warnings.emplace_back("results truncated due to limit");
  answer_text text{context.answers};
  auto& body = text.tail();
  body = begin_success();
  promql::append_value(body, outcome.value(), text.checkpoint());
  if (settings.stats) {
    body.pop_back(); // data's brace
    append_stats(body, settings.times, source);
    body += '}';
  }
  append_end(body, warnings, finds_something(outcome.value()) ? settings.infos : std::vector<std::string>{});
  auto made = text.take("application/json");
  return made ? std::move(made).value() : query_failure(made.error(), ticket);
}

void instant(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  auto query = read_instant(request, *context);
  if (!query)
    return to->answer(failure(to_api_error(query.error())));
  const auto timeout = query.value().settings.timeout;
  const auto memory = query.value().settings.memory;
  run_on_pool(*context->queries, request.who, std::move(to), timeout, memory,
              [context, q = std::move(query.value())](const query_ticket& ticket) {
                return answer(*context, ticket, q.settings,
                              [&q](query_watch&, promql::series_source& source, const auto& options) {
                                return promql::evaluate_instant(*q.tree, source, q.time_ms, options);
                              });
              });
}

void range(const query_context_ptr& context, const http::request& request, http::responder_ptr to) {
  auto query = read_range(request, *context);
  if (!query)
    return to->answer(failure(to_api_error(query.error())));
  const auto timeout = query.value().settings.timeout;
  const auto memory = query.value().settings.memory;
  run_on_pool(*context->queries, request.who, std::move(to), timeout, memory,
              [context, q = std::move(query.value())](const query_ticket& ticket) {
                return answer(*context, ticket, q.settings,
                              [&q](query_watch& watch, promql::series_source& source,
                                   const auto& options) -> result<promql::value> {
                                BOOST_OUTCOME_TRY(matrix, watch.range(*q.tree, source, q.range, options));
                                return promql::value{std::move(matrix)};
                              });
              });
}

} // namespace

void read_memory(config_section& from, query_limits& to) {
  constexpr std::uint64_t memory_min = 8 << 20;
  read_size(from, "memory_bytes_max", to.memory_bytes_max);
  if (to.memory_bytes_max < memory_min)
    from.complain("memory_bytes_max", "must be at least 8MiB");
  to.memory_each_bytes_max = std::min(to.memory_each_bytes_max, to.memory_bytes_max);
  read_size(from, "memory_each_bytes_max", to.memory_each_bytes_max);
  if (to.memory_each_bytes_max < memory_min || to.memory_each_bytes_max > to.memory_bytes_max)
    from.complain("memory_each_bytes_max", "must lie between 8MiB and memory_bytes_max");
}

query_memory_ptr make_memory(const query_context& context) {
  return std::make_shared<promql::query_memory>(context.memory, context.limits.memory_each_bytes_max);
}

http::response query_failure(const error& e, const query_ticket& ticket) {
  if (e.code == errc::exhausted || e.code == errc::unavailable)
    ticket.note_bound();
  switch (ticket.reason()) {
  case stop_reason::timeout: return query_timed_out();
  case stop_reason::client_gone:
    return failure({api_errc::canceled, "query was canceled in query execution"});
  case stop_reason::shutdown: return failure({api_errc::unavailable, "the node is stopping"});
  case stop_reason::none: break;
  }
  return failure(to_api_error(e));
}

void run_on_pool(query_pool& pool, const principal& who, http::responder_ptr to,
                 std::chrono::nanoseconds timeout, query_memory_ptr memory,
                 std::function<http::response(const query_ticket&)> work) {
  const auto accepted = pool.submit(
      [to, memory = std::move(memory), work = std::move(work)](const query_ticket& ticket) {
        if (memory)
          memory->started();
        if (ticket.cancelled().load())
          return to->answer(query_failure({errc::cancelled, {}}, ticket));
        to->answer(work(ticket));
      },
      timeout, [to] { return to->client_gone(); }, who);
  if (!accepted)
    to->answer(failure({api_errc::unavailable, accepted.error().message}));
}

void add_query_routes(const query_context_ptr& context, std::vector<http::route>& into) {
  add_route(into, context, {"GET", "POST"}, "/api/v1/query", instant);
  add_route(into, context, {"GET", "POST"}, "/api/v1/query_range", range);
}

std::vector<http::route> make_query_routes(query_context given) {
  const auto context = std::make_shared<const query_context>(std::move(given));
  std::vector<http::route> all;
  add_query_routes(context, all);
  add_metadata_routes(context, all);
  add_expression_routes(context, all);
  add_federate_routes(context, all);
  add_target_routes(context, all);
  add_status_routes(context, all);
  return all;
}

} // namespace skerry::api
