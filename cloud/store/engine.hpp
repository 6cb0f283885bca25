#pragma once

// The contract between the cloud and what stores its data. The embedded engine (LMDB) is the first to keep
// it; one for users who outgrow a machine can follow. No transaction reaches beyond one append.

#include "actors/promql/series_source.hpp"
#include "cloud/store/data_changes.hpp"
#include "schemas/model/host.hpp"
#include "schemas/model/range_set.hpp"
#include "schemas/model/record.hpp"
#include "schemas/model/series.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace prometheus {
class Registry;
}

namespace skerry::cloud {

// Small named values that are stored in the same transaction as an append and survive the log's rotation.
// Ingest keeps held ranges and watermarks in them. Keys are text like "held/<edge>/<epoch>/<stream>".
struct state_update {
  std::string key;
  std::string value;    // empty: delete
  bool appends = false; // `value` goes behind what is there, once more where the append is repeated
};

// Records of one shard from one run.
struct append_request {
  std::uint64_t fence =
      1; // the shard's epoch; an engine refuses one that is lower than it has seen (forbidden)
  tenant_id tenant = tenant_default;
  shard_id shard = 0;
  std::string site;
  stream_key origin;
  range_set ranges;                  // of the run that these came from; stored with them
  std::vector<record_view> records;  // every kind; views into `owner`
  std::shared_ptr<const void> owner; // keeps the bytes
  std::vector<series_set_ptr>
      sets; // of those that the frames name, the ones that the engine may not have yet; better without members
  std::vector<state_update> state;
};

// Something that is known to be missing or noted: of the kinds whose policy says `ledger`.
struct ledger_entry {
  tenant_id tenant = tenant_default;
  std::string site;
  std::string host;
  stream_key origin;
  record_kind kind = record_kind::tombstone;
  sequence seq = 0;
  std::int64_t time_ns = 0;
  byte_buffer payload;
};

// A record that is kept whole (record_kind.hpp): logs, events, kinds that this build does not know.
struct kept_record {
  tenant_id tenant = tenant_default;
  std::string site;
  stream_key origin;
  byte_buffer bytes; // for decode_record()
};

struct engine_usage {
  std::uint64_t log_bytes = 0;  // write-ahead log
  std::uint64_t disk_bytes = 0; // everything
  std::uint64_t partitions = 0;
  std::uint64_t series = 0;  // in the open log and the newest partition
  std::uint64_t samples = 0; // in partitions
};

class engine : public promql::series_source {
public:
  // Noted by the engine, and by whoever else changes what queries see (deletions).
  [[nodiscard]] data_changes& changes() noexcept { return changes_; }

  // Asynchronous and idempotent: `done` is called once, on the engine's thread, after the commit (or the
  // failure) and may be called before append() returns only on failure. exhausted: a queue or the disk is
  // full; retry later.
  virtual void append(append_request request, std::function<void(result<void>)> done) = 0;
  // State alone, ordered after every append before it.
  virtual void put_state(std::vector<state_update> updates, std::function<void(result<void>)> done) = 0;
  // As of the last commit; sorted by key.
  virtual result<void>
  scan_state(std::string_view prefix,
             const std::function<void(std::string_view key, std::string_view value)>& each) = 0;
  // A set that this edge has given and that the store still holds; null when unknown: ask the edge.
  virtual series_set_ptr find_set(edge_id edge, const set_hash& hash) = 0;
  // How many series it has; nullopt when unknown. Cheap: asked for every frame.
  virtual std::optional<std::size_t> series_in_set(edge_id edge, const set_hash& hash) = 0;
  // What is known to be missing or noted about [from, to]. An entry without an edge is about damage of the store's own
  // disk: of a host, without one of all hosts of its site, without either of every host there is.
  virtual result<void> ledger(std::int64_t from_ns, std::int64_t to_ns,
                              const std::function<void(const ledger_entry&)>& each) = 0;
  // Of those, the ones about the store's own disk. From memory, at once.
  virtual void own_damage(std::int64_t /*from_ns*/, std::int64_t /*to_ns*/,
                          const std::function<void(const ledger_entry&)>& /*each*/) {}
  // Records that are kept whole and whose time lies in [from, to], each once.
  virtual result<void> kept_records(std::int64_t /*from_ns*/, std::int64_t /*to_ns*/,
                                    const std::function<void(const kept_record&)>& /*each*/) {
    return ok();
  }
  // Every record identity in the write-ahead log and how often it stands there, before anything is merged.
  // For tests and for `skerry-cloud verify`.
  virtual result<void> log_identities(
      const std::function<void(const record_identity&, record_kind kind, std::string_view host)>& each) = 0;
  // What is older is past retention: not by one reading of a clock. INT64_MIN: nothing is.
  [[nodiscard]] virtual std::int64_t kept_from_ns() const noexcept { return INT64_MIN; }
  [[nodiscard]] virtual engine_usage usage() const = 0;
  // Why nothing can be stored now, for people; ok while it can. Any thread.
  [[nodiscard]] virtual result<void> takes_data() const { return ok(); }
  virtual void flush() = 0; // seals the whole log into partitions; returns when done. For tests and shutdown.

private:
  data_changes changes_;
};

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

// conflict: another process has it open; unsupported_version; io. A damaged file is set aside, reported and
// counted.
[[nodiscard]] result<std::unique_ptr<engine>> open_embedded_engine(embedded_config config,
                                                                   prometheus::Registry& metrics);

} // namespace skerry::cloud
