#pragma once

// One target: when it is due, what its pages become. Everything that a scrape means apart from fetching.
//
// A page becomes samples under the target's labels, plus `up`, `scrape_duration_seconds`,
// `scrape_samples_scraped`, `scrape_samples_post_metric_relabeling` and `scrape_series_added`. Where no page
// came, or a limit was exceeded, `up` is 0 and every series gets a stale marker. Where lines of a page were
// malformed, they are refused and counted, the rest is kept, and `up` is 0 with the reason in last_error().
// (Prometheus drops the whole page then.)
//
// Labels: `job`, `instance` and the others, exactly as Prometheus sets them. For which host a frame is accounted
// (resolved_target::host) is no label.
//
// No clock: times are given. One thread at a time may scrape (request, process, fail, end), not always the
// same; the methods marked "any thread" may be called beside it.

#include "edge/collect/due_watch.hpp"
#include "edge/collect/frame_assembler.hpp"
#include "edge/collect/scrape/exposition_parser.hpp"
#include "edge/collect/scrape/fetcher.hpp"
#include "edge/collect/scrape/target_labels.hpp"

#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace prometheus {
class Counter;
}

namespace skerry::edge {

// Prometheus' tolerance: a scrape this little late bears the time at which it was due.
inline constexpr std::int64_t scrape_late_max_ns = 2'000'000;

// Memory of pages that each thread keeps for its next requests.
inline constexpr std::size_t spare_pages_max = 16;
inline constexpr std::size_t spare_page_bytes_max = 1 << 20;
void keep_spare_page(std::string page);

// Lines about targets that go down and come back. One a target and `per_target_ns` at most, and `lines_max` a minute of
// all: what is beyond is counted, and said with the next line. Any thread.
class target_log {
public:
  static constexpr std::int64_t per_target_ns = 300'000'000'000;
  static constexpr std::uint64_t lines_max = 60;

  // Whether a line may be written now; `withheld` is how many were not since the last one.
  [[nodiscard]] bool take(std::int64_t now_ns, std::uint64_t& withheld);

private:
  std::mutex mutex_;
  std::int64_t minute_ns_ = 0;
  std::uint64_t lines_ = 0;
  std::uint64_t withheld_ = 0;
};

// Of all targets of a node.
struct scrape_metrics {
  explicit scrape_metrics(prometheus::Registry& registry);
  prometheus::Counter& scrapes;
  prometheus::Counter& samples;
  prometheus::Counter& stale_markers;
  prometheus::Counter& series_made;
  prometheus::Counter& duplicates;
  prometheus::Counter& lines_refused;
  prometheus::Counter& series_refused;
  prometheus::Counter& samples_refused;
  prometheus::Counter& samples_ahead;
  prometheus::Counter& relabel_dropped;
  prometheus::Counter& failed_connect;
  prometheus::Counter& failed_timeout;
  prometheus::Counter& failed_tls;
  prometheus::Counter& failed_body_size;
  prometheus::Counter& failed_status;
  prometheus::Counter& failed_other;
  prometheus::Counter& failed_page;   // malformed lines
  prometheus::Counter& failed_limit;  // sample and label limits, target_limit
  prometheus::Counter& skipped;       // due while the scrape before was still under way
  prometheus::Counter& file_errors;   // of file_sd
  prometheus::Counter& target_errors; // labels that make no target
  target_log log;
};

enum class target_health : std::uint8_t { unknown, up, down };

struct target_status {
  target_health health = target_health::unknown;
  std::string last_error;
  std::int64_t last_scrape_ns = 0; // 0: never
  double last_duration_seconds = 0;
  std::uint64_t last_samples = 0;
};

// A text that one thread sets and another reads.
class guarded_text {
public:
  guarded_text& operator=(std::string text) {
    const std::lock_guard lock{mutex_};
    text_ = std::move(text);
    return *this;
  }
  [[nodiscard]] bool empty() const {
    const std::lock_guard lock{mutex_};
    return text_.empty();
  }
  operator std::string() const { // NOLINT: stands for the text
    const std::lock_guard lock{mutex_};
    return text_;
  }

private:
  mutable std::mutex mutex_;
  std::string text_;
};

class scrape_target {
public:
  // `seed` moves the due time within the interval; the same on every start, different between edges.
  scrape_target(scrape_config_ptr config, resolved_target target, std::uint64_t seed,
                scrape_metrics& metrics);
  ~scrape_target();

  [[nodiscard]] const resolved_target& resolved() const noexcept { return target_; }
  [[nodiscard]] const std::string& host() const noexcept { return host_; }
  [[nodiscard]] const std::string& job() const noexcept {
    return job_;
  } // the job_name: Prometheus' scrape pool
  [[nodiscard]] std::chrono::nanoseconds interval() const noexcept { return target_.interval; }

  // The first moment after `now_ns` at which the target is due; whole milliseconds.
  [[nodiscard]] std::int64_t next_scrape_time(std::int64_t now_ns) const noexcept;
  // The time that samples get: the due time where the scrape began at most 2 ms after it.
  [[nodiscard]] std::int64_t sample_time(std::int64_t due_ns, std::int64_t began_ns) const noexcept;

  // What to give to the fetcher, with memory for the page.
  [[nodiscard]] fetch_request request();
  // What the fetcher answered for a scrape that began at `time_ns`. Leaves memory of an older page in the response.
  [[nodiscard]] collection process(fetch_response& response, std::int64_t time_ns, std::int64_t monotonic_ns);
  // The scrape was not done, for this reason.
  [[nodiscard]] collection fail(std::string why, std::int64_t time_ns, std::int64_t monotonic_ns);
  // It was due while the scrape before was still under way.
  void note_skipped();
  // The target is no more: stale markers for all of its series, `up` among them.
  [[nodiscard]] collection end(std::int64_t time_ns, std::int64_t monotonic_ns);

  due_watch watch; // any thread

  // Not empty where the target must not be scraped now (target_limit): call fail() with it when due. Any
  // thread.
  guarded_text forced_error;

  // New settings for the same target, from its next scrape on; its series live on. Any thread.
  void reconfigure(scrape_config_ptr config);
  [[nodiscard]] target_status status() const; // any thread

  [[nodiscard]] std::size_t series_count() const noexcept { return assembler_.series_count(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

private:
  class page_resolver;
  struct outcome {
    double duration_seconds = 0;
    std::uint64_t scraped = 0;
    std::uint64_t kept = 0;
    std::uint64_t added = 0;
    std::string error;
  };
  collection report(outcome result, std::int64_t time_ns, std::int64_t monotonic_ns);
  void count();
  void log_state(bool up, const std::string& error, std::int64_t time_ns);
  void log_ahead(std::uint64_t samples, std::int64_t time_ns);
  void take_settings();

  scrape_config_ptr config_;
  const std::string job_;
  resolved_target target_;
  labels public_; // target labels without those that begin with "__"
  std::string host_;
  std::int64_t offset_ns_ = 0;
  frame_assembler assembler_;
  exposition_parser parser_;
  std::array<series_ref, 5> report_refs_{};
  std::uint32_t report_epoch_ = ~std::uint32_t{0};
  std::string logged_error_; // of the line that said it is down; empty: no such line, or it is up again
  std::int64_t logged_down_ns_ = 0;  // 0: never
  std::int64_t logged_ahead_ns_ = 0; // the same
  assembler_counters counted_;       // what `metrics_` has of the assembler's
  scrape_metrics& metrics_;
  std::atomic<bool> has_settings_{false};
  mutable std::mutex mutex_;
  scrape_config_ptr next_config_; // guarded
  target_status status_;          // guarded
};

} // namespace skerry::edge
