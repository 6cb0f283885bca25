#include "cloud/store/sealer.hpp"

#include "cloud/store/damage_of.hpp"
#include "cloud/store/notes.hpp"
#include "cloud/store/partition_writer.hpp"
#include "schemas/codec/block_codec.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <bit>
#include <optional>

namespace skerry::cloud {

namespace {

constexpr std::size_t rows_max = 480;
constexpr std::size_t cells_max = 1 << 18; // of one source at a time: 2 MiB of values

// The same order as of the values, with -0 below +0 and NaNs by their bits at both ends.
std::int64_t ordered(double v) noexcept {
  const auto bits = std::bit_cast<std::int64_t>(v);
  return bits ^ static_cast<std::int64_t>(static_cast<std::uint64_t>(bits >> 63) >> 1);
}

struct work {
  const head_source* source;
  std::vector<frame_ref> frames;
};

// Columns of one set over the rows at hand.
struct matrix {
  std::size_t columns = 0;
  std::vector<double> values;
  std::vector<std::uint64_t> present;
};

class sealing {
public:
  sealing(const log_env& log, store_metrics& metrics, damage_ledger& damages)
      : log_(log), metrics_(metrics), damages_(damages) {}

  result<void> source(const work& of, log_reader& reader, partition_writer& writer) {
    auto frames = of.frames;
    std::sort(frames.begin(), frames.end(), [](const frame_ref& a, const frame_ref& b) {
      return std::tuple{a.time_ns, a.record.chunk, a.record.offset}
             < std::tuple{b.time_ns, b.record.chunk, b.record.offset};
    });
    std::size_t width = 0;
    for (const auto& set : of.source->sets)
      width += set->count();
    const auto rows = std::clamp<std::size_t>(cells_max / std::max<std::size_t>(width, 1), 1, rows_max);
    std::vector<std::optional<std::uint32_t>> numbers;
    for (const auto& set : of.source->sets) {
      std::optional<error> damaged;
      auto number = writer.source(
          {0, of.source->tenant, of.source->edge, set->hash(), of.source->site, of.source->host},
          [&]() -> result<series_set_ptr> {
            auto found = log_.find_set({of.source->edge, set->hash()});
            if (found && !found.value())
              damaged = error{errc::corrupt, "it is missing"};
            else if (!found && is_damage(found.error()))
              damaged = found.error();
            return found;
          });
      if (!number && !damaged)
        return number.error();
      if (!number) // the other sets' values can be kept
        damages_.note(lost_set(log_.id(), *of.source, set->hash(), frames), "set", damaged->message);
      numbers.push_back(number ? std::optional{number.value()} : std::nullopt);
    }
    for (auto it = frames.begin(); it != frames.end();) {
      times_.clear();
      auto end = it;
      for (; end != frames.end(); ++end) {
        if (!times_.empty() && times_.back() == end->time_ns)
          continue;
        if (times_.size() == rows)
          break;
        times_.push_back(end->time_ns);
      }
      BOOST_OUTCOME_TRYV(fill(*of.source, {it, end}, reader));
      BOOST_OUTCOME_TRYV(write(numbers, writer));
      it = end;
    }
    // Those at 0 too, so that the first of a site is an increase.
    metrics_.duplicates.Add({{"site", of.source->site}}).Increment(static_cast<double>(duplicates_));
    metrics_.conflicts.Add({{"site", of.source->site}}).Increment(static_cast<double>(conflicts_));
    duplicates_ = conflicts_ = 0;
    return ok();
  }

private:
  result<void> fill(const head_source& source, std::span<const frame_ref> frames, log_reader& reader) {
    const auto rows = times_.size();
    const auto words = row_words(rows);
    matrices_.resize(source.sets.size());
    for (std::size_t s = 0; s < matrices_.size(); ++s) {
      auto& m = matrices_[s];
      m.columns = source.sets[s]->count();
      m.values.assign(m.columns * rows, 0.0);
      m.present.assign(m.columns * words, 0);
    }
    std::size_t row = 0;
    for (const auto& ref : frames) {
      while (times_[row] != ref.time_ns)
        ++row;
      const auto record = reader.record(ref.record);
      if (!record && !is_damage(record.error()))
        return record.error();
      if (!record || !decode_frame(record.value().payload, decoder_, frame_)
          || frame_.sections.size() != matrices_.size()) {
        damages_.note(lost_frame(log_.id(), source, ref), "frame",
                      fmt::format("it was to be sealed from log {}", log_.number()));
        continue;
      }
      std::size_t next = 0;
      for (std::size_t s = 0; s < matrices_.size(); ++s) {
        auto& m = matrices_[s];
        const auto& section = frame_.sections[s];
        for (std::size_t c = 0; c < m.columns; ++c) {
          if (!section.present.empty() && (section.present[c / 64] >> (c % 64) & 1) == 0)
            continue;
          auto& cell = m.values[c * rows + row];
          auto& word = m.present[c * words + row / 64];
          const auto bit = std::uint64_t{1} << (row % 64);
          const auto value = frame_.values[next++];
          if ((word & bit) == 0) {
            word |= bit;
            cell = value;
          } else if (std::bit_cast<std::uint64_t>(cell) == std::bit_cast<std::uint64_t>(value)) {
            ++duplicates_;
          } else {
            ++conflicts_;
            cell = resolve(cell, value);
          }
        }
      }
    }
    return ok();
  }

  result<void> write(std::span<const std::optional<std::uint32_t>> numbers, partition_writer& writer) {
    for (std::size_t s = 0; s < matrices_.size(); ++s) {
      const auto& m = matrices_[s];
      std::size_t samples = 0;
      for (const auto word : m.present)
        samples += static_cast<std::size_t>(std::popcount(word));
      if (samples == 0 || !numbers[s])
        continue;
      encoded_.clear();
      const bool full = samples == m.columns * times_.size();
      encoder_.encode({times_, m.columns, m.values, full ? std::span<const std::uint64_t>{} : m.present},
                      encoded_);
      BOOST_OUTCOME_TRYV(writer.block(*numbers[s], times_, samples, encoded_));
      samples_ += samples;
      ++blocks_;
    }
    return ok();
  }

public:
  std::uint64_t samples_ = 0;
  std::uint64_t blocks_ = 0;

private:
  const log_env& log_;
  store_metrics& metrics_;
  damage_ledger& damages_;
  value_decoder decoder_;
  block_encoder encoder_;
  frame frame_;
  std::vector<std::int64_t> times_;
  std::vector<matrix> matrices_;
  byte_buffer encoded_;
  std::uint64_t duplicates_ = 0;
  std::uint64_t conflicts_ = 0;
};

// What of a log lies in partitions already, where an attempt to seal it came to an end half-way.
struct earlier_attempts {
  sealed_parts sealed;
  std::optional<seal_plan> begun; // the plan by which a part of a partition's share was written
};
result<earlier_attempts> earlier_attempts_of(const log_env& log, partition_catalog& in) {
  std::int64_t from_ns = INT64_MAX;
  std::int64_t to_ns = INT64_MIN;
  log.with_index([&](const log_index& index) {
    from_ns = index.time_min;
    to_ns = index.time_max;
    for (const auto& note : index.notes) {
      from_ns = std::min(from_ns, note.time_ns);
      to_ns = std::max(to_ns, note.time_ns);
    }
  });
  earlier_attempts found;
  for (const auto& id : in.overlapping(from_ns, to_ns)) {
    const auto part = in.open(id);
    if (!part) {
      // Without the file, what was in it is sealed once more.
      if (part.error().code == errc::not_found || part.error().code == errc::corrupt)
        continue;
      return part.error();
    }
    BOOST_OUTCOME_TRY(look, part.value()->read());
    BOOST_OUTCOME_TRY(plans, look.plans_of(log.id()));
    for (const auto& plan : plans)
      found.sealed.add(id, plan);
    BOOST_OUTCOME_TRY(begun, look.begun(log.id()));
    if (begun)
      found.begun = begun->plan;
  }
  return found;
}

} // namespace

bool sealed_parts::has(std::int64_t time_ns) const {
  return std::any_of(parts_.begin(), parts_.end(), [&](const auto& each) {
    return each.second.contains(partition_for(time_ns, each.first));
  });
}

double resolve(double a, double b) noexcept {
  if (is_stale(a) != is_stale(b))
    return is_stale(a) ? b : a;
  return ordered(a) >= ordered(b) ? a : b;
}

result<void> seal_log(const log_env& log, partition_catalog& into, store_metrics& metrics,
                      const std::set<std::uint64_t>& live_logs, const seal_settings& settings) {
  const auto hook = [&](const char* step) {
    if (settings.hook)
      settings.hook(step);
  };
  struct share {
    std::vector<work> sources;
    std::vector<note_ref> notes;
  };
  std::map<partition_id, share> shares;
  std::uint64_t expired = 0; // samples
  std::int64_t expired_from_ns = INT64_MAX;
  std::int64_t expired_to_ns = INT64_MIN;
  BOOST_OUTCOME_TRY(earlier, earlier_attempts_of(log, into));
  const auto& before = earlier.sealed;
  // By the plan that part of it was written by: by another one, another partition might get the same rows.
  const auto plan = earlier.begun.value_or(settings.plan);
  // The log is closed: nobody writes to its index any more.
  log.with_index([&](const log_index& index) {
    for (const auto& source : index.sources()) {
      share* last = nullptr;
      partition_id last_id;
      for (const auto& ref : source->frames) {
        if (before.has(ref.time_ns))
          continue;
        // Asked for each frame: coarse partitions overlap fine ones, and a time belongs to just one of them.
        const auto id = partition_for(ref.time_ns, plan);
        if (last == nullptr || id != last_id) {
          if (id.ends_before(settings.oldest_ns)) {
            for (const auto& set : source->sets)
              expired += set->count();
            expired_from_ns = std::min(expired_from_ns, ref.time_ns);
            expired_to_ns = std::max(expired_to_ns, ref.time_ns);
            continue;
          }
          last_id = id;
          last = &shares[id];
        }
        if (last->sources.empty() || last->sources.back().source != source.get())
          last->sources.push_back({source.get(), {}});
        last->sources.back().frames.push_back(ref);
      }
    }
    for (const auto& note : index.notes) {
      if (before.has(note.time_ns))
        continue;
      const auto id = partition_for(note.time_ns, plan);
      if (!id.ends_before(settings.oldest_ns))
        shares[id].notes.push_back(note);
    }
  });
  BOOST_OUTCOME_TRY(reader, log.read());
  for (auto& [id, part] : shares) {
    BOOST_OUTCOME_TRY(target, into.open_to_write(id));
    hook("partition opened");
    BOOST_OUTCOME_TRY(writer, partition_writer::begin(*target, {log.number(), log.id()}, plan,
                                                      settings.step_pages, [&] { hook("step committed"); }));
    sealing run{log, metrics, into.damages()};
    for (const auto& each : part.sources) {
      BOOST_OUTCOME_TRYV(run.source(each, reader, writer));
    }
    // In the order of their keys: rows that share a page are written together.
    std::stable_sort(part.notes.begin(), part.notes.end(),
                     [](const note_ref& a, const note_ref& b) { return a.time_ns < b.time_ns; });
    for (const auto& note : part.notes) {
      const auto entry = read_note(note, reader);
      if (!entry) {
        if (!is_damage(entry.error()))
          return entry.error();
        const auto head = reader.entry(note.entry);
        into.damages().note(
            lost_note(log.id(), note, head ? decode_envelope(head.value().head) : head.error()), "record",
            entry.error().message);
        continue;
      }
      BOOST_OUTCOME_TRYV(policy_of(note.kind).ledger ? writer.ledger(to_ledger_entry(entry.value()))
                                                     : writer.record(to_kept_record(entry.value())));
    }
    hook("partition written");
    // What is left out is known for good before the log that it stood in may go.
    BOOST_OUTCOME_TRYV(into.damages().flush());
    BOOST_OUTCOME_TRYV(writer.commit(live_logs));
    hook("partition committed");
    metrics.samples_sealed.Increment(static_cast<double>(run.samples_));
    metrics.blocks.Increment(static_cast<double>(run.blocks_));
    BOOST_OUTCOME_TRY(look, target->read());
    BOOST_OUTCOME_TRY(samples, look.samples());
    into.note_samples(id, samples);
  }
  if (expired != 0) {
    metrics.expired_samples.Increment(static_cast<double>(expired));
    if (settings.expiring)
      settings.expiring(expired_from_ns, expired_to_ns, expired);
  }
  metrics.logs_sealed.Increment();
  return ok();
}

} // namespace skerry::cloud
