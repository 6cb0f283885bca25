#pragma once

// Reads all sealed partitions over and over, slowly, so that damage in what nobody asks for is found and named too; and
// writes the damage_ledger's file whenever something was found, by whomever. One thread of its own, which gives way to
// all others.
//
// Of each partition first the pages and the values with their checksums, from the file as it lies, then every block. A
// read transaction is open for one slice at a time.

#include "cloud/store/damage_ledger.hpp"
#include "cloud/store/partitions.hpp"
#include "cloud/store/store_metrics.hpp"
#include "schemas/codec/block_codec.hpp"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace skerry::cloud {

struct scrub_settings {
  std::uint64_t bytes_per_second = 4 << 20; // 0: no partition is read
  std::chrono::nanoseconds interval =
      std::chrono::hours{24}; // from the start of a pass to that of the next, at least
};

class scrubber {
public:
  scrubber(scrub_settings settings, partition_catalog& partitions, damage_ledger& damages,
           store_metrics& metrics);
  ~scrubber() { stop(); }
  scrubber(const scrubber&) = delete;
  scrubber& operator=(const scrubber&) = delete;

  void start();
  void stop() noexcept; // what was found and is not written yet is written

private:
  void run();
  void pass();
  void check(const partition_id& id);
  // The pages; false: damaged.
  [[nodiscard]] bool check_pages_of(const partition_id& id, const partition& of);
  [[nodiscard]] result<void> check_blocks_of(const partition& of);
  [[nodiscard]] result<void> check_source(const partition& of, std::uint32_t number);
  // Waits until `bytes` more may be read; false: it is to stop.
  bool pace(std::uint64_t bytes);
  [[nodiscard]] bool stopping();

  const scrub_settings settings_;
  partition_catalog& partitions_;
  damage_ledger& damages_;
  store_metrics& metrics_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  bool found_ = false;           // something is to be written
  bool told_ = false;            // that it cannot be
  std::uint64_t owed_bytes_ = 0; // read since it last waited
  block_decoder decoder_;
  block_index index_;
  byte_buffer group_;
  std::thread thread_;
};

} // namespace skerry::cloud
