#pragma once

// The engine that keeps everything in one directory of this machine: a write-ahead log, and a LMDB environment a time
// partition.

#include "cloud/store/engine.hpp"
#include "cloud/store/inspection.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

namespace prometheus {
class Registry;
}

namespace skerry::cloud {

struct embedded_config {
  std::filesystem::path directory;
  std::chrono::nanoseconds retention = std::chrono::hours{24 * 30}; // 0: forever
  std::chrono::nanoseconds clock_jump_wait =
      std::chrono::hours{24}; // of running, before a clock that jumped ahead makes anything old
  std::uint64_t log_segment_bytes = 32 << 20;
  std::uint64_t log_bytes_max = 128 << 20; // appends wait for sealing beyond
  // What the log's index takes in memory: labels unfolded, and who has them. At half of it a log is sealed; appends wait
  // for that beyond.
  std::uint64_t log_memory_bytes_max = 384 << 20;
  // Of the named values beside the data, which each new log begins with and which do not count as its bytes: of all, and
  // of one edge's streams. An append that would make them larger is refused.
  std::uint64_t state_bytes_max = 256 << 20;
  std::uint64_t state_edge_bytes_max = 16 << 20;
  std::chrono::nanoseconds log_age_max = std::chrono::hours{1}; // a quiet log is sealed too
  std::chrono::nanoseconds partition_span = std::chrono::hours{24};
  std::size_t partitions_open_max = 32;
  std::chrono::nanoseconds commit_gather =
      std::chrono::milliseconds{4}; // a commit waits this long for more to join it
  std::size_t queue_requests_max = 65'536;
  std::uint64_t queue_bytes_max = 256 << 20;
  std::uint64_t read_cache_bytes_max = 64 << 20; // of what queries unpacked; 0: nothing is kept
  std::size_t read_threads = 2;                  // that help queries read; 0: each query reads alone
  std::uint64_t scrub_bytes_per_second =
      4 << 20; // of partitions that nobody asked for; 0: they are not checked
  std::chrono::nanoseconds scrub_interval =
      std::chrono::hours{24}; // from the start of a pass to that of the next

  [[nodiscard]] result<void> validate() const;
};

class embedded_store : public engine, public log_inspection {};

// conflict: another process has it open; unsupported_version; io. A damaged file is set aside, reported and
// counted.
[[nodiscard]] result<std::unique_ptr<embedded_store>> open_embedded_engine(embedded_config config,
                                                                           prometheus::Registry& metrics);

} // namespace skerry::cloud
