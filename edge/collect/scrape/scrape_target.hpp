#pragma once

// One target: when it is due, what its pages become. Everything that a scrape means apart from fetching.
//
// A page becomes samples under the target's labels, plus `up`, `scrape_duration_seconds`,
// `scrape_samples_scraped`, `scrape_samples_post_metric_relabeling` and `scrape_series_added`. Where no page
// came, or a limit was exceeded, `up` is 0 and every series gets a stale marker. Where lines of a page were
// malformed, they are refused and counted, the rest is kept, and `up` is 0 with the reason in last_error().
// (Prometheus drops the whole page then.)
//
// Labels: `job`, `instance` and the others as Prometheus sets them. `host` is the frame's and `site` the
// cloud's: where a series has a `host` that is not the target's, or a `site`, it is renamed `exported_host`,
// `exported_site`.
//
// No threads, no clock: one thread at a time, times are given.

#include "edge/collect/frame_assembler.hpp"
#include "edge/collect/scrape/exposition_parser.hpp"
#include "edge/collect/scrape/fetcher.hpp"
#include "edge/collect/scrape/target_labels.hpp"

#include <prometheus/registry.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace prometheus {
class Counter;
}

namespace skerry::edge {

// Prometheus' tolerance: a scrape this little late bears the time at which it was due.
inline constexpr std::int64_t scrape_late_max_ns = 2'000'000;

inline constexpr std::size_t spare_pages_max = 32;
inline constexpr std::size_t spare_page_bytes_max = 4 << 20;

// Memory that the targets of one thread share.
struct scrape_workspace {
  std::shared_ptr<frame_scratch> frames = std::make_shared<frame_scratch>();
  std::shared_ptr<parse_scratch> parser = std::make_shared<parse_scratch>();
  std::shared_ptr<std::vector<std::string>> pages =
      std::make_shared<std::vector<std::string>>(); // to be filled
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
};

enum class target_health : std::uint8_t { unknown, up, down };

class scrape_target {
public:
  // `seed` moves the due time within the interval; the same on every start, different between edges.
  scrape_target(scrape_config_ptr config, resolved_target target, const scrape_workspace& workspace,
                std::uint64_t seed, scrape_metrics& metrics);
  ~scrape_target();

  [[nodiscard]] const resolved_target& resolved() const noexcept { return target_; }
  [[nodiscard]] const scrape_config& config() const noexcept { return *config_; }
  [[nodiscard]] const std::string& host() const noexcept { return host_; }
  [[nodiscard]] std::chrono::nanoseconds interval() const noexcept { return target_.interval; }

  // The first moment after `now_ns` at which the target is due; whole milliseconds.
  [[nodiscard]] std::int64_t next_scrape_time(std::int64_t now_ns) const noexcept;
  // The time that samples get: the due time where the scrape began at most 2 ms after it.
  [[nodiscard]] std::int64_t sample_time(std::int64_t due_ns, std::int64_t began_ns) const noexcept;

  // What to give to the fetcher, with memory for the page.
  [[nodiscard]] fetch_request request();
  // What the fetcher answered for a scrape that began at `time_ns`. Takes the response's memory.
  [[nodiscard]] collection process(fetch_response& response, std::int64_t time_ns, std::int64_t monotonic_ns);
  // The scrape was not done, for this reason.
  [[nodiscard]] collection fail(std::string why, std::int64_t time_ns, std::int64_t monotonic_ns);
  // The target is no more: stale markers for all of its series, `up` among them.
  [[nodiscard]] collection end(std::int64_t time_ns, std::int64_t monotonic_ns);

  // Set where the target must not be scraped now (target_limit): call fail() with it when due.
  std::string forced_error;

  // New settings for the same target; its series live on.
  void reconfigure(scrape_config_ptr config);

  [[nodiscard]] target_health health() const noexcept { return health_; }
  [[nodiscard]] const std::string& last_error() const noexcept { return last_error_; }
  [[nodiscard]] std::int64_t last_scrape_ns() const noexcept { return last_scrape_ns_; } // 0: never
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

  scrape_config_ptr config_;
  resolved_target target_;
  labels public_; // target labels without those that begin with "__"
  std::string host_;
  std::int64_t offset_ns_ = 0;
  frame_assembler assembler_;
  exposition_parser parser_;
  std::shared_ptr<std::vector<std::string>> pages_;
  std::array<series_ref, 5> report_refs_{};
  std::uint32_t report_epoch_ = ~std::uint32_t{0};
  assembler_counters counted_; // what `metrics_` has of the assembler's
  target_health health_ = target_health::unknown;
  std::string last_error_;
  std::int64_t last_scrape_ns_ = 0;
  scrape_metrics& metrics_;
};

} // namespace skerry::edge
