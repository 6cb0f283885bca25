#pragma once

// Cuts records into runs as they are stored: contiguous, of one stream, at most about run_cut_bytes. Plain
// value.

#include "edge/spool/segment.hpp"

#include <optional>
#include <vector>

namespace skerry::edge {

// A stored run with what the index needs to know of it.
struct piece {
  run stored;
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
  std::uint64_t last_digest = 0;
};

class piece_builder {
public:
  explicit piece_builder(const stream_key& key, tenant_id tenant = tenant_default)
      : key_(key), tenant_(tenant) {}

  // In ascending order; a gap starts another run.
  void append(const record_view& record, std::uint64_t sequences);
  void flush();
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; } // since the last take()
  [[nodiscard]] std::vector<piece> take();                            // flushes

private:
  stream_key key_;
  tenant_id tenant_;
  std::optional<run_builder> builder_;
  piece current_;
  std::vector<piece> done_;
  std::size_t bytes_ = 0;
};

void add_to(segment_stream& stream, const piece& stored, std::int64_t now_ns);

} // namespace skerry::edge
