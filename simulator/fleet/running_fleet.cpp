#include "simulator/fleet/running_fleet.hpp"

#include "actors/base/version.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace skerry::sim {

namespace {

constexpr std::chrono::milliseconds step{50};
constexpr double second = 1e9;
constexpr double settle_s = 0.5;       // before memory is read
constexpr double connect_wait_s = 120; // then the load begins with those that are there

double seconds(std::chrono::nanoseconds value) { return static_cast<double>(value.count()) / second; }

} // namespace

void running_fleet::begin_stage() { stage_began_ns_ = system_clock().monotonic_ns(); }

double running_fleet::elapsed_s() const {
  return static_cast<double>(system_clock().monotonic_ns() - stage_began_ns_) / second;
}

sample_totals running_fleet::totals() const {
  sample_totals out;
  for (const auto& one : edges_)
    out += one->tally().totals();
  return out;
}

running_fleet::traffic running_fleet::traffic_now() const {
  traffic out;
  for (const auto& one : edges_) {
    const auto h = one->link().now();
    out.connections += h.connections;
    out.sessions += h.sessions;
    out.tcp_sent += h.tcp_sent;
    out.tcp_received += h.tcp_received;
    out.ip_sent += h.ip.sent;
    out.ip_received += h.ip.received;
  }
  return out;
}

bool running_fleet::pause(fleet_progress::stage stage, std::size_t done) {
  fleet_progress now;
  now.now = stage;
  now.elapsed_s = elapsed_s();
  now.done = done;
  now.edges = edges_.size();
  if (stage >= fleet_progress::stage::connecting)
    for (const auto& one : edges_)
      now.live += one->link().live() ? 1 : 0;
  now.agents = agents_;
  now.samples = totals();
  std::set<std::size_t> under_way;
  for (const auto& one : outages_)
    under_way.insert(one.fault);
  for (const auto fault : skewed_)
    under_way.insert(fault);
  for (const auto fault : under_way)
    now.faults += (now.faults.empty() ? "" : ", ") + std::string{to_string(options_.faults[fault].kind)};
  hooks_.progress(now);
  return hooks_.wait(step);
}

edge_moments running_fleet::moments_of(std::size_t edge) const {
  const auto h = edges_[edge]->link().now();
  return {h.connected_ns, h.welcome_ns, edges_[edge]->tally().current_at().value_or(0)};
}

std::vector<edge_moments> running_fleet::moments_of(const std::vector<std::size_t>& edges) const {
  std::vector<edge_moments> out;
  for (const auto edge : edges)
    out.push_back(moments_of(edge));
  return out;
}

result<void> running_fleet::connect() {
  begin_stage();
  const auto settle = [this] {
    const auto until = elapsed_s() + settle_s;
    while (elapsed_s() < until && !stop_asked_)
      stop_asked_ = pause(fleet_progress::stage::connecting, 0);
    return read_process_usage().resident_anonymous_bytes;
  };
  const auto count = static_cast<double>(edges_.size());
  const auto bare = settle();
  for (auto& one : edges_)
    if (auto started = one->start(); !started)
      return started;
  const auto unconnected = settle();
  std::vector<std::size_t> all(edges_.size());
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i] = i;
  const auto returned_ns = system_clock().monotonic_ns();
  for (auto& one : edges_)
    one->link().restore(true);
  recovery back;
  do {
    stop_asked_ = pause(fleet_progress::stage::connecting, back.back);
    back = summarize("start", 0, returned_ns, moments_of(all));
  } while (back.back < all.size() && !stop_asked_ && elapsed_s() < connect_wait_s);
  report_.recoveries.push_back(std::move(back));
  const auto connected = settle();
  report_.edge_bytes = std::max(0.0, (unconnected - bare) / count + report_.edge_bytes);
  report_.link_bytes = std::max(0.0, (connected - unconnected) / count);
  return ok();
}

void running_fleet::add_host(std::size_t edge) {
  const auto number = ++hosts_made_;
  auto offset = site_numbers_[edge];
  if (options_.spread_hosts)
    offset = number;
  // A fixed permutation of the numbers, whatever the seed: neighbours do not collect together.
  const auto phase = std::chrono::nanoseconds{static_cast<std::int64_t>(
      offset * 0x9e3779b97f4a7c15 % static_cast<std::uint64_t>(options_.interval.count()))};
  edges_[edge]->add_agent(fmt::format("host-{:05}", number), number, site_numbers_[edge], phase);
  ++agents_;
}

// Over one interval: an agent collects as soon as it starts, and a fleet does not start in one moment.
void running_fleet::start_agents(double share) {
  const auto until = static_cast<std::size_t>(static_cast<double>(options_.agents) * std::min(share, 1.0));
  for (; started_ < until; ++started_)
    add_host(started_ * edges_.size() / options_.agents);
}

void running_fleet::replace_host() {
  for (int tries = 0; tries < 100; ++tries) {
    const auto edge = random_() % edges_.size();
    const auto host = edges_[edge]->some_agent(random_());
    if (!host)
      continue;
    edges_[edge]->remove_agent(*host);
    --agents_;
    add_host(edge);
    ++report_.hosts_replaced;
    return;
  }
}

std::vector<std::size_t> running_fleet::edges_of(const fleet_fault& fault) const {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < edges_.size(); ++i) {
    const bool here = !fault.site.empty() ? edges_[i]->site() == fault.site
                      : fault.region != 0 ? i * options_.regions / edges_.size() + 1 == fault.region
                                          : true;
    if (here)
      out.push_back(i);
  }
  return out;
}

void running_fleet::apply(const fault_event& event) {
  using action = fault_event::action;
  const auto& fault = options_.faults[event.fault];
  const auto now = system_clock().monotonic_ns();
  auto edges = edges_of(fault);
  switch (event.what) {
  case action::skew:
  case action::unskew:
    for (const auto edge : edges)
      edges_[edge]->clock().add_skew(event.what == action::skew ? fault.by.count() : -fault.by.count());
    if (event.what == action::skew)
      skewed_.push_back(event.fault);
    else
      std::erase(skewed_, event.fault);
    return;
  case action::cut:
    for (const auto edge : edges)
      edges_[edge]->link().cut();
    if (std::none_of(outages_.begin(), outages_.end(), [&](const auto& o) { return o.fault == event.fault; }))
      outages_.push_back({event.fault, std::move(edges), now, 0});
    return;
  case action::restore:
    for (const auto edge : edges)
      edges_[edge]->link().restore(fault.return_at_once);
    for (auto& one : outages_)
      if (one.fault == event.fault && event.last)
        one.returned_ns = now;
    return;
  }
}

// An outage is over when everyone is current again.
void running_fleet::finish_outages(bool at_end) {
  std::erase_if(outages_, [&](const outage& one) {
    if (one.returned_ns == 0 && !at_end)
      return false;
    const auto returned = one.returned_ns != 0 ? one.returned_ns : INT64_MAX;
    const auto length = one.returned_ns != 0 ? static_cast<double>(one.returned_ns - one.cut_ns) / second : 0;
    auto back =
        summarize(options_.faults[one.fault].text(), length, returned,
                  one.returned_ns != 0 ? moments_of(one.edges) : std::vector<edge_moments>(one.edges.size()));
    if (back.back < one.edges.size() && !at_end)
      return false;
    if (one.returned_ns == 0)
      back.connected_s = back.live_s = back.current_s = 0;
    report_.recoveries.push_back(std::move(back));
    return true;
  });
}

void running_fleet::run() {
  begin_stage();
  if (stop_asked_)
    return;
  load_began_ns_ = system_clock().monotonic_ns();
  usage_at_load_ = read_process_usage();
  traffic_at_load_ = traffic_now();
  const auto loaded_s = 3 * seconds(options_.interval) + 1; // everyone collected twice
  double churn_due = 0;
  double churned = 0;
  while (!stop_asked_) {
    const auto now = elapsed_s();
    if (options_.duration.count() != 0 && now >= seconds(options_.duration))
      return;
    start_agents(now / seconds(options_.interval));
    while (next_event_ < events_.size() && seconds(events_[next_event_].at) <= now)
      apply(events_[next_event_++]);
    finish_outages(false);
    churn_due = options_.churn_per_hour * now / 3600;
    for (; churned + 1 <= churn_due; churned += 1)
      replace_host();
    if (report_.agent_bytes == 0 && now >= loaded_s)
      report_.agent_bytes = std::max(
          0.0, (read_process_usage().resident_anonymous_bytes - usage_at_load_.resident_anonymous_bytes)
                   / static_cast<double>(options_.agents));
    stop_asked_ = pause(fleet_progress::stage::running, edges_.size());
  }
  report_.interrupted = true;
}

// Nothing more is collected; links that are cut come back, and what waits is delivered.
void running_fleet::drain() {
  begin_stage();
  const auto usage = read_process_usage();
  report_.rss_bytes = usage.resident_bytes;
  report_.rss_anonymous_bytes = usage.resident_anonymous_bytes;
  report_.open_fds = usage.open_fds;
  for (auto& one : edges_)
    one->stop_agents();
  for (; next_event_ < events_.size(); ++next_event_) {
    const auto& event = events_[next_event_];
    const bool begun =
        std::any_of(outages_.begin(), outages_.end(), [&](const auto& o) { return o.fault == event.fault; });
    if (event.what == fault_event::action::restore && begun && event.last)
      apply(event);
  }
  bool at_once = false;
  for (std::uint64_t still = 0; !at_once && elapsed_s() < seconds(options_.drain);) {
    at_once = pause(fleet_progress::stage::draining, 0);
    finish_outages(false);
    // What was collected last is not in the spool at once.
    still = totals().pending() == 0 ? still + 1 : 0;
    if (still * step > std::chrono::milliseconds{500} && outages_.empty())
      break;
  }
  finish_outages(true);
}

fleet_report running_fleet::finish() {
  begin_stage();
  const auto usage = read_process_usage();
  const auto now = traffic_now();
  report_.duration_s =
      load_began_ns_ == 0 ? 0 : static_cast<double>(system_clock().monotonic_ns() - load_began_ns_) / second;
  report_.cpu_s = usage.cpu_seconds - usage_at_load_.cpu_seconds;
  report_.connections = now.connections;
  report_.sessions = now.sessions;
  report_.reconnects = now.sessions - std::min<std::uint64_t>(now.sessions, edges_.size());
  report_.tcp_sent = now.tcp_sent - traffic_at_load_.tcp_sent;
  report_.tcp_received = now.tcp_received - traffic_at_load_.tcp_received;
  report_.ip_sent = now.ip_sent - traffic_at_load_.ip_sent;
  report_.ip_received = now.ip_received - traffic_at_load_.ip_received;
  pause(fleet_progress::stage::stopping, 0);
  for (auto& one : edges_)
    one->stop();
  actors_->await_all_actors_done();
  report_.samples = totals();
  report_.refused = static_cast<std::uint64_t>(prometheus::BuildCounter()
                                                   .Name("skerry_gateway_samples_dropped_total")
                                                   .Register(metrics_.registry())
                                                   .Add({})
                                                   .Value());
  report_.live = summarize(latencies_.live);
  report_.all = summarize(latencies_.all);
  return report_;
}

} // namespace skerry::sim
