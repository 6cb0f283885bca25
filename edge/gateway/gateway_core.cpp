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
        const bool first = loss || made.header.key.stream == stream_id::alert;
        std::vector<run> runs;
        runs.push_back(std::move(made));
        to_.hand_over({std::move(runs), first ? link::lane::alert : link::lane::backlog, true});
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
  const auto cause = telemetry_.exhausted ? limits_.full_cause() : loss_cause::spool_disk;
  const auto [it, first] = dropped_.try_emplace(cause, time_range{from_ns, to_ns});
  it->second.from_ns = std::min(it->second.from_ns, from_ns);
  it->second.to_ns = std::max(it->second.to_ns, to_ns);
  counters_.dropped += samples_lost;
}

std::uint64_t gateway_core::queue_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto& [stream, queue] : queues_)
    bytes += queue.bytes;
  return bytes;
}

const std::string& gateway_core::refusal() const noexcept {
  for (const auto& [stream, queue] : queues_)
    if (!queue.refusal.empty() && !queue.all.empty()) // else whoever made them keeps them
      return queue.refusal;
  return telemetry_.refusal;
}

void gateway_core::take(collection from) {
  for (auto& [stream, part] : by_stream(std::move(from)))
    if (stream == stream_id::telemetry)
      take_telemetry(std::move(part));
    else
      take_other(queues_[stream], std::move(part));
}

void gateway_core::take_telemetry(collection from) {
  telemetry_.bytes += size_of(from);
  telemetry_.all.push_back(std::move(from));
  while (telemetry_.bytes > config_.queue_bytes_max && telemetry_.all.size() > 1) {
    // What tells of this opening and of losses is small and is never dropped.
    const auto oldest = std::find_if(telemetry_.all.begin(), telemetry_.all.end(),
                                     [](const auto& c) { return c.samples != 0; });
    if (oldest == telemetry_.all.end())
      return;
    telemetry_.bytes -= size_of(*oldest);
    if (oldest->done) {
      const auto done = std::move(oldest->done);
      telemetry_.all.erase(oldest);
      done(fail(errc::exhausted, "too much waits for the spool already"));
      continue;
    }
    for (const auto& record : oldest->records)
      if (has_node_time(record.kind, record.payload))
        note_dropped(0, record.time_ns, record.time_ns);
    counters_.dropped += oldest->samples;
    telemetry_.all.erase(oldest);
  }
}

void gateway_core::take_other(stream_queue& to, collection from) {
  const auto bytes = size_of(from);
  if (!to.all.empty() && to.bytes + bytes > config_.alert_queue_bytes_max) {
    counters_.alerts_refused += from.records.size();
    if (from.done)
      from.done(fail(errc::exhausted, "too many alerts wait for the spool already"));
    else if (refusal_log_.allow())
      spdlog::error("gateway: {} alerts are not kept: {} bytes of them wait for the spool already",
                    from.records.size(), to.bytes);
    return;
  }
  to.bytes += bytes;
  to.all.push_back(std::move(from));
}

bool gateway_core::commit() {
  bool all = true;
  for (auto& [stream, queue] : queues_)
    all = commit_stream(stream, queue) && all;
  return all;
}

bool gateway_core::commit_stream(stream_id stream, stream_queue& from) {
  int rooms = 0;
  while (!from.all.empty())
    if (!commit_group(stream, from) && (!from.exhausted || ++rooms > rooms_per_commit || !make_room())) {
      refuse_waiting(from, {from.exhausted ? errc::exhausted : errc::unavailable, from.refusal});
      return from.all.empty();
    }
  return true;
}

// Whoever waits for an answer gets it, and comes again.
void gateway_core::refuse_waiting(stream_queue& of, const error& why) {
  std::vector<collection> refused;
  std::deque<collection> stay;
  for (auto& c : of.all)
    if (c.done) {
      of.bytes -= size_of(c);
      refused.push_back(std::move(c));
    } else {
      stay.push_back(std::move(c));
    }
  of.all = std::move(stay);
  for (const auto& c : refused)
    c.done(why);
}

// Commits as much of the queue as fits one group. False: the spool took nothing.
bool gateway_core::commit_group(stream_id stream, stream_queue& from) {
  std::vector<pending_record> records;
  std::vector<series_set_ptr> sets;
  std::uint64_t bytes = 0, group_samples = 0;
  const bool telemetry = stream == stream_id::telemetry; // what tells of the node itself goes there
  const auto wall_offset_ns = wall_offset_ns_;
  bool off_known = false;
  if (telemetry) {
    if (auto note = clock_note_if_moved(clock_, wall_offset_ns_))
      records.push_back(std::move(*note));
    off_known = off_since_ns_ != 0 && off_since_ns_ < wall_offset_ns_ + opened_ns_;
    if (off_known)
      records.push_back(not_collected_record(off_since_ns_, wall_offset_ns_ + opened_ns_,
                                             loss_cause::node_off, "the edge process was not running"));
    if (!planted(config_.planted, planted_fault::drop_unsaid))
      for (const auto& [cause, when] : dropped_)
        records.push_back(not_collected_record(when.from_ns, when.to_ns, cause,
                                               cause == loss_cause::spool_bytes
                                                   ? "the spool had reached its limit and took nothing"
                                                   : "the spool's disk had no room and took nothing"));
  }
  const auto extra = records.size();
  std::size_t taken = 0;
  // Where the spool refused, little goes at a time: the reserve lets small commits through.
  const auto bytes_max = from.refused ? group_bytes_refused : config_.group_bytes_max;
  while (taken < from.all.size() && (taken == 0 || bytes < bytes_max)
         && records.size() + from.all[taken].records.size() <= run_records_max) {
    auto& c = from.all[taken++];
    bytes += size_of(c);
    group_samples += c.samples;
    std::move(c.records.begin(), c.records.end(), std::back_inserter(records));
    sets.insert(sets.end(), c.sets.begin(), c.sets.end());
  }
  std::sort(sets.begin(), sets.end());
  sets.erase(std::unique(sets.begin(), sets.end()), sets.end());
  auto committed = store_->commit(stream, records, sets);
  if (!committed) {
    ++counters_.commit_failures;
    from.refused = true;
    from.exhausted = committed.error().code == errc::exhausted;
    wall_offset_ns_ = wall_offset_ns; // the note goes with the next try
    // The records go back to where they came from, for the next try.
    auto record = records.begin() + static_cast<std::ptrdiff_t>(extra);
    for (std::size_t i = 0; i < taken; ++i)
      for (auto& to : from.all[i].records)
        to = std::move(*record++);
    from.refusal = committed.error().message;
    if (!from.refusal_logged && refusal_log_.allow()) {
      from.refusal_logged = true;
      spdlog::error("gateway: nothing was committed, {} collections of stream {} wait in memory and are "
                    "tried again: {}",
                    from.all.size(), to_string(stream), from.refusal);
    }
    return false;
  }
  if (telemetry)
    dropped_.clear();
  if (off_known)
    off_since_ns_ = 0;
  from.exhausted = false;
  from.refusal.clear();
  if (std::exchange(from.refusal_logged, false))
    spdlog::info("gateway: the spool takes records of stream {} again", to_string(stream));
  from.refused = from.refused && taken < from.all.size();
  counters_.samples += group_samples;
  counters_.alerts += telemetry ? 0 : records.size();
  std::vector<std::function<void(const result<void>&)>> waiting;
  for (std::size_t i = 0; i < taken; ++i)
    if (from.all[i].done)
      waiting.push_back(std::move(from.all[i].done));
  from.all.erase(from.all.begin(), from.all.begin() + static_cast<std::ptrdiff_t>(taken));
  from.bytes = 0;
  for (const auto& c : from.all)
    from.bytes += size_of(c);
  if (to_.committed)
    to_.committed(committed.value().header);
  std::vector<run> runs;
  runs.push_back(std::move(committed).value());
  hand_over(std::move(runs), stream == stream_id::alert ? link::lane::alert : link::lane::live);
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
  for (auto& [stream, queue] : queues_)
    refuse_waiting(queue, {errc::unavailable, "the node is stopping"});
  if (const auto closed = store_->close(); !closed)
    spdlog::error("gateway: the spool did not close in order: {}", closed.error().message);
  store_.reset();
}

} // namespace skerry::edge
