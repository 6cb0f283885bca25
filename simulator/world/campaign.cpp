#include "simulator/world/campaign.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace skerry::sim {

namespace {

constexpr std::size_t trace_lines_max = 60;

} // namespace

campaign_result run_campaign(const campaign_options& options) {
  campaign_result out;
  auto next = options.first;
  for (; out.runs < options.runs; ++next.seed) {
    auto done = run_world(next);
    ++out.runs;
    out.commits += done.commits;
    out.events += done.events;
    for (std::size_t what = 0; what < clock_sights; ++what)
      out.clocks[what] += done.clocks[what] != 0 ? 1 : 0;
    for (std::size_t kind = 0; kind < fault_kinds; ++kind)
      for (std::size_t state = 0; state < protocol_states; ++state)
        out.struck[kind][state] += done.struck[kind][state];
    for (std::size_t bound = 0; bound < receiver_bounds; ++bound)
      for (std::size_t where = 0; where < 2; ++where)
        out.bounded[bound][where] += done.bounds[bound][where] != 0 ? 1 : 0;
    for (std::size_t act = 0; act < limit_acts; ++act)
      for (std::size_t where = 0; where < 2; ++where)
        out.limited[act][where] += done.limits[act][where] != 0 ? 1 : 0;
    for (std::size_t act = 0; act < uplink_acts; ++act)
      for (std::size_t where = 0; where < 2; ++where)
        out.uplinks[act][where] += done.uplinks[act][where] != 0 ? 1 : 0;
    if (options.progress)
      options.progress(out.runs);
    if (!done.violation.empty()) {
      campaign_failure failure;
      failure.options = next;
      failure.violation = std::move(done.violation);
      failure.rule = std::move(done.rule);
      out.failure = std::move(failure);
      return out;
    }
  }
  return out;
}

campaign_failure shrink(const world_options& failing, const std::string& rule) {
  campaign_failure out;
  out.options = failing;
  const auto fails = [&](const world_options& with) {
    ++out.tries;
    return run_world(with).rule == rule;
  };
  // Limits first: without them there is less to understand.
  if (auto with = out.options; std::exchange(with.limits, false) && fails(with))
    out.options = with;
  // Faults one by one, as long as one can go.
  if (!out.options.only) {
    out.options.only.emplace(failing.faults);
    std::iota(out.options.only->begin(), out.options.only->end(), std::size_t{0});
  }
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (std::size_t i = 0; i < out.options.only->size(); ++i) {
      auto left = *out.options.only;
      left.erase(left.begin() + static_cast<std::ptrdiff_t>(i));
      auto with = out.options;
      with.only = std::move(left);
      if (fails(with)) {
        out.options = with;
        smaller = true;
        break;
      }
    }
  }
  // Then the time.
  for (auto step = out.options.length / 2; step >= 5 * second; step /= 2) {
    auto with = out.options;
    with.length -= step;
    if (with.length >= 5 * second && fails(with))
      out.options = with;
  }
  auto last = out.options;
  last.trace = true;
  auto done = run_world(last);
  out.violation = done.violation;
  out.schedule = std::move(done.schedule_lines);
  out.trace = std::move(done.trace);
  if (out.trace.size() > trace_lines_max)
    out.trace.erase(out.trace.begin(), out.trace.end() - trace_lines_max);
  return out;
}

std::string replay_command(const world_options& options) {
  auto out = fmt::format("skerry-sim world --seed {}", options.seed);
  if (options.faults != world_options{}.faults)
    out += fmt::format(" --faults {}", options.faults);
  if (options.only)
    out += options.only->empty() ? std::string{" --only none"}
                                 : fmt::format(" --only {}", fmt::join(*options.only, ","));
  if (!options.limits)
    out += " --no-limits";
  if (options.length != world_options{}.length)
    out += fmt::format(" --seconds {:g}", static_cast<double>(options.length) / second);
  for (const auto& one : plants())
    if (one.fault == options.planted && one.fault != planted_fault::none)
      out += fmt::format(" --plant {}", one.name);
  return out + " --trace";
}

const std::vector<plant>& plants() {
  static const std::vector<plant> all{
      {"ack-before-sync", planted_fault::ack_before_sync, {}},
      {"held-forgotten-on-restart", planted_fault::held_forgotten_on_restart, {}},
      {"held-with-first-part", planted_fault::held_with_first_part, {}},
      {"epoch-not-renewed", planted_fault::epoch_not_renewed, {}},
      {"tombstone-not-written", planted_fault::tombstone_not_written, {}},
      {"tombstone-over-arriving-data", planted_fault::tombstone_over_arriving_data, {}},
      {"backlog-before-live", planted_fault::backlog_before_live, {}},
      {"merged-range-doubled", planted_fault::merged_range_doubled, {}},
      {"thinned-while-in-flight", planted_fault::thinned_while_in_flight, {}},
      {"tombstone-trimmed-as-data", planted_fault::tombstone_trimmed_as_data, {}},
      {"backlog-unbounded", planted_fault::backlog_unbounded, {}},
      {"drop-unsaid", planted_fault::drop_unsaid, {}},
      {"set-dropped-while-referenced", planted_fault::set_dropped_while_referenced, {}},
      {"watermark-past-hole", planted_fault::watermark_past_hole, {}},
      {"custody-loss-unnoticed", planted_fault::custody_loss_unnoticed, {}},
      {"restored-receiver-unnoticed", planted_fault::restored_receiver_unnoticed, {}},
      {"epoch-forgotten-while-named", planted_fault::epoch_forgotten_while_named, {}},
      {"names-never-let-go", planted_fault::names_never_let_go, {}},
      {"sealed-by-log-alone", planted_fault::sealed_by_log_alone, {}},
      {"refusal-ends-session", planted_fault::refusal_ends_session, {}},
      {"ranges-unbounded", planted_fault::ranges_unbounded, {}},
      {"loop-unnoticed", planted_fault::loop_unnoticed, {}},
      {"pause-by-wall-clock", planted_fault::pause_by_wall_clock, {}},
      {"statements-merged", planted_fault::statements_merged, {}},
      {"most-complete-speaks", planted_fault::most_complete_speaks, {}},
      {"any-edge-speaks", planted_fault::any_edge_speaks, {}},
      {"damage-not-written", planted_fault::damage_not_written, {}},
      {"written-off-unasked", planted_fault::written_off_unasked, {}},
      {"released-at-durable", planted_fault::released_at_durable, {}},
      {"doubted-clock-destroys", planted_fault::doubted_clock_destroys, {}},
      {"usage-forgotten", planted_fault::usage_forgotten, {}},
      {"quota-drops", planted_fault::quota_drops, {}},
      {"bandwidth-unbounded", planted_fault::bandwidth_unbounded, {}},
      {"address-never-left", planted_fault::address_never_left, {}},
      {"address-left-while-live", planted_fault::address_left_while_live, {}},
  };
  return all;
}

const plant* find_plant(std::string_view name) {
  const auto it =
      std::find_if(plants().begin(), plants().end(), [&](const plant& p) { return p.name == name; });
  return it == plants().end() ? nullptr : &*it;
}

} // namespace skerry::sim
