#include "edge/spool/pieces.hpp"

#include <algorithm>

namespace skerry::edge {

void piece_builder::append(const record_view& record, std::uint64_t sequences) {
  if (builder_) {
    const auto& header = builder_->header();
    if (header.first + header.sequence_count != record.seq || header.record_count == run_records_max
        || builder_->size() + record.bytes.size() > run_cut_bytes)
      flush();
  }
  if (!builder_) {
    builder_.emplace(key_, record.seq, tenant_);
    current_ = {};
    current_.from_ns = current_.to_ns = record.time_ns;
  }
  builder_->append(record, sequences);
  bytes_ += record.bytes.size();
  current_.from_ns = std::min(current_.from_ns, record.time_ns);
  current_.to_ns = std::max(current_.to_ns, record.time_ns);
  current_.last_digest = checksum_of(record.bytes);
}

void piece_builder::flush() {
  if (!builder_)
    return;
  current_.stored = std::move(*builder_).finish();
  builder_.reset();
  done_.push_back(std::move(current_));
}

std::vector<piece> piece_builder::take() {
  flush();
  bytes_ = 0;
  return std::exchange(done_, {});
}

void add_to(segment_stream& stream, const piece& stored, std::int64_t now_ns) {
  const auto& header = stored.stored.header;
  if (stream.records == 0) {
    stream.from_ns = stored.from_ns;
    stream.to_ns = stored.to_ns;
  }
  if (header.last() > stream.stored.highest())
    stream.last_digest = stored.last_digest;
  stream.stored.add({header.first, header.last()});
  stream.records += header.record_count;
  stream.bytes += stored.stored.bytes.view.size();
  stream.from_ns = std::min(stream.from_ns, stored.from_ns);
  stream.to_ns = std::max(stream.to_ns, stored.to_ns);
  stream.last_commit_ns = now_ns;
}

} // namespace skerry::edge
