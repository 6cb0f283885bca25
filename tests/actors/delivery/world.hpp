#pragma once

// A small seeded world for delivery: edges with spools in memory, one receiver with a store in memory, and links that
// drop their connection at any moment. What is "durable" survives a restart, the rest does not.

#include "actors/delivery/receiver.hpp"
#include "actors/delivery/sender.hpp"
#include "schemas/model/frame.hpp"

#include <deque>
#include <map>
#include <random>
#include <set>

namespace skerry::delivery::test {

class manual_clock final : public clock_source {
public:
  std::int64_t wall_ns() const noexcept override { return wall_offset + now; }
  std::int64_t monotonic_ns() const noexcept override { return now; }
  std::int64_t now = 1'000'000'000;
  std::int64_t wall_offset = 1'700'000'000'000'000'000;
};

class seeded_random final : public random_source {
public:
  explicit seeded_random(std::uint64_t seed) : engine(seed) {}
  void fill(std::span<std::uint8_t> out) noexcept override {
    for (auto& byte : out)
      byte = static_cast<std::uint8_t>(engine());
  }
  std::uint64_t below(std::uint64_t n) { return engine() % n; }
  bool chance(unsigned percent) { return below(100) < percent; }
  std::mt19937_64 engine;
};

inline series_set_ptr some_set(int i) {
  return make_series_set({{"m", metric_type::gauge, "", ""}},
                         {{0, {{"__name__", "m"}, {"i", std::to_string(i)}}}});
}

// What a spool is, without a disk.
class memory_spool final : public sender_source {
public:
  struct stream {
    std::map<sequence, byte_buffer> records;
    range_set released;
    sequence last = 0;
    bool closed = false;
  };

  run commit(const stream_key& key, const std::vector<pending_record>& records) {
    auto& to = streams_[key];
    run_builder builder{key, to.last + 1};
    for (const auto& record : records)
      builder.append(record.kind, record.time_ns, record.host, record.payload);
    auto made = std::move(builder).finish();
    const auto decoded = decode_records(made).value();
    for (const auto& record : decoded)
      to.records[record.seq] = {record.bytes.begin(), record.bytes.end()};
    to.last = made.header.last();
    return made;
  }

  std::vector<link::hello_stream> streams() override {
    std::vector<link::hello_stream> out;
    for (const auto& [key, stream] : streams_) {
      link::hello_stream state{key, {}, stream.released, stream.last, stream.closed, 0};
      for (const auto& [seq, bytes] : stream.records)
        state.held.add({seq, seq + sequences_of(decode_record(bytes).value()).value() - 1});
      out.push_back(std::move(state));
    }
    return out;
  }

  result<std::optional<run>> read(const stream_key& key, sequence from, std::size_t bytes_max) override {
    const auto& records = streams_[key].records;
    auto it = records.lower_bound(from);
    if (it != records.begin()) // one that stands for several
      if (const auto before = std::prev(it);
          before->first + sequences_of(decode_record(before->second).value()).value() > from)
        it = before;
    if (it == records.end())
      return std::optional<run>{};
    run_builder builder{key, it->first};
    for (auto next = it->first;
         it != records.end() && it->first == next && (builder.empty() || builder.size() < bytes_max); ++it) {
      const auto record = decode_record(it->second).value();
      const auto sequences = sequences_of(record).value();
      builder.append(record, sequences);
      next += sequences;
    }
    return std::optional{std::move(builder).finish()};
  }

  result<series_set_ptr> find_set(edge_id, const set_hash& hash) override {
    const auto it = sets.find(hash);
    return it == sets.end() ? series_set_ptr{} : it->second;
  }

  void release(const stream_key& key, const range_set& ranges) override {
    auto& stream = streams_[key];
    for (const auto& range : ranges.ranges()) {
      stream.released.add(range);
      std::erase_if(stream.records, [&](const auto& record) { // all that it stands for
        const auto sequences = sequences_of(decode_record(record.second).value()).value();
        return stream.released.contains(sequence_range{record.first, record.first + sequences - 1});
      });
    }
  }

  // What was released stays in `kept` where somebody asks for that.
  range_set take_back(const stream_key& key, const range_set& ranges) override {
    range_set back;
    auto& stream = streams_[key];
    for (const auto& range : ranges.ranges())
      for (auto it = kept[key].lower_bound(range.first); it != kept[key].end() && it->first <= range.last;
           ++it) {
        stream.records.insert(*it);
        range_set one;
        one.add({it->first, it->first + sequences_of(decode_record(it->second).value()).value() - 1});
        stream.released.remove(one);
        back.add(one);
      }
    return back;
  }

  std::map<stream_key, stream> streams_;
  std::map<stream_key, std::map<sequence, byte_buffer>> kept;
  std::map<set_hash, series_set_ptr> sets;
};

// What the cloud's store is, without a disk: appends complete later, in order, or fail.
class memory_backend final : public receiver_backend {
public:
  std::optional<std::string> site_of(edge_id edge) override {
    return revoked.contains(edge) ? std::nullopt : std::optional<std::string>{"site"};
  }
  bool may_speak(edge_id, edge_id origin) override {
    return origins.contains(origin) && !foreign.contains(origin);
  }
  refused_origins register_origins(edge_id, const std::vector<edge_id>& wanted) override {
    ++registrations;
    refused_origins refused;
    for (const auto origin : wanted)
      if (foreign.contains(origin))
        refused.emplace(origin, origin_refusal{link::refusal_reason::forbidden, "it has a key of its own"});
      else
        origins.insert(origin);
    return refused;
  }
  std::optional<std::size_t> series_in_set(edge_id edge, const set_hash& hash) override {
    ++lookups;
    const auto it = durable_sets.find({edge, hash});
    return it == durable_sets.end() ? std::nullopt : std::optional{it->second->members.size()};
  }
  std::uint64_t store(delivery_job job) override {
    queue.emplace_back(std::move(job));
    return 1;
  }
  void keep_held(std::uint64_t ticket, const stream_key& key, const held_stream& held,
                 const range_set*) override {
    queue.emplace_back(held_update{ticket, key, held});
  }
  void forget(const std::vector<stream_key>& keys) override {
    for (const auto& key : keys)
      durable_held.erase(key);
    forgotten.insert(forgotten.end(), keys.begin(), keys.end());
  }
  void send(const link::peer_id& to, link::message message) override {
    outbox.emplace_back(to, std::move(message));
  }

  // Completes the oldest operation.
  void complete_one(receiver& of, bool fail) {
    if (queue.empty())
      return;
    auto op = std::move(queue.front());
    queue.pop_front();
    if (auto* job = std::get_if<delivery_job>(&op)) {
      if (!fail) {
        for (const auto& record : job->records)
          ++stored[{job->from.header.key, record.seq}];
        for (const auto& record : job->records)
          if (record.kind == record_kind::tombstone)
            tombstones.insert({job->from.header.key, record.seq});
        for (const auto& set : job->sets)
          durable_sets[{job->from.header.key.edge, set->hash}] = set;
        shard_ranges[job->from.header.key].add(job->ranges);
      }
      of.on_stored(job->ticket, fail ? "the disk is full" : "");
    } else {
      const auto& update = std::get<held_update>(op);
      if (!fail)
        durable_held[update.key] = update.held;
      of.on_held_durable(update.ticket, fail ? "the disk is full" : "");
    }
  }

  struct held_update {
    std::uint64_t ticket;
    stream_key key;
    held_stream held;
  };
  std::deque<std::variant<delivery_job, held_update>> queue;
  std::vector<std::pair<link::peer_id, link::message>> outbox;
  std::map<record_identity, int> stored; // how often
  std::set<record_identity> tombstones;
  std::map<std::pair<edge_id, set_hash>, series_set_ptr> durable_sets;
  std::map<stream_key, held_stream> durable_held;
  std::vector<stream_key> forgotten;
  std::map<stream_key, range_set> shard_ranges; // what a shard would trim by
  std::set<edge_id> origins;
  std::size_t lookups = 0, registrations = 0;
  std::set<edge_id> foreign; // they have a key of their own
  std::set<edge_id> revoked;
};

} // namespace skerry::delivery::test
