#include "simulator/world/oracle.hpp"

#include "schemas/model/payload.hpp"

#include <algorithm>

namespace skerry::sim {

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
    if (record.kind == record_kind::not_collected)
      if (const auto gap = decode_not_collected(record.payload))
        stream.not_collected.emplace_back(gap.value().from_ns, gap.value().to_ns);
    if (truth.watermark)
      watermarks_[{truth.host, truth.time_ns}].push_back({key, record.seq});
  }
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
