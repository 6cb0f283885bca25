#include "cloud/ingest/push_core.hpp"

#include <algorithm>

namespace skerry::cloud {

namespace {

constexpr std::int64_t ns_per_second = 1'000'000'000;

std::size_t size_of(const pending_record& record) noexcept {
  return record_header_bytes + record.host.size() + record.payload.size();
}

} // namespace

push_core::push_core(std::shared_ptr<set_catalog> sets, clock_source& clock, random_source& random,
                     to_shard_function to_shard, streams_function streams)
    : sets_(std::move(sets)), to_shard_(std::move(to_shard)), streams_(std::move(streams)) {
  key_.edge = edge_pushed;
  key_.epoch.boot_counter = static_cast<std::uint64_t>(clock.wall_ns() / ns_per_second);
  random.fill(key_.epoch.random);
  key_.stream = stream_id::telemetry;
}

void push_core::take(push_job job) {
  const auto of = std::make_shared<open_job>();
  of->job = std::move(job);
  std::deque<piece> pieces;
  for (std::size_t h = 0; h < of->job.hosts.size(); ++h) {
    const auto& records = of->job.hosts[h].records;
    std::size_t from = 0, bytes = 0;
    for (std::size_t i = 0; i < records.size(); ++i) {
      bytes += size_of(records[i]);
      if (i + 1 == records.size() || bytes >= run_bytes_max || i + 1 - from == run_records_wanted_max) {
        pieces.push_back({of, h, from, i + 1});
        from = i + 1;
        bytes = 0;
      }
    }
  }
  of->pieces = pieces.size();
  if (pieces.empty())
    return of->job.done(ok());
  std::move(pieces.begin(), pieces.end(), std::back_inserter(waiting_));
  start_runs();
}

void push_core::start_runs() {
  while (!waiting_.empty() && runs_.size() < runs_under_way_max)
    start_run();
}

void push_core::start_run() {
  open_run made;
  run_builder builder{key_, next_};
  std::map<std::pair<std::string, shard_id>, std::vector<std::size_t>> by_shard; // places of records
  std::map<std::pair<std::string, shard_id>, std::vector<series_set_ptr>> sets;
  std::size_t places = 0;
  while (!waiting_.empty()) {
    const auto& next = waiting_.front();
    auto& host = next.of->job.hosts[next.host];
    std::size_t bytes = 0;
    for (auto i = next.from; i < next.to; ++i)
      bytes += size_of(host.records[i]);
    if (places != 0
        && (builder.size() + bytes > run_bytes_max || places + next.to - next.from > run_records_wanted_max))
      break;
    const std::pair where{host.site, shard_of(make_host_id(tenant_default, host.site, host.host))};
    auto& of_shard = by_shard[where];
    for (auto i = next.from; i < next.to; ++i) {
      auto& record = host.records[i];
      builder.append(record.kind, record.time_ns, record.host, record.payload, 1, record.flags);
      of_shard.push_back(places++);
      record.payload = {}; // it is in the run now
    }
    auto& of_sets = sets[where];
    for (const auto& set : host.sets)
      if (!sets_->series_in_set(edge_pushed, set->hash))
        of_sets.push_back(set);
    made.pieces.push_back(next);
    waiting_.pop_front();
  }
  const auto all = std::move(builder).finish();
  made.sequences = {next_, all.header.last()};
  made.parts = by_shard.size();
  next_ = all.header.last() + 1;
  const auto records = decode_records(all).value(); // they were just encoded
  const auto ticket = ticket_bit | next_ticket_++;
  range_set ranges;
  ranges.add(made.sequences);
  runs_.emplace(ticket, std::move(made));
  for (auto& [where, of_shard] : by_shard) {
    auto part = std::make_shared<shard_part>();
    part->ticket = ticket;
    part->site = where.first;
    part->from = all;
    part->ranges = ranges;
    part->held_through = finished_.contiguous_through();
    for (const auto place : of_shard)
      part->records.push_back(records[place]);
    part->sets = std::move(sets[where]);
    to_shard_(where.second, std::move(part));
  }
}

void push_core::on_part_stored(std::uint64_t ticket, const std::string& failed) {
  const auto it = runs_.find(ticket);
  if (it == runs_.end())
    return;
  auto& run = it->second;
  if (!failed.empty())
    run.failed = failed;
  if (--run.parts > 0)
    return;
  auto done = std::move(run);
  runs_.erase(it);
  finish(std::move(done));
  start_runs();
}

void push_core::finish(open_run run) {
  finished_.add(run.sequences);
  streams_(std::make_shared<const stream_news_list>(
      stream_news_list{{key_, stream_news::kind::held, finished_.contiguous_through(), true}}));
  for (const auto& piece : run.pieces)
    finish_piece(piece, run.failed);
}

void push_core::finish_piece(const piece& done, const std::string& failed) {
  auto& job = *done.of;
  if (!failed.empty())
    job.failed = failed;
  if (--job.pieces == 0)
    job.job.done(job.failed.empty() ? result<void>{ok()} : result<void>{fail(errc::unavailable, job.failed)});
}

void push_core::refuse_all(const std::string& why) {
  for (const auto& [ticket, run] : runs_)
    for (const auto& piece : run.pieces)
      finish_piece(piece, why);
  runs_.clear();
  for (const auto& piece : waiting_)
    finish_piece(piece, why);
  waiting_.clear();
}

} // namespace skerry::cloud
