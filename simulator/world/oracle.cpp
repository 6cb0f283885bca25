#include "simulator/world/oracle.hpp"

#include "schemas/model/payload.hpp"

#include <algorithm>

namespace skerry::sim {

namespace {

constexpr sim_time silence_slack = second; // of what is said of it: commit intervals, and turns a little late

} // namespace

stream_truth& oracle::begin_stream(const stream_key& key, std::uint32_t node) {
  auto& stream = streams_[key];
  stream.node = node;
  return stream;
}

void oracle::on_numbered(const stream_key& key, sequence first, const std::vector<record_view>& records,
                         bool returned) {
  auto& stream = streams_[key];
  if (first != stream.records.size() + 1) {
    violated("{} was given twice: record {} of {} after {}", first, first, to_string(key),
             stream.records.size());
    return;
  }
  ++commits_;
  for (const auto& record : records) {
    record_truth truth;
    truth.time_ns = record.time_ns;
    truth.host = record.host.empty() ? 0 : host_index(record.host);
    truth.watermark = record.kind == record_kind::watermark || (record.flags & flag_watermark) != 0;
    truth.returned = returned;
    stream.records.push_back(truth);
    check_claim(key, record);
    if (truth.watermark) {
      watermarks_[{truth.host, truth.time_ns}].push_back({key, record.seq});
      speakers_[truth.host][key.edge].emplace_back(truth.time_ns, record_identity{key, record.seq});
    }
  }
}

void oracle::check_claim(const stream_key& key, const record_view& record) {
  if (record.kind != record_kind::not_collected)
    return;
  const auto gap = decode_not_collected(record.payload);
  if (!gap)
    return;
  auto& stream = streams_[key];
  const auto& [from_ns, to_ns, cause, detail] = gap.value();
  stream.not_collected.emplace_back(from_ns, to_ns);
  if (cause != loss_cause::node_off && cause != loss_cause::uncommitted)
    return;
  // Clocks run fast or slow by up to a fiftieth.
  const auto said = to_ns - from_ns - silence_slack;
  if (std::none_of(stream.silent.begin(), stream.silent.end(),
                   [&](sim_time how_long) { return said <= how_long + how_long / 50; }))
    false_claims_.push_back({key.edge, record.host.empty() ? 0 : host_index(record.host), from_ns, to_ns});
}

void oracle::on_damaged(const stream_key& key, const range_set& ranges) {
  const auto it = streams_.find(key);
  if (it == streams_.end())
    return;
  auto& records = it->second.records;
  for (const auto& range : ranges.ranges())
    for (auto seq = range.first; seq <= range.last && seq <= records.size(); ++seq)
      records[seq - 1].damaged = true;
}

void oracle::on_forgotten(const stream_key& key, const range_set& ranges) {
  const auto it = streams_.find(key);
  if (it == streams_.end())
    return;
  auto& records = it->second.records;
  for (const auto& range : ranges.ranges())
    for (auto seq = range.first; seq <= range.last && seq <= records.size(); ++seq)
      records[seq - 1].beyond_knowing = true;
}

void oracle::on_ahead(const stream_key& key, sequence_range range) {
  for (auto seq = range.first; seq <= range.last; ++seq)
    if (auto* record = known(key, seq))
      record->ahead = true;
}

record_truth* oracle::known(const stream_key& key, sequence seq) {
  return const_cast<record_truth*>(find(key, seq));
}

void oracle::on_sent(const stream_key& key, sequence_range range, std::uint32_t node) {
  for (auto seq = range.first; seq <= range.last; ++seq)
    if (auto* record = known(key, seq))
      record->sent_by |= std::uint64_t{1} << node;
}

void oracle::on_forced_out(const stream_key& key, sequence_range range, std::uint32_t node) {
  for (auto seq = range.first; seq <= range.last; ++seq)
    if (auto* record = known(key, seq)) {
      record->forced_out = true;
      record->never_sent = (record->sent_by >> node & 1) == 0;
      ++forced_out_;
    }
}

std::uint32_t oracle::host_index(std::string_view name) {
  if (const auto it = hosts_.find(name); it != hosts_.end())
    return it->second;
  const auto index = static_cast<std::uint32_t>(hosts_.size()) + 1;
  hosts_.emplace(name, index);
  return index;
}

const record_truth* oracle::find(const stream_key& key, sequence seq) const {
  const auto it = streams_.find(key);
  return it == streams_.end() || seq == 0 || seq > it->second.records.size() ? nullptr
                                                                             : &it->second.records[seq - 1];
}

bool oracle::is_told(const stream_key& key, std::string_view host, std::int64_t time_ns) {
  if (const auto* marks = watermarks(host_index(host), time_ns))
    for (const auto& mark : *marks)
      if (mark.key == key)
        return true;
  const auto& gaps = streams_[key].not_collected;
  return std::any_of(gaps.begin(), gaps.end(),
                     [&](const auto& gap) { return gap.first <= time_ns && time_ns <= gap.second; });
}

const std::vector<record_identity>* oracle::watermarks(std::uint32_t host, std::int64_t time_ns) const {
  const auto it = watermarks_.find({host, time_ns});
  return it == watermarks_.end() ? nullptr : &it->second;
}

} // namespace skerry::sim
