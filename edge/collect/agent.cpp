#include "edge/collect/agent.hpp"

#include "edge/collect/agent_core.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace skerry::edge {

namespace {

std::int64_t whole_ms(std::int64_t time_ns) { return time_ns / ns_per_ms * ns_per_ms; }

std::chrono::milliseconds timeout_of(const scrape_target& target) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(target.resolved().timeout);
}

// The machine's own collectors. Collecting takes as long as it takes: it is never under way.
class local_agent_source final : public agent_source {
public:
  local_agent_source(std::shared_ptr<local_collection> of, std::string host)
      : of_(std::move(of)), host_(std::move(host)) {}

  std::chrono::nanoseconds interval() const override { return of_->interval; }
  std::int64_t first_due(std::int64_t) const override { return 0; }
  std::int64_t sample_time(std::int64_t due_ns, std::int64_t now_ns) const override {
    return now_ns - due_ns <= scrape_late_max_ns ? due_ns : whole_ms(now_ns);
  }
  std::int64_t next_due(std::int64_t now_ns, std::int64_t time_ns) const override {
    const auto interval = of_->interval.count();
    const auto offset = of_->offset.count();
    const auto next = ((now_ns - offset) / interval + 1) * interval + offset;
    // After one that was not on time, as the first: two within a millisecond would be one sample in the end.
    return next / ns_per_ms == time_ns / ns_per_ms ? next + interval : next;
  }
  std::optional<collection> collect(std::int64_t time_ns, std::int64_t monotonic_ns) override {
    return of_->collect(time_ns, monotonic_ns, host_);
  }
  bool goes_first() const override { return true; }
  std::string describe() const override { return "this machine"; }
  due_watch* watch() override { return of_->watch.get(); }

private:
  std::shared_ptr<local_collection> of_;
  std::string host_;
};

// A target: the fetcher asks it, and its page becomes samples here or, if that takes long, at the page reader.
class target_source final : public agent_source {
public:
  target_source(scrape_target_ptr target, agent_actor owner)
      : target_(std::move(target)), owner_(std::move(owner)) {}

  void assign(const managed_target& to, const target_assignment& from) {
    pages_ = from.pages;
    reader_ = from.reader;
    if (options_version_ == to.options_version)
      return;
    options_version_ = to.options_version;
    options_error_.clear();
    if (!to.options)
      options_error_ = to.options.error().message;
    else if (auto slot = pages_->open(to.options.value()))
      slot_ = std::move(slot).value();
    else
      options_error_ = slot.error().message;
  }

  std::chrono::nanoseconds interval() const override { return target_->interval(); }
  std::int64_t first_due(std::int64_t now_ns) const override { return target_->next_scrape_time(now_ns); }
  std::int64_t sample_time(std::int64_t due_ns, std::int64_t now_ns) const override {
    return target_->sample_time(due_ns, now_ns);
  }
  std::int64_t next_due(std::int64_t now_ns, std::int64_t) const override {
    return target_->next_scrape_time(now_ns);
  }
  std::optional<collection> collect(std::int64_t time_ns, std::int64_t monotonic_ns) override {
    auto work = std::make_shared<scrape_work>();
    work->target = target_;
    work->time_ns = time_ns;
    work->monotonic_ns = monotonic_ns;
    work->from = owner_;
    work->why = target_->forced_error;
    if (work->why.empty())
      work->why = options_error_;
    if (work->why.empty()) {
      auto request = target_->request();
      request.timeout = timeout_of(*target_);
      const auto begun =
          pages_->fetch(slot_, std::move(request), [to = owner_, work](fetch_response response) {
            work->response = std::move(response);
            caf::anon_send(to, work);
          });
      if (begun)
        return std::nullopt;
      work->why = begun.error().message;
    }
    work->what = scrape_work::kind::failure;
    return read(std::move(work));
  }
  // nullopt: the page reader does it, and answers.
  std::optional<collection> read(scrape_work_ptr work) {
    at_reader_ = work->is_large();
    if (at_reader_) {
      caf::anon_send(reader_, std::move(work));
      return std::nullopt;
    }
    return done(do_work(*work));
  }
  collection done(scrape_answer answer) {
    at_reader_ = false;
    keep_spare_page(std::move(answer.spare));
    return std::move(answer.made);
  }
  // It is no more. What that gives; nothing where the page reader does it.
  collection end(std::int64_t time_ns, std::int64_t monotonic_ns) {
    auto work = std::make_shared<scrape_work>();
    work->what = scrape_work::kind::end;
    work->target = target_;
    work->time_ns = time_ns;
    work->monotonic_ns = monotonic_ns;
    if (!at_reader_ && !work->is_large())
      return do_work(*work).made;
    caf::anon_send(reader_, std::move(work));
    return {};
  }
  void note_skipped() override { target_->note_skipped(); }
  bool answers() const override { return target_->status().health != target_health::down; }
  std::string describe() const override {
    const auto& all = target_->resolved().all;
    return fmt::format("job {} instance {}", value_of(all, "job"), value_of(all, "instance"));
  }
  due_watch* watch() override { return &target_->watch; }

  std::uint64_t assignment = 0; // the last that named it

private:
  scrape_target_ptr target_;
  agent_actor owner_;
  std::shared_ptr<fetcher> pages_;
  page_reader_actor reader_;
  fetch_slot_ptr slot_;
  std::uint64_t options_version_ = 0;
  std::string options_error_; // why it cannot be asked; empty: it can
  bool at_reader_ = false;    // the page reader has the target
};

} // namespace

struct agent_state {
  agent_actor self;
  agent_config config;
  std::optional<agent_core> core;
  std::unordered_map<const scrape_target*, std::shared_ptr<target_source>> targets;
  std::uint64_t assignments = 0;

  void init(agent_actor owner, agent_config c) {
    self = std::move(owner);
    config = std::move(c);
    agent_core::outputs out;
    out.send = [this](collection made) { config.inbox->put(std::move(made), config.gateway); };
    out.missed = [this](std::uint64_t count) {
      if (config.missed != nullptr)
        config.missed->Increment(static_cast<double>(count));
    };
    core.emplace(config.host, *config.clock, std::move(out));
    if (config.local)
      core->add(std::make_shared<local_agent_source>(config.local, config.host));
  }

  // One that was taken away meanwhile: its series have ended already.
  [[nodiscard]] target_source* find(const scrape_target_ptr& target) const {
    const auto it = targets.find(target.get());
    return it == targets.end() ? nullptr : it->second.get();
  }

  void on_response(scrape_work_ptr& work) {
    if (auto* from = find(work->target))
      if (auto made = from->read(std::move(work)))
        core->on_collected(*from, std::move(*made));
  }

  void on_answer(scrape_answer& answer) {
    if (auto* from = find(answer.target))
      core->on_collected(*from, from->done(std::move(answer)));
    else
      keep_spare_page(std::move(answer.spare));
  }

  void assign(const target_assignment& assignment) {
    ++assignments;
    for (const auto& wanted : assignment.targets) {
      auto& source = targets[wanted.target.get()];
      const bool fresh = !source;
      if (fresh)
        source = std::make_shared<target_source>(wanted.target, self);
      source->assignment = assignments;
      source->assign(wanted, assignment);
      if (fresh)
        core->add(source);
    }
    const auto now = whole_ms(config.clock->wall_ns());
    for (auto it = targets.begin(); it != targets.end();) {
      auto& old = *it->second;
      if (old.assignment == assignments) {
        ++it;
        continue;
      }
      if (auto last = old.end(now, config.clock->monotonic_ns()); !last.records.empty())
        config.inbox->put(std::move(last), config.gateway);
      core->remove(old);
      it = targets.erase(it);
    }
  }

  void stop() {
    core.reset();
    targets.clear();
    config.gateway = nullptr;
    self = nullptr;
  }
};

namespace {

agent_actor::behavior_type agent(agent_actor::stateful_pointer<agent_state> self, agent_config config) {
  self->state.init(caf::actor_cast<agent_actor>(self), std::move(config));
  // One timer is enough: a tick for an earlier due time makes the later one spurious, and harmless.
  auto arm = [self](std::chrono::nanoseconds after) {
    caf::delayed_anon_send(self->state.self, std::chrono::duration_cast<std::chrono::microseconds>(after),
                           tick_atom_v);
  };
  auto next_tick = std::make_shared<std::int64_t>(0);
  auto tick = [self, arm, next_tick] {
    const auto now = self->state.config.clock->monotonic_ns();
    const auto after = self->state.core->run_due();
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
        self->state.stop();
        self->quit();
      },
  };
}

} // namespace

agent_actor spawn_agent(caf::actor_system& system, agent_config config) {
  return system.spawn(agent, std::move(config));
}

} // namespace skerry::edge
