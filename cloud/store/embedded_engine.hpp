#pragma once

// The embedded engine: a write-ahead log of LMDB environments, an index over it in memory, partitions by
// time.
//
// Threads: one writer commits groups and rotates the log; one sealer turns closed logs into partitions and
// applies retention; one scrubber looks for damage and writes down what was found; callers query. Lock order: queue, then logs; neither is held over I/O.

#include "actors/base/clock.hpp"
#include "actors/base/log_limiter.hpp"
#include "cloud/store/directory.hpp"
#include "cloud/store/embedded.hpp"
#include "cloud/store/log_env.hpp"
#include "cloud/store/partitions.hpp"
#include "cloud/store/read_cache.hpp"
#include "cloud/store/read_pool.hpp"
#include "cloud/store/retention.hpp"
#include "cloud/store/scrubber.hpp"
#include "cloud/store/set_cache.hpp"
#include "cloud/store/state_table.hpp"

#include <condition_variable>
#include <deque>
#include <map>
#include <set>
#include <thread>

namespace skerry::cloud {

// What tests put in the place of the real thing.
struct embedded_hooks {
  clock_source* clock = &system_clock();
  std::function<void(const char* step)> seal_step; // on the sealing thread, between its steps
  std::size_t seal_step_pages = cloud::seal_step_pages;
};

[[nodiscard]] result<std::unique_ptr<embedded_store>>
open_embedded_engine(embedded_config config, prometheus::Registry& metrics, embedded_hooks hooks);

class embedded_engine final : public embedded_store {
public:
  embedded_engine(embedded_config config, prometheus::Registry& metrics, embedded_hooks hooks,
                  directory_lock lock);
  ~embedded_engine() override; // commits what is queued; does not seal
  [[nodiscard]] result<void> start();

  void append(append_request request, std::function<void(result<void>)> done) override;
  void put_state(std::vector<state_update> updates, std::function<void(result<void>)> done) override;
  result<void> scan_state(std::string_view prefix,
                          const std::function<void(std::string_view, std::string_view)>& each) override;
  series_set_ptr find_set(edge_id edge, const set_hash& hash) override;
  std::optional<std::size_t> series_in_set(edge_id edge, const set_hash& hash) override;
  result<void> ledger(std::int64_t from_ns, std::int64_t to_ns,
                      const std::function<void(const ledger_entry&)>& each) override;
  result<void> kept_records(std::int64_t from_ns, std::int64_t to_ns,
                            const std::function<void(const kept_record&)>& each) override;
  void own_damage(std::int64_t from_ns, std::int64_t to_ns,
                  const std::function<void(const ledger_entry&)>& each) override;
  result<void> log_identities(
      const std::function<void(const record_identity&, record_kind, std::string_view)>& each) override;
  [[nodiscard]] std::int64_t kept_from_ns() const noexcept override { return kept_from_ns_; }
  [[nodiscard]] engine_usage usage() const override;
  result<void> takes_data() const override;
  void flush() override;

  result<void> select(const promql::select_request& request,
                      const std::function<void(const promql::series_view&)>& each) override;
  // Shares of hosts, where a query is large; helpers are the same threads that read ahead.
  result<std::unique_ptr<promql::selected>> prepare(const promql::select_request& request) override;
  result<void> series(const promql::select_request& request,
                      const std::function<void(const labels&)>& each) override;
  result<std::vector<std::string>> label_names(const promql::select_request& request) override;
  result<std::vector<std::string>> label_values(std::string_view name,
                                                const promql::select_request& request) override;
  result<std::vector<promql::family_metadata>> metadata() override;

private:
  using callback = std::function<void(result<void>)>;
  using log_list = std::vector<std::shared_ptr<log_env>>;
  struct queued {
    append_request request;
    callback done;
    std::size_t bytes = 0;
    bool rotate = false;
  };

  // opening (embedded_open.cpp)
  result<void> open_logs();
  result<std::shared_ptr<log_env>> open_log(std::uint64_t number);

  // writing (embedded_writer.cpp)
  void enqueue(queued item, bool bounded);
  void write_loop();
  void write_group(std::vector<queued>& group);
  void note_full(bool full);
  void note_commit(const result<void>& how);
  void tell(const result<void>& how, std::string_view what); // a failure of the writer, seldom
  void probe();
  [[nodiscard]] std::uint64_t segment_bytes() const;
  result<void> rotate();
  [[nodiscard]] result<std::shared_ptr<log_env>> begin_log(std::uint64_t number);
  [[nodiscard]] std::uint64_t total_log_bytes() const;
  [[nodiscard]] std::uint64_t log_data_bytes() const;
  [[nodiscard]] std::uint64_t log_memory_bytes() const;
  [[nodiscard]] bool log_is_full() const;
  [[nodiscard]] bool current_is_old() const;

  // sealing (embedded_sealer.cpp)
  void seal_loop();
  [[nodiscard]] std::shared_ptr<log_env> oldest_closed() const;
  result<void> seal(const std::shared_ptr<log_env>& log);
  void expire();
  [[nodiscard]] std::int64_t oldest_to_keep_ns();

  // reading (embedded_engine.cpp)
  [[nodiscard]] log_list logs() const;
  [[nodiscard]] struct store_snapshot snapshot(std::int64_t from_ns, std::int64_t to_ns) const;
  // Of each partition; what is damaged is noted as `lost` says, and left out.
  result<void> each_partition(const struct store_snapshot& of, const char* what,
                              const std::function<damage(const partition_id&)>& lost,
                              const std::function<result<void>(const partition_reader&)>& read);
  // Of one log; what is damaged is noted and left out.
  result<void> each_note(const log_env& log, bool ledger,
                         const std::function<void(const struct noted_record&)>& each);
  series_set_ptr find_stored_set(const set_key& key);
  [[nodiscard]] struct store_parts parts() noexcept;
  [[nodiscard]] class selection select_from(struct store_snapshot from,
                                            const promql::select_request& request);

  const embedded_config config_;
  const embedded_hooks hooks_;
  directory_lock lock_;
  store_metrics metrics_;
  damage_ledger damages_;
  partition_catalog partitions_;
  retention retention_;
  set_registry registry_;
  set_cache sets_;
  read_cache cache_;
  read_pool readers_;

  mutable std::mutex logs_mutex_;
  std::condition_variable logs_changed_;
  log_list logs_; // ascending; the last is open for writing
  std::uint64_t seal_failures_ = 0;
  bool stop_sealing_ = false;

  state_table state_;

  std::mutex queue_mutex_;
  std::condition_variable queue_changed_;
  std::deque<queued> queue_;
  std::size_t queue_bytes_ = 0;
  bool stop_writing_ = false;
  bool gathering_ = false; // the writer waits for more of a group

  mutable std::mutex stall_mutex_;
  log_limiter failure_lines_{4, std::chrono::minutes{10}}; // the writer's
  log_limiter seal_lines_{2, std::chrono::minutes{10}};    // the sealer's
  std::string stalled_;                                    // why the last commit failed; empty: it did not
  std::optional<std::int64_t> full_since_ns_; // monotonic: since when appends wait for the log to be sealed

  std::map<shard_id, std::uint64_t> fences_;  // writer's
  std::int64_t newest_sealed_ns_ = INT64_MIN; // sealer's
  std::atomic<std::int64_t> kept_from_ns_{INT64_MIN};
  std::thread writer_;
  std::thread sealer_;
  scrubber scrubber_;
};

} // namespace skerry::cloud
