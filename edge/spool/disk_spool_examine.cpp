// Who looks at a suspect segment, and when: see examine.hpp for how.

#include "edge/spool/disk_spool.hpp"
#include "edge/spool/examine.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace skerry::edge {

disk_spool::examined disk_spool::examine(const std::filesystem::path& directory, bool always) {
  examined out;
  segment_examiner::outcome seen;
  for (int attempt = 1; examiner_; ++attempt) {
    seen = examiner_->examine(directory, always);
    if (seen.how == segment_examiner::ending::stopped) {
      out.stopped = true;
      return out;
    }
    if (seen.how == segment_examiner::ending::answered || seen.how == segment_examiner::ending::not_started)
      break;
    const bool crashed = seen.how == segment_examiner::ending::crashed;
    (crashed ? metrics_.examined_crashed : metrics_.examined_timed_out).Increment();
    spdlog::warn("spool: segment {} cannot be examined: {}", directory.string(), seen.what);
    if (!crashed || attempt == examine_attempts_max)
      break;
    if (!pause(examine_pause)) {
      out.stopped = true;
      return out;
    }
  }
  if (seen.how == segment_examiner::ending::not_started) {
    if (examiner_) {
      metrics_.examined_here.Increment();
      spdlog::warn("spool: segment {} is examined by the node itself: {}", directory.string(), seen.what);
    }
    static_cast<void>(examine_segment(directory, always, [&](bytes_view part) {
      seen.answer.insert(seen.answer.end(), part.begin(), part.end());
      return !stopping_;
    }));
    if (stopping_) {
      out.stopped = true;
      return out;
    }
  }
  const auto verdict = read_verdict(seen.answer);
  out.wrong = verdict.wrong;
  if (!verdict.whole) // it ended before its time: what it found until then is all there is
    out.wrong = out.wrong ? fmt::format("{}; {}", *out.wrong, seen.what) : seen.what;
  else if (seen.how == segment_examiner::ending::answered)
    (out.wrong ? metrics_.examined_damaged : metrics_.examined_sound).Increment();
  if (out.wrong || always)
    out.answer = shared_bytes::take(std::move(seen.answer));
  return out;
}

bool disk_spool::pause(std::chrono::nanoseconds time) {
  std::unique_lock lock{repair_};
  return !repair_changed_.wait_for(lock, time, [this] { return stopping_.load(); });
}

result<void> disk_spool::suspect(const segment_ptr& found, const std::string& what) const {
  const auto again = [&] {
    return fail(errc::corrupt, fmt::format("segment {} looks damaged ({}) and is being examined; ask again",
                                           found->directory.string(), what));
  };
  std::unique_lock lock{repair_};
  if (stopping_)
    return fail(errc::cancelled, "the spool is closed");
  const auto [entry, first] = suspects_.try_emplace(found->number, to_repair{found, what});
  if (!first && !entry->second.what.empty())
    return again(); // whoever met it first waits for it
  entry->second.what = what;
  unrepaired_.erase(found->number);
  // Reading finds the damage, repairing it is the writer's business: hence the one cast.
  const_cast<disk_spool*>(this)->start_repairing();
  repair_changed_.notify_all();
  const auto number = found->number;
  if (!repair_changed_.wait_for(lock, repair_wait, [&] { return stopping_ || !suspects_.contains(number); })
      || suspects_.contains(number))
    return again();
  if (const auto failed = unrepaired_.find(number); failed != unrepaired_.end())
    return failed->second;
  return ok();
}

void disk_spool::hand_to_repair(const segment_ptr& found, const std::string& what) const {
  const std::lock_guard lock{repair_};
  if (stopping_ || unrepaired_.contains(found->number))
    return;
  const auto entry = suspects_.try_emplace(found->number, to_repair{found, what}).first;
  if (entry->second.what.empty())
    entry->second.what = what;
  const_cast<disk_spool*>(this)->start_repairing(); // as above
  repair_changed_.notify_all();
}

void disk_spool::suspect_later(const std::vector<segment_ptr>& all) {
  const std::lock_guard lock{repair_};
  for (const auto& one : all)
    suspects_.try_emplace(one->number, to_repair{one, {}});
  start_repairing();
}

void disk_spool::start_repairing() {
  if (!repairer_.joinable())
    repairer_ = std::thread{[this] { repair_all(); }};
}

void disk_spool::stop_repairing() {
  {
    const std::lock_guard lock{repair_};
    stopping_ = true;
  }
  repair_changed_.notify_all();
  if (repairer_.joinable())
    repairer_.join();
}

void disk_spool::repair_all() {
  std::unique_lock lock{repair_};
  for (;;) {
    repair_changed_.wait(lock, [this] { return stopping_ || !suspects_.empty(); });
    if (stopping_)
      return;
    // What somebody waits for, then the newest.
    auto next = std::prev(suspects_.end());
    for (auto it = suspects_.begin(); it != suspects_.end(); ++it)
      if (!it->second.what.empty())
        next = it;
    const auto number = next->first;
    const auto one = next->second;
    lock.unlock();
    auto done = result<void>{ok()};
    try {
      done = repair(one.which, one.what);
    } catch (const std::exception& e) { // no memory
      done = fail(errc::io, fmt::format("segment {}: {}", one.which->directory.string(), e.what()));
    }
    lock.lock();
    if (done)
      unrepaired_.erase(number);
    else
      unrepaired_.insert_or_assign(number, done.error());
    suspects_.erase(number);
    repair_changed_.notify_all();
  }
}

result<void> disk_spool::repair(const segment_ptr& found, const std::string& what) {
  {
    const std::lock_guard table{table_};
    if (found->gone) // repaired after somebody had begun to read it
      return ok();
  }
  if (!what.empty()) {
    const std::lock_guard writing{writing_};
    if (found == active_)
      seal_active(); // nobody writes it from here on
  }
  const auto seen = examine(found->directory, false);
  const std::lock_guard writing{writing_};
  {
    const std::lock_guard table{table_};
    if (found->gone || seen.stopped)
      return ok();
  }
  if (!seen.wrong) {
    if (!what.empty())
      spdlog::warn("spool: segment {} looked damaged ({}) and is sound", found->directory.string(), what);
    return ok();
  }
  auto done = set_aside(found, *seen.wrong, seen.answer, nullptr);
  if (!done)
    spdlog::error("spool: {}", done.error().message);
  return done;
}

} // namespace skerry::edge
