// The writer's thread: group commits and rotation.

#include "cloud/store/embedded_engine.hpp"
#include "schemas/model/set_memory.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace skerry::cloud {

std::filesystem::path log_directory(const embedded_config& config, std::uint64_t number);
std::uint64_t log_map_bytes(const embedded_config& config);

namespace {

constexpr std::size_t group_bytes_max = 8 << 20;
constexpr std::size_t group_requests_max = 8192;
constexpr std::size_t request_overhead_bytes = 256;
constexpr std::size_t probe_bytes = 64 << 10;
constexpr auto idle_check = std::chrono::seconds{1};
constexpr std::chrono::nanoseconds full_tolerated =
    std::chrono::seconds{10}; // a burst makes appends wait for the sealer

void finish(std::function<void(result<void>)>& done, const result<void>& how) {
  if (done)
    done(how);
}

} // namespace

void embedded_engine::append(append_request request, callback done) {
  std::size_t bytes = request_overhead_bytes;
  for (const auto& r : request.records)
    bytes += r.bytes.size();
  for (const auto& s : request.sets)
    bytes += s ? memory_bytes(*s) : 0;
  for (const auto& s : request.state)
    bytes += s.key.size() + s.value.size();
  enqueue({std::move(request), std::move(done), bytes, false}, true);
}

void embedded_engine::put_state(std::vector<state_update> updates, callback done) {
  append_request request;
  request.state = std::move(updates);
  request.fence = 0; // of no shard
  append(std::move(request), std::move(done));
}

void embedded_engine::enqueue(queued item, bool bounded) {
  result<void> refused = ok();
  bool wake = true;
  {
    const std::lock_guard lock{queue_mutex_};
    if (stop_writing_)
      refused = fail(errc::unavailable, "the store is shutting down");
    else if (bounded
             && (queue_.size() >= config_.queue_requests_max
                 || queue_bytes_ + item.bytes > config_.queue_bytes_max))
      refused =
          fail(errc::exhausted, fmt::format("the store's queue is full ({} requests, {} bytes); retry later",
                                            queue_.size(), queue_bytes_));
    else {
      queue_bytes_ += item.bytes;
      queue_.push_back(std::move(item));
      // While a group gathers, the writer looks by itself: a wake-up for each request costs more than the request.
      wake = !gathering_ || queue_bytes_ >= group_bytes_max;
    }
  }
  if (!refused) {
    metrics_.appends_refused.Increment();
    finish(item.done, refused);
    return;
  }
  if (wake)
    queue_changed_.notify_one();
}

std::uint64_t embedded_engine::total_log_bytes() const {
  const std::lock_guard lock{logs_mutex_};
  std::uint64_t bytes = 0;
  for (const auto& log : logs_)
    bytes += log->bytes();
  return bytes;
}

std::uint64_t embedded_engine::log_data_bytes() const {
  const std::lock_guard lock{logs_mutex_};
  std::uint64_t bytes = 0;
  for (const auto& log : logs_)
    bytes += log->data_bytes();
  return bytes;
}

std::uint64_t embedded_engine::log_memory_bytes() const {
  const std::lock_guard lock{logs_mutex_};
  std::uint64_t bytes = registry_.memory_bytes();
  for (const auto& log : logs_)
    bytes += log->source_bytes();
  return bytes;
}

bool embedded_engine::log_is_full() const {
  if (log_data_bytes() >= config_.log_bytes_max)
    return true;
  if (log_memory_bytes() < config_.log_memory_bytes_max)
    return false;
  // Where sealing could free nothing, queries still hold what was sealed: they let go by themselves.
  const std::lock_guard lock{logs_mutex_};
  return logs_.size() > 1 || logs_.back()->index_bytes() != 0;
}

bool embedded_engine::current_is_old() const {
  const std::lock_guard lock{logs_mutex_};
  const auto& current = logs_.back();
  return hooks_.clock->monotonic_ns() - current->created_ns() > config_.log_age_max.count()
         && !current->empty();
}

void embedded_engine::write_loop() {
  bool told_full = false;
  for (;;) {
    std::vector<queued> group;
    bool rotate_after = false;
    {
      std::unique_lock lock{queue_mutex_};
      queue_changed_.wait_for(lock, idle_check, [&] { return stop_writing_ || !queue_.empty(); });
      if (queue_.empty() && stop_writing_)
        return;
      if (!queue_.empty() && !stop_writing_ && queue_bytes_ < group_bytes_max) {
        gathering_ = true;
        queue_changed_.wait_for(lock, config_.commit_gather,
                                [&] { return stop_writing_ || queue_bytes_ >= group_bytes_max; });
        gathering_ = false;
      }
      const bool full = log_is_full();
      if (full && !queue_.empty() && !queue_.front().rotate) {
        if (!told_full)
          spdlog::warn(
              "store: the write-ahead log has reached {} bytes, and {} in memory; appends wait until "
              "some is sealed",
              log_data_bytes(), log_memory_bytes());
        told_full = true;
        note_full(true);
        if (stop_writing_) {
          for (auto& item : queue_)
            finish(item.done, fail(errc::unavailable, "the store is shutting down"));
          queue_.clear();
          return;
        }
        lock.unlock();
        // Everything but what is being written goes to the sealer.
        if (oldest_closed() == nullptr)
          tell(rotate(), "cannot begin a new log");
        std::unique_lock logs{logs_mutex_};
        logs_changed_.wait_for(logs, std::chrono::milliseconds{100});
        continue;
      }
      told_full = told_full && full;
      note_full(full);
      std::size_t bytes = 0;
      while (!queue_.empty() && group.size() < group_requests_max
             && (group.empty() || bytes < group_bytes_max) && !rotate_after) {
        bytes += queue_.front().bytes;
        queue_bytes_ -= queue_.front().bytes;
        rotate_after = queue_.front().rotate;
        group.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      metrics_.queue_requests.Set(static_cast<double>(queue_.size()));
      metrics_.queue_bytes.Set(static_cast<double>(queue_bytes_));
    }
    auto marker = rotate_after ? std::move(group.back()) : queued{};
    if (rotate_after)
      group.pop_back();
    if (!group.empty())
      write_group(group);
    else
      probe();
    bool large = false;
    {
      const std::lock_guard lock{logs_mutex_};
      large = logs_.back()->data_bytes() >= segment_bytes()
              || logs_.back()->index_bytes() >= config_.log_memory_bytes_max / 2;
      rotate_after = rotate_after && !logs_.back()->empty();
    }
    result<void> rotated = ok();
    if (large || rotate_after || current_is_old())
      rotated = rotate();
    tell(rotated, "cannot begin a new log");
    finish(marker.done, rotated);
  }
}

void embedded_engine::write_group(std::vector<queued>& group) {
  std::shared_ptr<log_env> current;
  log_list all = logs();
  current = all.back();
  log_batch batch{*current, registry_};
  state_admission state{state_};
  std::vector<result<void>> results;
  results.reserve(group.size());
  std::map<shard_id, std::uint64_t> fences;
  std::uint64_t committed_bytes = 0;
  for (auto& item : group) {
    auto& request = item.request;
    if (request.fence != 0) {
      auto& fence = fences.try_emplace(request.shard, fences_[request.shard]).first->second;
      if (request.fence < fence) {
        results.push_back(
            fail(errc::forbidden, fmt::format("shard {} is owned by epoch {}, the append is of {}",
                                              request.shard, fence, request.fence)));
        continue;
      }
      if (request.fence > std::max<std::uint64_t>(fence, 1))
        request.state.push_back(
            {fmt::format("engine/fence/{}", request.shard), std::to_string(request.fence)});
      fence = request.fence;
    }
    if (auto fits = state.admit(request.state); !fits) {
      metrics_.state_refused.Increment();
      results.push_back(std::move(fits));
      continue;
    }
    // Held by any log: the same run may come again under another owner or after a lost answer.
    std::vector<range_set> held;
    for (const auto& log : all)
      log->with_index([&](const log_index& index) {
        if (const auto it = index.stored.find(request.origin); it != index.stored.end())
          held.push_back(it->second);
      });
    const auto repeated = [&](const record_view& record) {
      return std::any_of(held.begin(), held.end(),
                         [&](const range_set& r) { return r.contains(record.seq); });
    };
    auto added = batch.add(request, repeated, [&](const set_hash& hash) {
      return find_stored_set({request.origin.edge, hash});
    });
    if (added)
      committed_bytes += item.bytes;
    results.push_back(std::move(added));
  }
  const auto began = std::chrono::steady_clock::now();
  auto committed = batch.commit();
  metrics_.commit_seconds.Observe(
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  note_commit(committed);
  if (committed) {
    if (batch.oldest_ns() != INT64_MAX)
      changes().note(batch.oldest_ns());
    metrics_.commits.Increment();
    metrics_.appended_bytes.Increment(static_cast<double>(committed_bytes));
    metrics_.repeated_records.Increment(static_cast<double>(batch.repeated()));
    for (std::size_t i = 0; i < group.size(); ++i)
      if (results[i]) {
        each_alike(group[i].request.state, [this](std::span<const state_pair> pairs, bool appends) {
          appends ? state_.append(pairs) : state_.apply(pairs);
        });
      }
    for (const auto& [shard, fence] : fences)
      fences_[shard] = fence;
  }
  metrics_.log_bytes.Set(static_cast<double>(total_log_bytes()));
  metrics_.log_memory_bytes.Set(static_cast<double>(log_memory_bytes()));
  metrics_.state_bytes.Set(static_cast<double>(state_.bytes()));
  for (std::size_t i = 0; i < group.size(); ++i) {
    const auto& how = results[i] ? committed : results[i];
    (how ? metrics_.appends : metrics_.appends_failed).Increment();
    finish(group[i].done, how);
    group[i].request = {}; // the bytes may go
  }
}

void embedded_engine::note_full(bool full) {
  const std::lock_guard lock{stall_mutex_};
  if (!full)
    full_since_ns_.reset();
  else if (!full_since_ns_)
    full_since_ns_ = hooks_.clock->monotonic_ns();
}

void embedded_engine::note_commit(const result<void>& how) {
  metrics_.commits_failed.Increment(how ? 0 : 1);
  const std::lock_guard lock{stall_mutex_};
  if (!how && stalled_.empty())
    tell(how, "nothing can be stored");
  else if (how && !stalled_.empty() && failure_lines_.allow())
    spdlog::info("store: it stores again");
  stalled_ = how ? std::string{} : how.error().message;
}

void embedded_engine::tell(const result<void>& how, std::string_view what) {
  if (!how && failure_lines_.allow())
    spdlog::error("store: {}: {}", what, how.error().message);
}

// After a commit that failed, while nobody asks for one: whether there is room again. By something as large as
// what comes, for a few bytes find a place in pages that are there while no batch does.
void embedded_engine::probe() {
  {
    const std::lock_guard lock{stall_mutex_};
    if (stalled_.empty())
      return;
  }
  const auto write = [this](std::size_t bytes) {
    log_batch batch{*logs().back(), registry_};
    const std::string value(bytes, '\0');
    const state_pair pair{"engine/probe", value};
    batch.add_state({&pair, 1});
    return batch.commit();
  };
  auto how = write(probe_bytes);
  if (how)
    how = write(0);
  note_commit(how);
}

result<void> embedded_engine::takes_data() const {
  const std::lock_guard lock{stall_mutex_};
  if (!stalled_.empty())
    return fail(errc::unavailable, "nothing can be stored: " + stalled_);
  if (full_since_ns_ && hooks_.clock->monotonic_ns() - *full_since_ns_ > full_tolerated.count())
    return fail(errc::unavailable,
                "nothing can be stored: the write-ahead log has reached store.log_bytes_max or "
                "store.log_memory_bytes_max, and is not being sealed");
  return ok();
}

// A log begins with a copy of all state: it brings at least as much besides, or copies would be most of what is written.
std::uint64_t embedded_engine::segment_bytes() const {
  return std::max(config_.log_segment_bytes, std::min(state_.bytes(), config_.log_bytes_max / 2));
}

// With all state, so that the ones before it can be deleted.
result<std::shared_ptr<log_env>> embedded_engine::begin_log(std::uint64_t number) {
  const auto directory = log_directory(config_, number);
  const auto all = state_.all();
  // Twice the copy: what of it changes comes on top.
  BOOST_OUTCOME_TRY(log, log_env::create(directory, number, log_map_bytes(config_) + 2 * state_.bytes()));
  log_batch batch{*log, registry_};
  batch.add_all_state(all);
  if (auto committed = batch.commit(); !committed) {
    log.reset();
    remove_directory(directory);
    return committed.error();
  }
  return log;
}

result<void> embedded_engine::rotate() {
  std::uint64_t number = 0;
  {
    const std::lock_guard lock{logs_mutex_};
    number = logs_.back()->number() + 1;
  }
  const auto began = std::chrono::steady_clock::now();
  BOOST_OUTCOME_TRY(log, begin_log(number));
  metrics_.rotation_seconds.Increment(
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  const std::lock_guard lock{logs_mutex_};
  logs_.push_back(std::move(log));
  metrics_.log_environments.Set(static_cast<double>(logs_.size()));
  logs_changed_.notify_all();
  return ok();
}

} // namespace skerry::cloud
