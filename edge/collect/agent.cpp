#include "edge/collect/agent.hpp"

#include "schemas/model/payload.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace skerry::edge {

namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::chrono::nanoseconds pause_min = std::chrono::milliseconds{500}; // beyond an interval
constexpr std::int64_t clock_step_ns = 50'000'000; // NTP's slewing stays below; a clock that is set does not
constexpr std::chrono::nanoseconds tick_max = std::chrono::seconds{60}; // a stepped clock is noticed within

std::chrono::milliseconds timeout_of(const scrape_target& target) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(target.resolved().timeout);
}

} // namespace

struct agent_state {
  struct source {
    scrape_target_ptr target;
    fetch_slot_ptr slot;
    std::uint64_t options_version = 0;
    std::string options_error; // why it cannot be asked; empty: it can
    std::int64_t due_ns = 0;
    std::int64_t sample_ns = 0; // of the scrape under way
    std::int64_t began_monotonic_ns = 0;
    bool under_way = false;
    std::int64_t complete_ns = 0;   // collected up to here
    std::int64_t down_since_ns = 0; // it has not answered since; 0: it answers
  };

  agent_actor self;
  agent_config config;
  std::shared_ptr<fetcher> pages;
  std::vector<source> sources;
  std::int64_t local_due_ns = 0; // the machine's own
  std::int64_t local_complete_ns = 0;
  std::int64_t watermark_ns = 0;
  std::int64_t clock_offset_ns = 0; // wall clock minus boot clock, at the last turn; 0: there was none

  [[nodiscard]] std::size_t source_count() const { return sources.size() + (config.local ? 1 : 0); }

  // The newest time up to which every source of this host has been collected.
  [[nodiscard]] std::int64_t complete_through() const {
    auto through = config.local ? local_complete_ns : INT64_MAX;
    for (const auto& from : sources)
      through = std::min(through, from.complete_ns);
    return through == INT64_MAX ? 0 : through;
  }

  void send(collection from) {
    const auto through = complete_through();
    if (through > watermark_ns) {
      watermark_ns = through;
      // A host with one source spares the record: its frame says it.
      const auto frame =
          std::find_if(from.records.rbegin(), from.records.rend(), [&](const pending_record& r) {
            return r.kind == record_kind::frame && r.time_ns == through;
          });
      if (source_count() == 1 && frame != from.records.rend()) {
        frame->flags |= flag_watermark;
      } else {
        pending_record mark;
        mark.kind = record_kind::watermark;
        mark.host = config.host;
        mark.time_ns = through;
        encode_payload(watermark{}, mark.payload);
        from.records.push_back(std::move(mark));
      }
    }
    if (!from.records.empty())
      config.inbox->put(std::move(from), config.gateway);
  }

  // When a target answers again, the time in which it was silent is named.
  void note_silence(source& from, collection& to) {
    if (from.target->status().health == target_health::down) {
      if (from.down_since_ns == 0)
        from.down_since_ns = from.sample_ns;
      return;
    }
    if (from.down_since_ns == 0)
      return;
    const auto& labels_of = from.target->resolved().all;
    auto detail =
        fmt::format("job {} instance {}", value_of(labels_of, "job"), value_of(labels_of, "instance"));
    pending_record gap;
    gap.kind = record_kind::not_collected;
    gap.host = config.host;
    gap.time_ns = from.sample_ns;
    encode_payload(
        not_collected{from.down_since_ns, from.sample_ns, loss_cause::target_down, std::move(detail)},
        gap.payload);
    to.records.push_back(std::move(gap));
    from.down_since_ns = 0;
  }

  void finish_scrape(source& from, collection made) {
    from.complete_ns = from.sample_ns;
    note_silence(from, made);
    send(std::move(made));
  }

  void collect_local(std::int64_t now) {
    auto& local = *config.local;
    const auto interval = local.interval.count();
    const auto late = now - local_due_ns;
    const auto time = late <= scrape_late_max_ns ? local_due_ns : now / ns_per_ms * ns_per_ms;
    const auto offset = local.offset.count();
    local_due_ns = ((now - offset) / interval + 1) * interval + offset;
    // After one that was not on time, as the first: two within a millisecond would be one sample in the end.
    if (local_due_ns / ns_per_ms == time / ns_per_ms)
      local_due_ns += interval;
    local_complete_ns = time;
    send(local.collect(time, config.clock->monotonic_ns(), config.host));
  }

  void scrape(source& from, std::int64_t now) {
    const auto due = from.due_ns;
    from.due_ns = from.target->next_scrape_time(now);
    if (from.under_way) { // slower than its interval
      from.target->note_skipped();
      return;
    }
    from.sample_ns = from.target->sample_time(due, now);
    from.began_monotonic_ns = config.clock->monotonic_ns();
    const std::string forced = from.target->forced_error;
    if (!forced.empty() || !from.options_error.empty()) {
      finish_scrape(from, from.target->fail(forced.empty() ? from.options_error : forced, from.sample_ns,
                                            from.began_monotonic_ns));
      return;
    }
    auto target = from.target;
    auto request = target->request();
    request.timeout = timeout_of(*target);
    const auto begun =
        pages->fetch(from.slot, std::move(request), [to = self, target](fetch_response response) {
          caf::anon_send(to, std::make_shared<scrape_answer>(scrape_answer{target, std::move(response)}));
        });
    if (begun) {
      from.under_way = true;
      return;
    }
    finish_scrape(from, target->fail(begun.error().message, from.sample_ns, from.began_monotonic_ns));
  }

  void on_answer(scrape_answer& answer) {
    const auto it = std::find_if(sources.begin(), sources.end(),
                                 [&](const source& s) { return s.target == answer.target; });
    if (it == sources.end())
      return; // taken away meanwhile; its series have ended already
    it->under_way = false;
    finish_scrape(*it, it->target->process(answer.response, it->sample_ns, it->began_monotonic_ns));
  }

  void assign(const target_assignment& assignment) {
    pages = assignment.pages;
    const auto now = config.clock->wall_ns();
    std::vector<source> next;
    next.reserve(assignment.targets.size());
    for (const auto& wanted : assignment.targets) {
      const auto old = std::find_if(sources.begin(), sources.end(),
                                    [&](const source& s) { return s.target == wanted.target; });
      source s;
      if (old != sources.end())
        s = std::move(*old);
      s.target = wanted.target;
      if (s.due_ns == 0) {
        s.due_ns = s.target->next_scrape_time(now);
        s.complete_ns = now;
      }
      if (s.options_version != wanted.options_version) {
        s.options_version = wanted.options_version;
        s.options_error.clear();
        if (wanted.options) {
          if (auto slot = pages->open(wanted.options.value()))
            s.slot = std::move(slot).value();
          else
            s.options_error = slot.error().message;
        } else {
          s.options_error = wanted.options.error().message;
        }
      }
      next.push_back(std::move(s));
    }
    for (auto& old : sources)
      if (old.target
          && std::none_of(next.begin(), next.end(), [&](const source& s) { return s.target == old.target; }))
        send(old.target->end(now / ns_per_ms * ns_per_ms, config.clock->monotonic_ns()));
    sources = std::move(next);
  }

  // Where the wall clock was set since the last turn, what is due and what is being waited for moves along: how long
  // something took, the boot clock alone says.
  void follow_clock(std::int64_t now) {
    const auto before = std::exchange(clock_offset_ns, now - config.clock->monotonic_ns());
    const auto moved = clock_offset_ns - before;
    if (before == 0 || std::llabs(moved) < clock_step_ns)
      return;
    const auto step = moved / ns_per_ms * ns_per_ms; // what is due stays on whole milliseconds
    if (step < 0)
      watermark_ns = 0; // up to a time that has not come yet
    if (local_due_ns != 0)
      local_due_ns += step;
    for (auto& from : sources) {
      from.due_ns += step;
      if (from.down_since_ns != 0)
        from.down_since_ns += step;
    }
  }

  // A tick that comes late by more than an interval: the process was stopped, or the machine slept. What was due in
  // between was not collected, and that is said.
  void note_pause(std::int64_t now) {
    std::int64_t from_ns = 0;
    const auto look = [&](std::int64_t due_ns, std::int64_t interval_ns) {
      if (due_ns != 0 && now - due_ns > interval_ns + pause_min.count())
        from_ns = from_ns == 0 ? due_ns : std::min(from_ns, due_ns);
    };
    if (config.local)
      look(local_due_ns, config.local->interval.count());
    for (const auto& from : sources)
      look(from.due_ns, from.target->interval().count());
    if (from_ns == 0)
      return;
    pending_record gap;
    gap.kind = record_kind::not_collected;
    gap.host = config.host;
    gap.time_ns = now;
    encode_payload(
        not_collected{from_ns, now, loss_cause::node_off, "the process was stopped or the machine slept"},
        gap.payload);
    collection made;
    made.records.push_back(std::move(gap));
    config.inbox->put(std::move(made), config.gateway);
  }

  // Runs what is due and says when the next thing will be.
  std::chrono::nanoseconds run_due() {
    const auto now = config.clock->wall_ns();
    follow_clock(now);
    note_pause(now);
    if (config.local && now >= local_due_ns)
      collect_local(now);
    for (auto& from : sources) {
      // A clock that was set back must not silence a target until it has caught up.
      if (from.due_ns - now > from.target->interval().count())
        from.due_ns = from.target->next_scrape_time(now);
      if (now >= from.due_ns)
        scrape(from, now);
    }
    auto next = now + tick_max.count();
    if (config.local) {
      if (local_due_ns - now > config.local->interval.count() + ns_per_ms)
        local_due_ns = now + config.local->interval.count();
      next = std::min(next, local_due_ns);
    }
    for (const auto& from : sources)
      next = std::min(next, from.due_ns);
    return std::chrono::nanoseconds{std::max<std::int64_t>(next - config.clock->wall_ns(), 0)};
  }
};

namespace {

agent_actor::behavior_type agent(agent_actor::stateful_pointer<agent_state> self, agent_config config) {
  self->state.self = caf::actor_cast<agent_actor>(self);
  self->state.config = std::move(config);
  // One timer is enough: a tick for an earlier due time makes the later one spurious, and harmless.
  auto arm = [self](std::chrono::nanoseconds after) {
    caf::delayed_anon_send(self->state.self, std::chrono::duration_cast<std::chrono::microseconds>(after),
                           tick_atom_v);
  };
  auto next_tick = std::make_shared<std::int64_t>(0);
  auto tick = [self, arm, next_tick] {
    const auto now = self->state.config.clock->monotonic_ns();
    const auto after = self->state.run_due();
    // Only an earlier tick than the one that is on its way is armed.
    if (*next_tick <= now || now + after.count() < *next_tick) {
      *next_tick = now + after.count();
      arm(after);
    }
  };
  if (self->state.config.local)
    tick();
  return {
      [tick](tick_atom) { tick(); },
      [self](scrape_answer_ptr& answer) { self->state.on_answer(*answer); },
      [self, tick](const target_assignment_ptr& assignment) {
        self->state.assign(*assignment);
        tick();
      },
      [self](stop_atom) {
        self->state.sources.clear();
        self->state.pages.reset();
        self->state.config.gateway = nullptr;
        self->state.self = nullptr;
        self->quit();
      },
  };
}

} // namespace

agent_actor spawn_agent(caf::actor_system& system, agent_config config) {
  return system.spawn(agent, std::move(config));
}

} // namespace skerry::edge
