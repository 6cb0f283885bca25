#include "edge/gateway/spool_limits.hpp"

#include "schemas/model/frame.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <optional>

namespace skerry::edge {

namespace {

constexpr std::size_t read_bytes = 1 << 20;
constexpr std::size_t run_bytes = 256 << 10;
constexpr std::uint64_t disk_full_bytes = 16
                                          << 20; // with less left it is the disk that is full, not the spool
constexpr int parts_looked_at = 8;               // by one call of make_room(), until one frees something
constexpr int parts_at_once = 16;                // dropped by one call of enforce()
constexpr int parts_seen_max = 4096;             // and looked at

std::uint64_t samples_in(const frame& sections) noexcept {
  std::uint64_t n = 0;
  for (const auto& section : sections.sections)
    n += section.series_count;
  return n;
}

// What replaces the records of one stream: those that stay, and tombstones over those that go.
class replacement {
public:
  replacement(const stream_key& key, loss_cause cause) : key_(key), cause_(cause) {}

  void keep(const record_view& record, std::uint64_t sequences) {
    close_stone();
    start(record.seq);
    builder_->append(record, sequences);
    cut();
  }
  void drop(const record_view& record, std::uint64_t sequences, std::uint64_t samples) {
    const auto last = record.seq + sequences - 1;
    if (stone_ && stone_->last + 1 != record.seq)
      close_stone();
    if (!stone_) {
      stone_.emplace();
      stone_first_ = record.seq;
      stone_->from_ns = stone_->to_ns = record.time_ns;
      stone_->cause = cause_;
    }
    stone_->last = last;
    stone_->from_ns = std::min(stone_->from_ns, record.time_ns);
    stone_->to_ns = std::max(stone_->to_ns, record.time_ns);
    stone_->samples += samples;
    stone_->bytes += record.bytes.size();
  }
  [[nodiscard]] std::vector<run> take() {
    close_stone();
    flush();
    return std::move(runs_);
  }

private:
  void start(sequence first) {
    if (builder_ && builder_->header().last() + 1 != first)
      flush();
    if (!builder_)
      builder_.emplace(key_, first);
  }
  void close_stone() {
    if (!stone_)
      return;
    byte_buffer payload;
    encode_payload(*stone_, payload);
    start(stone_first_);
    builder_->append(record_kind::tombstone, stone_->to_ns, {}, payload, stone_->last - stone_first_ + 1);
    stone_.reset();
    cut();
  }
  void cut() {
    if (builder_->size() >= run_bytes || builder_->header().record_count >= run_records_max)
      flush();
  }
  void flush() {
    if (builder_ && !builder_->empty())
      runs_.push_back(std::move(*builder_).finish());
    builder_.reset();
  }

  stream_key key_;
  loss_cause cause_;
  std::optional<run_builder> builder_;
  std::optional<tombstone> stone_;
  sequence stone_first_ = 0;
  std::vector<run> runs_;
};

} // namespace

result<void> spool_limits_config::validate() const {
  if (thin_step < std::chrono::seconds{1})
    return fail(errc::invalid_argument, "spool.thin_step must be at least 1s");
  if (age_max.count() != 0 && age_max < std::chrono::minutes{1})
    return fail(errc::invalid_argument, "spool.age_max must be 0 or at least 1m");
  return ok();
}

spool_limits::spool_limits(spool_limits_config config, std::shared_ptr<spool> store, clock_source& clock,
                           std::shared_ptr<delivery::claims> claims, std::function<std::uint64_t()> free_disk,
                           std::function<void(run, bool loss)> replaced)
    : config_(config),
      store_(std::move(store)),
      clock_(clock),
      claims_(std::move(claims)),
      free_disk_(std::move(free_disk)),
      replaced_(std::move(replaced)) {}

bool spool_limits::make_room() {
  bool disk = free_disk_ && free_disk_() < std::max(disk_full_bytes, config_.free_disk_min);
  if (disk) {
    store_->trim_kept(true);
    disk = free_disk_() < std::max(disk_full_bytes, config_.free_disk_min);
  }
  const auto cause = disk ? loss_cause::spool_disk : loss_cause::spool_bytes;
  if (config_.policy == full_policy::drop_newest)
    return false;
  // A part that holds only what is under way, or tombstones, does not stand in the way of the next one.
  std::uint64_t after = 0;
  for (int i = 0; i < parts_looked_at; ++i) {
    const auto part = store_->oldest(after);
    if (!part)
      return false;
    if ((config_.policy == full_policy::thin_oldest && shrink(*part, cause, true))
        || shrink(*part, cause, false))
      return true;
    after = part->number;
  }
  return false;
}

void spool_limits::enforce() {
  // What is released already goes before anything else.
  store_->trim_kept(config_.free_disk_min != 0 && free_disk_ && free_disk_() < config_.free_disk_min);
  const auto too_old_ns =
      config_.age_max.count() == 0 ? INT64_MIN : clock_.wall_ns() - config_.age_max.count();
  std::uint64_t after = 0;
  int shrunk = 0;
  for (int i = 0; i < parts_seen_max && shrunk < parts_at_once; ++i) {
    const bool disk = config_.free_disk_min != 0 && free_disk_ && free_disk_() < config_.free_disk_min;
    if (!disk && config_.age_max.count() == 0)
      return;
    const auto part = store_->oldest(after);
    if (!part)
      return;
    if (part->newest_ns < too_old_ns) {
      if (shrink(*part, loss_cause::spool_age, false))
        ++shrunk;
      else
        after = part->number; // what is under way, or tombstones
    } else if (!disk) {
      after = part->number; // a clock that ran ahead for a while does not keep what came later
    } else if (make_room()) {
      ++shrunk;
    } else {
      return;
    }
  }
}

// False: it freed nothing (what is there is under way, or has been shrunk before), or the spool refused.
bool spool_limits::shrink(const spool::oldest_part& part, loss_cause cause, bool thin) {
  std::vector<run> with;
  std::uint64_t gone = 0, samples = 0, bytes_before = 0, bytes_after = 0;
  std::int64_t from_ns = INT64_MAX, to_ns = INT64_MIN;
  // Of each step and source (host and what names its series) the first frame stays.
  std::map<std::pair<std::string, set_hash>, std::int64_t> last_step;
  frame sections;
  const auto step_ns = config_.thin_step.count();
  for (const auto& [key, held] : part.held) {
    if (key.stream == stream_id::alert)
      continue; // they are few, and what the whole thing is for
    replacement makes{key, thin ? loss_cause::thinned : cause};
    const bool looks = claims_ && !planted(config_.planted, planted_fault::thinned_while_in_flight);
    const auto free = looks ? claims_->block(key, held) : held;
    for (const auto& range : free.ranges())
      for (auto at = range.first; at <= range.last;) {
        const auto read = store_->read(key, at, read_bytes);
        if (!read || !read.value() || read.value()->header.first > range.last)
          break; // damaged or released meanwhile
        const auto records = decode_records(*read.value());
        if (!records)
          break;
        for (const auto& record : records.value()) {
          const auto sequences = sequences_of(record).value(); // decode_records() read it
          if (record.seq < at)
            continue;
          if (record.seq + sequences - 1 > range.last)
            break;
          bytes_before += record.bytes.size();
          bool keep = record.kind == record_kind::tombstone || record.kind == record_kind::not_collected
                      || record.kind == record_kind::clock_note;
          std::uint64_t count = 0;
          if (record.kind == record_kind::frame && decode_frame_sections(record.payload, sections)) {
            count = samples_in(sections);
            if (thin && !sections.sections.empty()) {
              const auto step = record.time_ns / step_ns;
              auto& last =
                  last_step.try_emplace({std::string{record.host}, sections.sections.front().set}, INT64_MIN)
                      .first->second;
              keep = step != last;
              last = step;
            }
          } else if (thin) {
            keep = true; // logs and events are no series of points
          }
          if (keep) {
            makes.keep(record, sequences);
            bytes_after += record.bytes.size();
          } else {
            makes.drop(record, sequences, count);
            gone += sequences;
            samples += count;
            from_ns = std::min(from_ns, record.time_ns);
            to_ns = std::max(to_ns, record.time_ns);
          }
        }
        at = read.value()->header.last() + 1;
      }
    auto made = makes.take();
    std::move(made.begin(), made.end(), std::back_inserter(with));
  }
  // To write nine tenths again in order to free one is not worth it.
  const bool worth = gone != 0 && (!thin || bytes_after < bytes_before - bytes_before / 10);
  result<void> done = worth ? store_->replace(with) : ok();
  if (claims_) {
    if (worth && done)
      for (const auto& run : with)
        claims_->replaced(run.header.key, {run.header.first, run.header.last()});
    claims_->unblock_all();
  }
  if (!worth)
    return false;
  if (!done) {
    if (failure_log_.allow())
      spdlog::error("spool: what is too much could not be replaced by tombstones: {}", done.error().message);
    return false;
  }
  (thin ? counters_.thinned_records : counters_.dropped_records) += gone;
  counters_.dropped_samples += samples;
  if (drop_log_.allow())
    spdlog::warn(
        "spool: {} {} records ({} samples, {} s of event time) for want of room or age ({}); they are in the "
        "loss ledger",
        thin ? "thinned out" : "dropped", gone, samples, (to_ns - from_ns) / 1'000'000'000, to_string(cause));
  for (auto& run : with)
    replaced_(std::move(run), !thin);
  return true;
}

} // namespace skerry::edge
