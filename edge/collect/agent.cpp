#include "edge/collect/agent.hpp"

#include "edge/collect/pause_watch.hpp"
#include "schemas/model/payload.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

namespace skerry::edge {

namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;
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
    bool at_reader = false;            // the page reader has the target
    std::int64_t complete_ns = 0;      // collected up to here
    std::int64_t down_since_ns = 0;    // it has not answered since; 0: it answers
    std::int64_t skipped_since_ns = 0; // the first that was due since while one was under way; 0: none
    std::uint64_t skipped = 0;
    std::uint64_t assignment = 0; // the last that named it
  };
  struct earlier {
    bool operator()(const source* a, const source* b) const noexcept {
      return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a < b;
    }
  };

  agent_actor self;
  agent_config config;
  std::shared_ptr<fetcher> pages;
  page_reader_actor reader;
  std::unordered_map<const scrape_target*, source> sources;
  std::set<source*, earlier> due;
  std::multiset<std::int64_t> complete; // of all sources
  std::uint64_t assignments = 0;
  std::int64_t local_due_ns = 0; // the machine's own
  std::int64_t local_complete_ns = 0;
  std::int64_t watermark_ns = 0;
  std::int64_t looked_ns = 0; // wall clock of the last turn
  pause_watch pauses;

  [[nodiscard]] std::size_t source_count() const { return sources.size() + (config.local ? 1 : 0); }

  // The newest time up to which every source of this host has been collected.
  [[nodiscard]] std::int64_t complete_through() const {
    auto through = config.local ? local_complete_ns : INT64_MAX;
    if (!complete.empty())
      through = std::min(through, *complete.begin());
    return through == INT64_MAX ? 0 : through;
  }

  // What is due by the wall clock, said by the boot clock: for whoever asks how late it is, a clock that is set is no delay.
  void watch_due(due_watch& watch, std::int64_t due_ns) const {
    watch.set_due(due_ns - config.clock->wall_ns() + config.clock->monotonic_ns());
  }

  void set_due(source& of, std::int64_t due_ns) {
    due.erase(&of);
    of.due_ns = due_ns;
    due.insert(&of);
    if (!of.under_way)
      watch_due(of.target->watch, due_ns);
  }

  void set_complete(source& of, std::int64_t time_ns) {
    complete.erase(complete.find(of.complete_ns));
    of.complete_ns = time_ns;
    complete.insert(time_ns);
  }

  void set_local_due(std::int64_t due_ns) {
    local_due_ns = due_ns;
    if (config.local->watch)
      watch_due(*config.local->watch, due_ns);
  }

  [[nodiscard]] pending_record gap_of(std::int64_t from_ns, std::int64_t to_ns, loss_cause cause,
                                      std::string detail) const {
    pending_record gap;
    gap.kind = record_kind::not_collected;
    gap.host = config.host;
    gap.time_ns = to_ns;
    encode_payload(not_collected{from_ns, to_ns, cause, std::move(detail)}, gap.payload);
    return gap;
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

  // When a target answers again, the time in which it was silent is named; and what was skipped before this scrape.
  void note_gaps(source& from, collection& to) {
    const auto& labels_of = from.target->resolved().all;
    const auto name =
        fmt::format("job {} instance {}", value_of(labels_of, "job"), value_of(labels_of, "instance"));
    if (from.skipped_since_ns != 0 && from.skipped_since_ns < from.sample_ns) {
      if (from.down_since_ns == 0)
        to.records.push_back(gap_of(
            from.skipped_since_ns, from.sample_ns, loss_cause::collector_failed,
            fmt::format("{}: {} scrapes were due while the one before was under way", name, from.skipped)));
      from.skipped_since_ns = 0;
      from.skipped = 0;
    }
    if (from.target->status().health == target_health::down) {
      if (from.down_since_ns == 0)
        from.down_since_ns = from.sample_ns;
      return;
    }
    if (from.down_since_ns == 0)
      return;
    to.records.push_back(gap_of(from.down_since_ns, from.sample_ns, loss_cause::target_down, name));
    from.down_since_ns = 0;
  }

  void collect_local(std::int64_t now) {
    auto& local = *config.local;
    const auto interval = local.interval.count();
    const auto late = now - local_due_ns;
    const auto time = late <= scrape_late_max_ns ? local_due_ns : now / ns_per_ms * ns_per_ms;
    const auto offset = local.offset.count();
    auto next = ((now - offset) / interval + 1) * interval + offset;
    // After one that was not on time, as the first: two within a millisecond would be one sample in the end.
    if (next / ns_per_ms == time / ns_per_ms)
      next += interval;
    set_local_due(next);
    local_complete_ns = time;
    send(local.collect(time, config.clock->monotonic_ns(), config.host));
  }

  void scrape(source& from, std::int64_t now) {
    const auto due_ns = from.due_ns;
    set_due(from, from.target->next_scrape_time(now));
    if (from.under_way) { // slower than its interval
      from.target->note_skipped();
      if (config.missed != nullptr)
        config.missed->Increment();
      ++from.skipped;
      if (from.skipped_since_ns == 0)
        from.skipped_since_ns = due_ns;
      return;
    }
    watch_due(from.target->watch, due_ns); // until it is done
    from.under_way = true;
    from.sample_ns = from.target->sample_time(due_ns, now);
    from.began_monotonic_ns = config.clock->monotonic_ns();
    const auto work = std::make_shared<scrape_work>();
    work->target = from.target;
    work->time_ns = from.sample_ns;
    work->monotonic_ns = from.began_monotonic_ns;
    work->from = self;
    work->why = from.target->forced_error;
    if (work->why.empty())
      work->why = from.options_error;
    if (work->why.empty()) {
      auto request = from.target->request();
      request.timeout = timeout_of(*from.target);
      const auto begun =
          pages->fetch(from.slot, std::move(request), [to = self, work](fetch_response response) {
            work->response = std::move(response);
            caf::anon_send(to, work);
          });
      if (begun)
        return;
      work->why = begun.error().message;
    }
    work->what = scrape_work::kind::failure;
    read(from, work);
  }

  void on_response(const scrape_work_ptr& work) {
    if (const auto it = sources.find(work->target.get()); it != sources.end())
      read(it->second, work); // else it was taken away meanwhile; its series have ended already
  }

  void read(source& from, const scrape_work_ptr& work) {
    from.at_reader = work->is_large();
    if (from.at_reader) {
      caf::anon_send(reader, work);
      return;
    }
    auto answer = do_work(*work);
    on_answer(answer);
  }

  void on_answer(scrape_answer& answer) {
    keep_spare_page(std::move(answer.spare));
    const auto it = sources.find(answer.target.get());
    if (it == sources.end())
      return; // taken away meanwhile; its series have ended already
    auto& from = it->second;
    from.under_way = false;
    from.at_reader = false;
    watch_due(from.target->watch, from.due_ns);
    set_complete(from, from.sample_ns);
    note_gaps(from, answer.made);
    send(std::move(answer.made));
  }

  void assign(const target_assignment& assignment) {
    pages = assignment.pages;
    reader = assignment.reader;
    ++assignments;
    const auto now = config.clock->wall_ns();
    for (const auto& wanted : assignment.targets) {
      const auto [it, fresh] = sources.try_emplace(wanted.target.get());
      auto& s = it->second;
      s.assignment = assignments;
      if (fresh) {
        s.target = wanted.target;
        s.complete_ns = now;
        complete.insert(now);
        set_due(s, s.target->next_scrape_time(now));
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
    }
    for (auto it = sources.begin(); it != sources.end();) {
      auto& old = it->second;
      if (old.assignment == assignments) {
        ++it;
        continue;
      }
      const auto work = std::make_shared<scrape_work>();
      work->what = scrape_work::kind::end;
      work->target = old.target;
      work->time_ns = now / ns_per_ms * ns_per_ms;
      work->monotonic_ns = config.clock->monotonic_ns();
      if (old.at_reader || work->is_large()) {
        caf::anon_send(reader, work);
      } else if (auto last = do_work(*work).made; !last.records.empty()) {
        config.inbox->put(std::move(last), config.gateway);
      }
      due.erase(&old);
      complete.erase(complete.find(old.complete_ns));
      it = sources.erase(it);
    }
  }

  // Where the wall clock was set since the last turn, what is due and what is being waited for moves along: how long
  // something took, the boot clock alone says.
  void follow_clock() {
    const auto step = pauses.follow(*config.clock); // what is due stays on whole milliseconds
    if (step == 0)
      return;
    if (step < 0)
      watermark_ns = 0; // up to a time that has not come yet
    if (local_due_ns != 0)
      set_local_due(local_due_ns + step);
    due.clear();
    for (auto& each : sources) {
      auto& from = each.second;
      from.due_ns += step;
      due.insert(&from);
      watch_due(from.target->watch, from.under_way ? from.sample_ns + step : from.due_ns);
      if (from.down_since_ns != 0)
        from.down_since_ns += step;
      if (from.skipped_since_ns != 0)
        from.skipped_since_ns += step;
    }
  }

  // A turn that comes so late that the next collection was due already: the process was stopped or had no time, or the
  // machine slept. What was due in between was not collected, and that is said.
  void note_pause(std::int64_t now) {
    if (config.local)
      pauses.look(local_due_ns, config.local->interval.count(), now);
    for (const auto* from : due) {
      if (from->due_ns > now)
        break;
      pauses.look(from->due_ns, from->target->interval().count(), now);
    }
    const auto pause = pauses.take();
    if (pause.from_ns == 0)
      return;
    if (config.missed != nullptr)
      config.missed->Increment(static_cast<double>(pause.missed));
    collection made;
    made.records.push_back(gap_of(pause.from_ns, now, loss_cause::node_off,
                                  "the process was stopped or had no time, or the machine slept"));
    config.inbox->put(std::move(made), config.gateway);
  }

  // Runs what is due and says when the next thing will be.
  std::chrono::nanoseconds run_due() {
    const auto now = config.clock->wall_ns();
    follow_clock();
    note_pause(now);
    if (config.local && now >= local_due_ns)
      collect_local(now);
    // A clock that was set back must not silence a target until it has caught up.
    if (now < std::exchange(looked_ns, now))
      for (auto& [target, from] : sources)
        if (from.due_ns - now > target->interval().count())
          set_due(from, target->next_scrape_time(now));
    while (!due.empty() && (*due.begin())->due_ns <= now)
      scrape(**due.begin(), now);
    auto next = now + tick_max.count();
    if (config.local) {
      if (local_due_ns - now > config.local->interval.count() + ns_per_ms)
        set_local_due(now + config.local->interval.count());
      next = std::min(next, local_due_ns);
    }
    if (!due.empty())
      next = std::min(next, (*due.begin())->due_ns);
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
      [self](scrape_work_ptr& work) { self->state.on_response(work); },
      [self](scrape_answer_ptr& answer) { self->state.on_answer(*answer); },
      [self, tick](const target_assignment_ptr& assignment) {
        self->state.assign(*assignment);
        tick();
      },
      [self](stop_atom) {
        self->state.due.clear();
        self->state.sources.clear();
        self->state.pages.reset();
        self->state.reader = nullptr;
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
