#include "edge/gateway/spool_limits.hpp"

#include "schemas/model/frame.hpp"
#include "schemas/model/seen_clock.hpp"

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
constexpr int parts_looked_at = 8;    // and read by one call of make_room(), until one frees something
constexpr int parts_at_once = 16;     // dropped by one call of enforce()
constexpr int parts_seen_max = 4096;  // and looked at
constexpr int stones_beside_max = 16; // tombstones beside what goes, on either side
constexpr std::uint64_t stones_worth_min = 8; // so many are written anew if they become half as many

std::uint64_t samples_in(const frame& sections) noexcept {
  std::uint64_t n = 0;
  for (const auto& section : sections.sections)
    n += section.series_count;
  return n;
}

[[nodiscard]] bool by_limits(loss_cause cause) noexcept {
  return cause == loss_cause::spool_bytes || cause == loss_cause::spool_age || cause == loss_cause::spool_disk
         || cause == loss_cause::thinned;
}

// The tombstone that a record is, where limits made it.
std::optional<tombstone> stone_in(const record_view& record) {
  if (record.kind != record_kind::tombstone || !record.host.empty() || record.flags != 0)
    return std::nullopt;
  const auto stone = decode_tombstone(record.payload);
  return stone && by_limits(stone.value().cause) ? std::optional{stone.value()} : std::nullopt;
}

// What replaces the records of one stream: those that stay, and tombstones over those that go. Tombstones that limits
// made before become one with their neighbours: a spool that is full for months holds no more of them than it has
// parts.
class replacement {
public:
  replacement(const stream_key& key, loss_cause cause) : key_(key), cause_(cause) {}

  void keep(const record_view& record) {
    if (const auto stone = stone_in(record)) {
      ++stones_before_;
      if (stone_ && joins(*stone, record.seq)) {
        join(*stone);
        return;
      }
      close_stone();
      stone_ = stone;
      stone_first_ = record.seq;
      alone_.assign(record.bytes.begin(), record.bytes.end());
      return;
    }
    close_stone();
    start(record.seq);
    builder_->append(record, sequences_of(record).value()); // whoever read it has read that
    cut();
  }
  void drop(const record_view& record, std::int64_t seen_ns, std::uint64_t sequences, std::uint64_t samples) {
    const tombstone one{record.seq + sequences - 1, seen_ns, seen_ns, samples, record.bytes.size(), cause_};
    if (stone_ && joins(one, record.seq)) {
      join(one);
      return;
    }
    close_stone();
    stone_ = one;
    stone_first_ = record.seq;
    alone_.clear();
  }
  [[nodiscard]] std::vector<run> take() {
    close_stone();
    flush();
    return std::move(runs_);
  }
  [[nodiscard]] loss_cause cause() const noexcept { return cause_; }
  // The cause of the tombstone that the next record would join; nullopt: none.
  [[nodiscard]] std::optional<loss_cause> open_cause() const noexcept {
    return stone_ ? std::optional{stone_->cause} : std::nullopt;
  }
  [[nodiscard]] std::uint64_t stones_before() const noexcept { return stones_before_; }
  [[nodiscard]] std::uint64_t stones_after() const noexcept { return stones_after_; }

private:
  [[nodiscard]] bool joins(const tombstone& next, sequence first) const noexcept {
    if (stone_->last + 1 != first)
      return false;
    // Of what was thinned and goes altogether now, the new cause is the whole truth.
    return stone_->cause == next.cause
           || (cause_ != loss_cause::thinned
               && (stone_->cause == loss_cause::thinned || next.cause == loss_cause::thinned));
  }
  void join(const tombstone& next) {
    stone_->last = next.last;
    stone_->from_ns = std::min(stone_->from_ns, next.from_ns);
    stone_->to_ns = std::max(stone_->to_ns, next.to_ns);
    stone_->samples += next.samples;
    stone_->bytes += next.bytes;
    if (stone_->cause == loss_cause::thinned)
      stone_->cause = next.cause;
    alone_.clear();
  }
  void start(sequence first) {
    if (builder_ && builder_->header().last() + 1 != first)
      flush();
    if (!builder_)
      builder_.emplace(key_, first);
  }
  void close_stone() {
    if (!stone_)
      return;
    ++stones_after_;
    const auto sequences = stone_->last - stone_first_ + 1;
    start(stone_first_);
    if (!alone_.empty()) { // nothing joined it: it stays as it is
      builder_->append(decode_record(alone_).value(), sequences);
    } else {
      byte_buffer payload;
      encode_payload(*stone_, payload);
      builder_->append(record_kind::tombstone, stone_->to_ns, {}, payload, sequences);
    }
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
  std::optional<tombstone> stone_; // not written yet: what comes may join it
  sequence stone_first_ = 0;
  byte_buffer alone_; // the record that it came from, while it is that alone
  std::uint64_t stones_before_ = 0;
  std::uint64_t stones_after_ = 0;
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

spool_limits::spool_limits(spool_limits_config config, std::shared_ptr<spool> store,
                           std::shared_ptr<delivery::claims> claims, std::function<std::uint64_t()> free_disk,
                           std::function<void(run, bool loss)> replaced)
    : config_(config),
      store_(std::move(store)),
      claims_(std::move(claims)),
      free_disk_(std::move(free_disk)),
      replaced_(std::move(replaced)) {}

loss_cause spool_limits::full_cause() const {
  const bool disk = free_disk_ && free_disk_() < std::max(disk_full_bytes, config_.free_disk_min);
  return disk ? loss_cause::spool_disk : loss_cause::spool_bytes;
}

bool spool_limits::make_room() {
  auto cause = full_cause();
  if (cause == loss_cause::spool_disk) {
    store_->trim_kept(true);
    cause = full_cause();
  }
  if (drop_refused(cause))
    return true;
  if (config_.policy == full_policy::drop_newest)
    return false;
  // A part that holds only alerts, what is under way, or tombstones does not stand in the way of the next one.
  std::uint64_t after = 0;
  int looked_at = 0;
  int of_alerts = 0; // that hold nothing else that is free
  for (int seen = 0; seen < parts_seen_max && looked_at < parts_looked_at; ++seen) {
    const auto part = store_->oldest(after);
    if (!part)
      return false;
    after = part->number;
    const auto free = what_is_free(*part);
    if (!free.any || (!free.but_alerts && ++of_alerts > parts_looked_at))
      continue;
    looked_at += free.but_alerts ? 1 : 0;
    if ((config_.policy == full_policy::thin_oldest && shrink(*part, cause, way::thin))
        || shrink(*part, cause, way::drop))
      return true;
  }
  return false;
}

spool_limits::free_content spool_limits::what_is_free(const spool::oldest_part& part) const {
  free_content out;
  for (const auto& [key, held] : part.held)
    if (!(claims_ ? claims_->block(key, held, true) : held).empty()) {
      out.any = true;
      out.but_alerts = out.but_alerts || key.stream != stream_id::alert;
    }
  if (claims_)
    claims_->unblock_all();
  return out;
}

// A part with anything else in it stays until that is delivered: to drop what is refused there would free no file.
bool spool_limits::drop_refused(loss_cause cause) {
  const auto refused = claims_ ? claims_->refused() : delivery::refused_records{};
  if (refused.empty())
    return false;
  std::uint64_t after = 0;
  for (int i = 0; i < parts_seen_max; ++i) {
    const auto part = store_->oldest(after);
    if (!part)
      return false;
    after = part->number;
    const bool nothing_else = std::all_of(part->held.begin(), part->held.end(), [&](const auto& one) {
      return one.first.stream != stream_id::alert && refused.covers(one.first, one.second);
    });
    if (nothing_else && shrink(*part, cause, way::clear))
      return true;
  }
  return false;
}

bool spool_limits::is_settled(const stream_key& key, const range_set& held, const range_set& free) const {
  auto rest = held;
  rest.remove(store_->in_closed_parts(key));
  return rest.empty() && free == held;
}

void spool_limits::enforce() {
  // What is released already goes before anything else.
  store_->trim_kept(config_.free_disk_min != 0 && free_disk_ && free_disk_() < config_.free_disk_min);
  const auto too_old_ns =
      config_.age_max.count() == 0 ? INT64_MIN : store_->age_time_ns() - config_.age_max.count();
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
      if (shrink(*part, loss_cause::spool_age, way::drop))
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

std::optional<record_view> spool_limits::stone_at(const run& from, const stream_key& key, sequence at,
                                                  loss_cause cause) {
  const auto record = decode_record(from.records());
  if (!record || record.value().seq > at)
    return std::nullopt;
  const auto stone = stone_in(record.value());
  if (!stone || stone->cause != cause)
    return std::nullopt;
  range_set all;
  all.add({record.value().seq, stone->last});
  auto closed = store_->in_closed_parts(key);
  if (!closed.contains(all.ranges().front()) || (claims_ && claims_->block(key, all, true) != all))
    return std::nullopt;
  return record.value();
}

std::vector<byte_buffer> spool_limits::stones_before(const stream_key& key, sequence first, sequence above,
                                                     loss_cause cause) {
  std::vector<byte_buffer> out;
  for (int i = 0; i < stones_beside_max && first - 1 > above; ++i) {
    const auto read = store_->read(key, first - 1, 1);
    if (!read || !read.value())
      break;
    const auto record = stone_at(*read.value(), key, first - 1, cause);
    if (!record || record->seq <= above || record->seq + sequences_of(*record).value() != first)
      break;
    out.emplace_back(record->bytes.begin(), record->bytes.end());
    first = record->seq;
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<byte_buffer> spool_limits::stones_after(const stream_key& key, sequence last,
                                                    const range_set& not_in, loss_cause cause) {
  std::vector<byte_buffer> out;
  for (int i = 0; i < stones_beside_max && !not_in.contains(last + 1); ++i) {
    const auto read = store_->read(key, last + 1, 1);
    if (!read || !read.value())
      break;
    const auto record = stone_at(*read.value(), key, last + 1, cause);
    if (!record || record->seq != last + 1)
      break;
    const auto ends = last + sequences_of(*record).value();
    if (!not_in.common_with({record->seq, ends}).empty())
      break;
    out.emplace_back(record->bytes.begin(), record->bytes.end());
    last = ends;
  }
  return out;
}

// False: it freed nothing (what is there is under way, or has been shrunk before), or the spool refused.
bool spool_limits::shrink(const spool::oldest_part& part, loss_cause cause, way how) {
  const bool thin = how == way::thin;
  const bool for_room =
      cause != loss_cause::spool_age; // what is durable and not safe is old for seconds, as a rule
  bool ends = !thin;
  std::vector<run> with;
  std::uint64_t gone = 0, samples = 0, bytes_before = 0, bytes_after = 0, stones_were = 0, stones_are = 0;
  std::int64_t from_ns = INT64_MAX, to_ns = INT64_MIN;
  // Of each step and source (host and what names its series) the first frame stays.
  std::map<std::pair<std::string, set_hash>, std::int64_t> last_step;
  frame sections;
  const auto step_ns = config_.thin_step.count();
  for (const auto& [key, held] : part.held) {
    // Alerts are what the whole thing is for: they stay, but do not keep a part for themselves.
    const bool alerts = key.stream == stream_id::alert;
    replacement makes{key, thin ? loss_cause::thinned : cause};
    const bool looks = claims_ && !planted(config_.planted, planted_fault::thinned_while_in_flight);
    const auto free = looks ? claims_->block(key, held, for_room) : held;
    ends = ends && is_settled(key, held, free);
    sequence done = 0; // the last that was given to `makes`
    seen_clock seen;
    for (const auto& range : free.ranges()) {
      for (auto at = range.first; at <= range.last;) {
        const auto read = store_->read(key, at, read_bytes);
        if (!read || !read.value() || read.value()->header.first > range.last)
          break; // damaged or released meanwhile
        const auto records = decode_records(*read.value());
        if (!records)
          break;
        seen.look_ahead(records.value());
        for (const auto& record : records.value()) {
          const auto sequences = sequences_of(record).value(); // decode_records() read it
          const auto seen_ns = seen.of(record);
          if (record.seq < at)
            continue;
          if (record.seq + sequences - 1 > range.last)
            break;
          bytes_before += record.bytes.size();
          const auto& policy = policy_of(record.kind);
          bool keep = alerts || !policy.may_be_forced_out || (thin && !policy.may_be_thinned);
          std::uint64_t count = 0;
          if (policy.samples && decode_frame_sections(record.payload, sections)) {
            count = samples_in(sections);
            if (thin && !alerts && !sections.sections.empty()) {
              const auto step = record.time_ns / step_ns; // of what it is about, whoever said the time
              auto& last =
                  last_step.try_emplace({std::string{record.host}, sections.sections.front().set}, INT64_MIN)
                      .first->second;
              keep = step != last;
              last = step;
            }
          } else if (thin) {
            keep = true; // what does not decode has no step
          }
          if (record.seq == range.first) {
            const auto stone = keep ? stone_in(record) : std::nullopt;
            if (!keep || stone)
              for (const auto& one :
                   stones_before(key, range.first, done, stone ? stone->cause : makes.cause()))
                makes.keep(decode_record(one).value());
          }
          done = record.seq + sequences - 1;
          if (keep) {
            makes.keep(record);
            bytes_after += record.bytes.size();
          } else {
            makes.drop(record, seen_ns, sequences, count);
            gone += sequences;
            samples += count;
            from_ns = std::min(from_ns, seen_ns);
            to_ns = std::max(to_ns, seen_ns);
          }
        }
        at = read.value()->header.last() + 1;
      }
      if (const auto open = makes.open_cause(); open && done == range.last)
        for (const auto& one : stones_after(key, done, held, *open)) {
          const auto record = decode_record(one).value();
          makes.keep(record);
          done = record.seq + sequences_of(record).value() - 1;
        }
    }
    stones_were += makes.stones_before();
    auto made = makes.take();
    std::move(made.begin(), made.end(), std::back_inserter(with));
    stones_are += makes.stones_after();
  }
  // To write nine tenths again in order to free one is not worth it.
  const bool worth = (gone != 0 && (!thin || bytes_after < bytes_before - bytes_before / 10))
                     || (ends && bytes_before != 0 && bytes_before <= part.bytes / 10)
                     || (stones_were >= stones_worth_min && stones_are <= stones_were / 2);
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
  if (gone != 0 && drop_log_.allow())
    spdlog::warn(
        "spool: {} {} records ({} samples, {} s of event time) for want of room or age ({}); they are in the "
        "loss ledger",
        thin ? "thinned out" : "dropped", gone, samples, (to_ns - from_ns) / 1'000'000'000, to_string(cause));
  for (auto& run : with)
    replaced_(std::move(run), !thin);
  return true;
}

} // namespace skerry::edge
