#include "simulator/world/oracle.hpp"

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

const std::vector<record_identity>* oracle::watermarks(std::uint32_t host, std::int64_t time_ns) const {
  const auto it = watermarks_.find({host, time_ns});
  return it == watermarks_.end() ? nullptr : &it->second;
}

} // namespace skerry::sim
