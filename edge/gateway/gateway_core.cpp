#include "edge/gateway/gateway_core.hpp"

#include "edge/gateway/opening_records.hpp"
#include "schemas/model/payload.hpp"
#include "schemas/model/seen_clock.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace skerry::edge {

namespace {

constexpr std::uint64_t group_bytes_refused = 32 << 10;
constexpr int neighbours_max = 1024; // looked at, to tell when something was lost
constexpr int rooms_per_commit = 4;  // parts of the spool that one commit may have dropped

std::uint64_t size_of(const collection& c) noexcept {
  std::uint64_t bytes = 0;
  for (const auto& record : c.records)
    bytes += record_header_bytes + record.host.size() + record.payload.size();
  return bytes;
}

// The job's own records alone: of others in the run that they came in, another job has the series sets, and may fail.
std::vector<run> runs_of(const delivery::delivery_job& job) {
  if (job.records.size() == job.from.header.record_count)
    return {job.from};
  std::vector<run> out;
  for (std::size_t i = 0; i < job.records.size();) {
    auto next = job.records[i].seq;
    run_builder builder{job.from.header.key, next, job.from.header.tenant};
    for (; i < job.records.size() && job.records[i].seq == next; ++i) {
      const auto sequences = sequences_of(job.records[i]).value(); // the receiver read it
      builder.append(job.records[i], sequences);
      next += sequences;
    }
    out.push_back(std::move(builder).finish());
  }
  return out;
}

} // namespace

gateway_core::gateway_core(gateway_core_config config, std::shared_ptr<spool> store, clock_source& clock,
                           outputs to)
    : config_(std::move(config)),
      store_(std::move(store)),
      clock_(clock),
      to_(std::move(to)),
      limits_(config_.limits, store_, config_.under_way, config_.free_disk, [this](run made, bool loss) {
        std::vector<run> runs;
        runs.push_back(std::move(made));
        to_.hand_over({std::move(runs), loss ? link::lane::alert : link::lane::backlog, true});
      }) {}

void gateway_core::count_limits() {
  counters_.dropped_records = limits_.counters().dropped_records;
  counters_.thinned_records = limits_.counters().thinned_records;
  counters_.lost_samples = limits_.counters().dropped_samples;
}

bool gateway_core::make_room() {
  const bool made = limits_.make_room();
  count_limits();
  return made;
}

void gateway_core::enforce_limits() {
  limits_.enforce();
  count_limits();
}

void gateway_core::open() {
  collection opening;
  opening.records = opening_records(store_->report(), clock_, config_.commit_interval, wall_offset_ns_);
  opened_ns_ = clock_.monotonic_ns();
  if (const auto last_ns = store_->report().last_commit_ns; last_ns >= wall_offset_ns_ + opened_ns_)
    off_since_ns_ = last_ns;
  take(std::move(opening));
}

void gateway_core::hand_over(std::vector<run> runs, link::lane lane) {
  to_.hand_over({std::move(runs), lane, false});
}

void gateway_core::note_dropped(std::uint64_t samples_lost, std::int64_t from_ns, std::int64_t to_ns) {
  // A disk that fails, or is too slow for what comes, is the disk's fault too.
  const auto cause = exhausted_ ? limits_.full_cause() : loss_cause::spool_disk;
  const auto [it, first] = dropped_.try_emplace(cause, time_range{from_ns, to_ns});
  it->second.from_ns = std::min(it->second.from_ns, from_ns);
  it->second.to_ns = std::max(it->second.to_ns, to_ns);
  counters_.dropped += samples_lost;
}

void gateway_core::take(collection from) {
  queue_bytes_ += size_of(from);
  queue_.push_back(std::move(from));
  while (queue_bytes_ > config_.queue_bytes_max && queue_.size() > 1) {
    // What tells of this opening and of losses is small and is never dropped.
    const auto oldest =
        std::find_if(queue_.begin(), queue_.end(), [](const auto& c) { return c.samples != 0; });
    if (oldest == queue_.end())
      return;
    queue_bytes_ -= size_of(*oldest);
    if (oldest->done) {
      const auto done = std::move(oldest->done);
      queue_.erase(oldest);
      done(fail(errc::exhausted, "too much waits for the spool already"));
      continue;
    }
    for (const auto& record : oldest->records)
      if (has_node_time(record.kind, record.payload))
        note_dropped(0, record.time_ns, record.time_ns);
    counters_.dropped += oldest->samples;
    queue_.erase(oldest);
  }
}

bool gateway_core::commit() {
  int rooms = 0;
  while (!queue_.empty())
    if (!commit_group() && (!exhausted_ || ++rooms > rooms_per_commit || !make_room())) {
      refuse_waiting({exhausted_ ? errc::exhausted : errc::unavailable, refusal_});
      return queue_.empty();
    }
  return true;
}

// Whoever waits for an answer gets it, and comes again.
void gateway_core::refuse_waiting(const error& why) {
  std::vector<collection> refused;
  std::deque<collection> stay;
  for (auto& c : queue_)
    if (c.done) {
      queue_bytes_ -= size_of(c);
      refused.push_back(std::move(c));
    } else {
      stay.push_back(std::move(c));
    }
  queue_ = std::move(stay);
  for (const auto& c : refused)
    c.done(why);
}

// Commits as much of the queue as fits one group. False: the spool took nothing.
bool gateway_core::commit_group() {
  std::vector<pending_record> records;
  std::vector<series_set_ptr> sets;
  std::uint64_t bytes = 0, group_samples = 0;
  const auto wall_offset_ns = wall_offset_ns_;
  if (auto note = clock_note_if_moved(clock_, wall_offset_ns_))
    records.push_back(std::move(*note));
  const bool off_known = off_since_ns_ != 0 && off_since_ns_ < wall_offset_ns_ + opened_ns_;
  if (off_known)
    records.push_back(not_collected_record(off_since_ns_, wall_offset_ns_ + opened_ns_, loss_cause::node_off,
                                           "the edge process was not running"));
  if (!planted(config_.planted, planted_fault::drop_unsaid))
    for (const auto& [cause, when] : dropped_)
      records.push_back(not_collected_record(when.from_ns, when.to_ns, cause,
                                             cause == loss_cause::spool_bytes
                                                 ? "the spool had reached its limit and took nothing"
                                                 : "the spool's disk had no room and took nothing"));
  const auto extra = records.size();
  std::size_t taken = 0;
  // Where the spool refused, little goes at a time: the reserve lets small commits through.
  const auto bytes_max = refused_ ? group_bytes_refused : config_.group_bytes_max;
  while (taken < queue_.size() && (taken == 0 || bytes < bytes_max)
         && records.size() + queue_[taken].records.size() <= run_records_max) {
    auto& c = queue_[taken++];
    bytes += size_of(c);
    group_samples += c.samples;
    std::move(c.records.begin(), c.records.end(), std::back_inserter(records));
    sets.insert(sets.end(), c.sets.begin(), c.sets.end());
  }
  std::sort(sets.begin(), sets.end());
  sets.erase(std::unique(sets.begin(), sets.end()), sets.end());
  auto committed = store_->commit(stream_id::telemetry, records, sets);
  if (!committed) {
    ++counters_.commit_failures;
    refused_ = true;
    exhausted_ = committed.error().code == errc::exhausted;
    wall_offset_ns_ = wall_offset_ns; // the note goes with the next try
    // The records go back to where they came from, for the next try.
    auto from = records.begin() + static_cast<std::ptrdiff_t>(extra);
    for (std::size_t i = 0; i < taken; ++i)
      for (auto& record : queue_[i].records)
        record = std::move(*from++);
    refusal_ = committed.error().message;
    if (!refusal_logged_ && refusal_log_.allow()) {
      refusal_logged_ = true;
      spdlog::error("gateway: nothing was committed, {} collections wait in memory and are tried again: {}",
                    queue_.size(), refusal_);
    }
    return false;
  }
  dropped_.clear();
  if (off_known)
    off_since_ns_ = 0;
  exhausted_ = false;
  refusal_.clear();
  if (std::exchange(refusal_logged_, false))
    spdlog::info("gateway: the spool takes records again");
  refused_ = !queue_.empty() && refused_ && taken < queue_.size();
  counters_.samples += group_samples;
  std::vector<std::function<void(const result<void>&)>> waiting;
  for (std::size_t i = 0; i < taken; ++i)
    if (queue_[i].done)
      waiting.push_back(std::move(queue_[i].done));
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(taken));
  queue_bytes_ = 0;
  for (const auto& c : queue_)
    queue_bytes_ += size_of(c);
  if (to_.committed)
    to_.committed(committed.value().header);
  std::vector<run> runs;
  runs.push_back(std::move(committed).value());
  hand_over(std::move(runs), link::lane::live);
  for (const auto& done : waiting)
    done(ok());
  return true;
}

void gateway_core::replace_lost() {
  if (planted(config_.planted, planted_fault::tombstone_not_written))
    return;
  for (const auto& stream : store_->streams()) {
    for (const auto& range : stream.lost.ranges()) {
      tombstone stone;
      stone.last = range.last;
      // It happened between the records around it, where those are still here.
      stone.from_ns = seen_near(stream, range.first - 1, -1).value_or(0);
      stone.to_ns = seen_near(stream, range.last + 1, +1).value_or(clock_.wall_ns());
      stone.from_ns = std::min(stone.from_ns, stone.to_ns); // a clock that was set back in between
      stone.cause = loss_cause::corrupt;
      byte_buffer payload;
      encode_payload(stone, payload);
      run_builder builder{stream.key, range.first};
      builder.append(record_kind::tombstone, stone.to_ns, {}, payload, range.last - range.first + 1);
      std::vector<run> runs;
      runs.push_back(std::move(builder).finish());
      if (const auto adopted = store_->adopt(runs, {}); !adopted) {
        spdlog::error("gateway: records {} to {} of {} are lost, and that cannot be noted yet: {}",
                      range.first, range.last, to_string(stream.key), adopted.error().message);
        return;
      }
      spdlog::warn("gateway: records {} to {} of {} were damaged on disk: a tombstone stands for them",
                   range.first, range.last, to_string(stream.key));
      hand_over(std::move(runs), link::lane::alert); // as what limits force out
    }
  }
}

// When the record at `seq` was seen, or the nearest in this direction that tells: one whose time is its target's own does
// not.
std::optional<std::int64_t> gateway_core::seen_near(const stream_state& stream, sequence seq,
                                                    int direction) const {
  for (int i = 0; i < neighbours_max && stream.held.contains(seq);
       ++i, seq += static_cast<sequence>(direction)) {
    const auto read = store_->read(stream.key, seq, 1);
    if (!read || !read.value() || read.value()->header.first != seq)
      break;
    const auto record = decode_record(read.value()->records());
    if (!record)
      break;
    if (has_node_time(record.value().kind, record.value().payload))
      return record.value().time_ns;
  }
  return std::nullopt;
}

std::vector<std::string> gateway_core::adopt(std::span<const delivery::delivery_job* const> jobs) {
  std::vector<spool::adopted_set> sets;
  std::vector<std::vector<run>> of_jobs;
  std::vector<run> all;
  for (const auto* job : jobs) {
    for (const auto& set : job->sets)
      sets.push_back({job->from.header.key.edge, set});
    const auto& its = of_jobs.emplace_back(runs_of(*job));
    all.insert(all.end(), its.begin(), its.end());
  }
  auto adopted = store_->adopt(all, sets);
  if (!adopted && jobs.size() == 1 && adopted.error().code == errc::exhausted && make_room())
    adopted = store_->adopt(all, sets);
  if (adopted) {
    for (std::size_t i = 0; i < jobs.size(); ++i)
      hand_over(of_jobs[i], jobs[i]->lane);
    return std::vector<std::string>(jobs.size());
  }
  if (jobs.size() == 1)
    return {adopted.error().message.empty() ? "the spool refused" : adopted.error().message};
  std::vector<std::string> failed; // one that cannot be taken does not keep the others out
  for (const auto* job : jobs)
    failed.push_back(adopt(std::span{&job, 1}).front());
  return failed;
}

void gateway_core::release(const stream_key& key, const range_set& ranges) {
  if (const auto done = store_->release(key, ranges); !done)
    spdlog::error("gateway: a release was not recorded: {}", done.error().message);
}

void gateway_core::close() {
  commit();
  refuse_waiting({errc::unavailable, "the node is stopping"});
  if (const auto closed = store_->close(); !closed)
    spdlog::error("gateway: the spool did not close in order: {}", closed.error().message);
  store_.reset();
}

} // namespace skerry::edge
