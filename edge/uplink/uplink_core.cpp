#include "edge/uplink/uplink_core.hpp"

#include "schemas/time.hpp"

#include <spdlog/spdlog.h>

#include <utility>

namespace skerry::edge {

namespace {

constexpr int ticks_per_start = 10; // between two tries to start the link
constexpr int ticks_per_usage = 60; // between two writes of what the link has carried
// What is gone within this time is not worth a handshake.
constexpr std::int64_t backlog_lasts_ns = 10'000'000'000;

} // namespace

uplink_core::uplink_core(uplink_core_config config, clock_source& clock, random_source& random,
                         delivery::sender_source& source, uplink_connections& link, usage_keeper* usage)
    : config_(std::move(config)),
      clock_(clock),
      link_(link),
      source_(source),
      usage_(usage),
      sender_(config_.sender, clock, random, source, link) {
  if (usage_ != nullptr && !is_planted(planted_fault::usage_forgotten)) {
    if (auto loaded = usage_->load())
      stored_ = std::move(loaded).value();
    else
      spdlog::error("uplink: {}", loaded.error().message);
  }
  meter_ = delivery::quota_meter{config_.quota, stored_.usage, stored_.clock};
  sender_.pause_backlog(stored_.backlog_paused);
}

void uplink_core::start() {
  running_ = true;
  count_bytes(); // a quota holds before the first tick, too
  start_link();
}

void uplink_core::start_link() {
  const auto started = link_.start(address());
  if (started) {
    refusal_.clear();
    return;
  }
  if (refusal_ != started.error().message)
    spdlog::error("uplink: the link cannot be started, trying again every {} s: {}",
                  ticks_per_start * tick_interval.count() / 1000, started.error().message);
  refusal_ = started.error().message;
}

void uplink_core::on_up() {
  key_refused_ = false;
  sender_.on_connected();
}

void uplink_core::on_down() { sender_.on_disconnected(); }

void uplink_core::on_refused() {
  sender_.on_disconnected();
  if (!std::exchange(key_refused_, true))
    spdlog::warn("uplink: the receiver does not know this edge's key: was it revoked? Join again with "
                 "a new token; "
                 "until then everything is kept in the spool");
}

void uplink_core::on_message(const link::message& message) {
  if (const auto* welcome = std::get_if<link::welcome>(&message.body))
    take_time_of(*welcome);
  sender_.on_message(message);
}

void uplink_core::on_committed(const delivery::committed_runs& committed) {
  for (const auto& run : committed.runs) {
    if (is_planted(planted_fault::quota_drops) && meter_.level() != delivery::quota_level::open) {
      range_set dropped;
      dropped.add({run.header.first, run.header.last()});
      source_.release(run.header.key, dropped);
      continue;
    }
    sender_.on_committed(run, committed.lane, committed.replaced);
  }
}

void uplink_core::on_tick() {
  if (++ticks_ % ticks_per_start == 0 && running_ && !link_.started())
    start_link();
  fail_over();
  count_bytes();
  care_for_backlog();
  sender_.on_tick();
  if (ticks_ % ticks_per_usage == 0)
    keep_usage();
}

void uplink_core::pause_backlog(bool paused) {
  if (paused != sender_.backlog_paused())
    spdlog::info("uplink: the backlog is {} by an operator", paused ? "paused" : "resumed");
  sender_.pause_backlog(paused);
  keep_usage();
}

void uplink_core::stop() {
  sender_.say_bye();
  link_.stop();
  count_bytes();
  keep_usage(true);
  running_ = false;
}

// What crossed the link since the last time, and what may go now.
void uplink_core::count_bytes() {
  meter_.add(link_.take_ip_bytes(), clock_.wall_ns(), clock_.monotonic_ns());
  sender_.limit(meter_.level(), config_.quota.thin_interval, meter_.day_bytes());
  const bool ahead = meter_.clock_ahead().count() != 0;
  if (ahead && !told_ahead_ && config_.quota.bytes != 0)
    spdlog::warn("uplink: the clock says {} s more than has passed: no new period of the quota begins by "
                 "that before "
                 "the receiver says the same, or it has said so for {} h of running",
                 meter_.clock_ahead().count() / ns_per_s,
                 std::chrono::duration_cast<std::chrono::hours>(delivery::quota_meter::jump_wait).count());
  told_ahead_ = ahead;
}

void uplink_core::take_time_of(const link::welcome& from) {
  const auto bytes = meter_.told_time(from.server_time_ns, clock_.wall_ns(), clock_.monotonic_ns());
  if (bytes == 0)
    return;
  set_back_bytes_ += bytes;
  spdlog::warn(
      "uplink: {} bytes were counted for days that are yet to come, as the clock was ahead: they count for "
      "today",
      bytes);
  keep_usage();
}

// `at_end`: with the time that has passed, be there bytes or not.
void uplink_core::keep_usage(bool at_end) {
  const kept_usage now{meter_.usage(), meter_.clock_note(), sender_.backlog_paused()};
  const auto same = [&] {
    return now.usage == stored_.usage && now.backlog_paused == stored_.backlog_paused;
  };
  if (usage_ == nullptr || (same() && !at_end))
    return;
  if (const auto done = usage_->store(now))
    stored_ = now;
  else if (!usage_refused_)
    spdlog::error("uplink: what the link has carried is not kept: {}", done.error().message);
  usage_refused_ = !same();
}

// Without a session for a while: another address of the same receiver may do.
void uplink_core::fail_over() {
  const auto now = clock_.monotonic_ns();
  const bool live =
      sender_.phase() == delivery::sender_phase::live && !is_planted(planted_fault::address_left_while_live);
  if (live || last_live_ns_ == 0)
    last_live_ns_ = now;
  if (is_planted(planted_fault::address_never_left) || config_.addresses.size() < 2
      || now - last_live_ns_ < config_.failover_after.count())
    return;
  last_live_ns_ = now;
  address_ = (address_ + 1) % config_.addresses.size();
  spdlog::info("uplink: no session for {} s; trying {}", config_.failover_after.count() / ns_per_s,
               address());
  sender_.on_disconnected();
  link_.stop();
  start_link();
}

// Opens a connection for the backlog alone where that pays, and closes it when the backlog is gone or nothing comes
// through.
void uplink_core::care_for_backlog() {
  const auto least = config_.backlog_apart_from.count();
  if (least == 0)
    return;
  const auto now = clock_.monotonic_ns();
  const auto unanswered = sender_.counters().unanswered_batches;
  const bool dead = unanswered != std::exchange(seen_unanswered_, unanswered);
  const bool live = sender_.phase() == delivery::sender_phase::live;
  if (link_.has_apart()) {
    if (live && sender_.backlog_flows())
      backlog_seen_ns_ = now;
    if (!live || dead || now - backlog_seen_ns_ > backlog_lasts_ns) {
      spdlog::info("uplink: the backlog's own connection is closed: {}", !live  ? "the session has ended"
                                                                         : dead ? "nothing came through"
                                                                                : "no backlog is left");
      link_.close_apart();
    }
    alone_since_ns_ = now;
    return;
  }
  if (!live || dead || sender_.estimate().round_trip_ns() < least || !sender_.backlog_flows())
    alone_since_ns_ = now;
  if (now - alone_since_ns_ > backlog_lasts_ns) {
    spdlog::info("uplink: the backlog gets a connection of its own, a round trip is {} ms",
                 sender_.estimate().round_trip_ns() / 1'000'000);
    link_.open_apart(address());
    backlog_seen_ns_ = alone_since_ns_ = now;
  }
}

uplink_status uplink_core::status() const {
  uplink_status out;
  out.phase = sender_.phase();
  out.refusal =
      key_refused_ ? "the receiver does not know this edge's key: was it revoked? Join again with a new token"
      : refusal_.empty() ? sender_.refusal()
                         : refusal_;
  out.pending_records = sender_.pending_records();
  out.in_flight_bytes = sender_.in_flight_bytes();
  out.bytes_sent = link_.bytes_sent();
  out.bytes_received = link_.bytes_received();
  out.address = address();
  out.bytes_today = meter_.day_bytes();
  out.bytes_this_month = meter_.month_bytes();
  out.bytes_month_forecast = meter_.month_forecast();
  out.quota_bytes = config_.quota.bytes;
  out.quota = meter_.level();
  out.quota_clock_ahead = meter_.clock_ahead();
  out.set_back_bytes = set_back_bytes_;
  out.backlog_paused = sender_.backlog_paused();
  out.backlog_apart = link_.backlog_apart();
  out.set_aside = sender_.set_aside();
  out.set_asides = out.set_aside.size();
  for (const auto& one : out.set_aside)
    out.set_aside_records += one.records;
  if (out.set_aside.size() > set_asides_shown_max)
    out.set_aside.resize(set_asides_shown_max);
  out.durable_records = sender_.durable_records();
  out.held_back_records = sender_.held_back_records();
  return out;
}

} // namespace skerry::edge
