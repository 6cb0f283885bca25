#include "edge/collect/agent_core.hpp"

#include "schemas/time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace skerry::edge {

namespace {

constexpr std::int64_t turn_max_ns = 60'000'000'000; // a stepped clock is noticed within

} // namespace

void agent_core::add(std::shared_ptr<agent_source> source) {
  follow_clock(); // a step that nobody has seen yet is none of this source's
  const auto now = clock_.wall_ns();
  auto& made = sources_[source.get()];
  made.source = std::move(source);
  made.complete_ns = now;
  complete_.insert(now);
  if (made.source->goes_first())
    first_.push_back(&made);
  set_due(made, made.source->first_due(now));
}

void agent_core::remove(const agent_source& source) {
  const auto it = sources_.find(&source);
  if (it == sources_.end())
    return;
  due_.erase(&it->second);
  std::erase(first_, &it->second);
  complete_.erase(complete_.find(it->second.complete_ns));
  sources_.erase(it);
}

// The newest time up to which every source of this host has been collected.
std::int64_t agent_core::complete_through() const { return complete_.empty() ? 0 : *complete_.begin(); }

// What is due by the wall clock, said by the boot clock: for whoever asks how late it is, a clock that is set is no delay.
void agent_core::watch(const entry& of, std::int64_t due_ns) const {
  if (auto* to = of.source->watch(); to != nullptr && due_ns != 0)
    to->set_due(due_ns - clock_.wall_ns() + clock_.monotonic_ns());
}

void agent_core::set_due(entry& of, std::int64_t due_ns) {
  due_.erase(&of);
  of.due_ns = due_ns;
  due_.insert(&of);
  if (!of.under_way)
    watch(of, due_ns);
}

void agent_core::set_complete(entry& of, std::int64_t time_ns) {
  complete_.erase(complete_.find(of.complete_ns));
  of.complete_ns = time_ns;
  complete_.insert(time_ns);
}

pending_record agent_core::gap_of(std::int64_t from_ns, std::int64_t to_ns, loss_cause cause,
                                  std::string detail) const {
  pending_record gap;
  gap.kind = record_kind::not_collected;
  gap.host = host_;
  gap.time_ns = to_ns;
  encode_payload(not_collected{from_ns, to_ns, cause, std::move(detail)}, gap.payload);
  return gap;
}

void agent_core::send(collection from) {
  const auto through = complete_through();
  if (through > watermark_ns_) {
    watermark_ns_ = through;
    // A host with one source spares the record: its frame says it.
    const auto frame = std::find_if(from.records.rbegin(), from.records.rend(), [&](const pending_record& r) {
      return r.kind == record_kind::frame && r.time_ns == through;
    });
    if (sources_.size() == 1 && frame != from.records.rend()) {
      frame->flags |= flag_watermark;
    } else {
      pending_record mark;
      mark.kind = record_kind::watermark;
      mark.host = host_;
      mark.time_ns = through;
      encode_payload(watermark{}, mark.payload);
      from.records.push_back(std::move(mark));
    }
  }
  if (!from.records.empty())
    out_.send(std::move(from));
}

// When a source answers again, the time in which it was silent is named; and what was skipped before this collection.
void agent_core::note_gaps(entry& from, collection& to) {
  if (from.skipped_since_ns != 0 && from.skipped_since_ns < from.sample_ns) {
    if (from.silent_since_ns == 0)
      to.records.push_back(gap_of(from.skipped_since_ns, from.sample_ns, loss_cause::collector_failed,
                                  fmt::format("{}: {} scrapes were due while the one before was under way",
                                              from.source->describe(), from.skipped)));
    from.skipped_since_ns = 0;
    from.skipped = 0;
  }
  if (!from.source->answers()) {
    if (from.silent_since_ns == 0)
      from.silent_since_ns = from.sample_ns;
    return;
  }
  if (from.silent_since_ns == 0)
    return;
  to.records.push_back(
      gap_of(from.silent_since_ns, from.sample_ns, loss_cause::target_down, from.source->describe()));
  from.silent_since_ns = 0;
}

void agent_core::collect(entry& from, std::int64_t now_ns) {
  const auto due_ns = from.due_ns;
  const auto time_ns = from.source->sample_time(due_ns, now_ns);
  set_due(from, from.source->next_due(now_ns, time_ns));
  if (from.under_way) { // slower than its interval
    from.source->note_skipped();
    if (out_.missed)
      out_.missed(1);
    ++from.skipped;
    if (from.skipped_since_ns == 0)
      from.skipped_since_ns = due_ns;
    return;
  }
  from.sample_ns = time_ns;
  if (auto made = from.source->collect(time_ns, clock_.monotonic_ns())) {
    finish(from, std::move(*made));
    return;
  }
  from.under_way = true;
  watch(from, due_ns); // until it is done
}

void agent_core::on_collected(const agent_source& source, collection made) {
  const auto it = sources_.find(&source);
  if (it == sources_.end())
    return; // taken away meanwhile
  it->second.under_way = false;
  watch(it->second, it->second.due_ns);
  finish(it->second, std::move(made));
}

void agent_core::finish(entry& from, collection made) {
  set_complete(from, from.sample_ns);
  note_gaps(from, made);
  send(std::move(made));
}

// Where the wall clock was set since the last turn, what is due and what is being waited for moves along: how long
// something took, the boot clock alone says.
void agent_core::follow_clock() {
  const auto step = pauses_.follow(clock_); // what is due stays on whole milliseconds
  if (step == 0)
    return;
  if (step < 0)
    watermark_ns_ = 0; // up to a time that has not come yet
  due_.clear();
  for (auto& each : sources_) {
    auto& from = each.second;
    if (from.due_ns != 0)
      from.due_ns += step;
    due_.insert(&from);
    watch(from, from.under_way ? from.sample_ns + step : from.due_ns);
    if (from.silent_since_ns != 0)
      from.silent_since_ns += step;
    if (from.skipped_since_ns != 0)
      from.skipped_since_ns += step;
  }
}

// A turn that comes so late that the next collection was due already: the process was stopped or had no time, or the
// machine slept. What was due in between was not collected, and that is said.
void agent_core::note_pause(std::int64_t now_ns) {
  for (const auto* from : due_) {
    if (from->due_ns > now_ns)
      break;
    pauses_.look(from->due_ns, from->source->interval().count(), now_ns);
  }
  const auto pause = pauses_.take();
  if (pause.from_ns == 0)
    return;
  if (out_.missed)
    out_.missed(pause.missed);
  collection made;
  made.records.push_back(gap_of(pause.from_ns, now_ns, loss_cause::node_off,
                                "the process was stopped or had no time, or the machine slept"));
  out_.send(std::move(made));
}

std::chrono::nanoseconds agent_core::run_due() {
  const auto now = clock_.wall_ns();
  follow_clock();
  note_pause(now);
  // A clock that was set back by less than a step must not silence a source until it has caught up.
  if (now < std::exchange(looked_ns_, now))
    for (auto& each : sources_)
      if (auto& from = each.second; from.due_ns - now > from.source->interval().count() + ns_per_ms)
        set_due(from, from.source->next_due(now, from.sample_ns));
  for (auto* one : first_)
    if (one->due_ns <= now)
      collect(*one, now);
  while (!due_.empty() && (*due_.begin())->due_ns <= now)
    collect(**due_.begin(), now);
  auto next = now + turn_max_ns;
  if (!due_.empty())
    next = std::min(next, (*due_.begin())->due_ns);
  return std::chrono::nanoseconds{std::max<std::int64_t>(next - clock_.wall_ns(), 0)};
}

} // namespace skerry::edge
