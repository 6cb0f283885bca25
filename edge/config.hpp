#pragma once

// Everything that an edge node can be told, with its defaults. docs/configuration.md and deploy/edge.example.yaml show
// every key.

#include "actors/api/query_api.hpp"
#include "actors/delivery/quota.hpp"
#include "actors/http/server.hpp"
#include "actors/link/listener.hpp"
#include "actors/node/reload.hpp"
#include "actors/push/push_service.hpp"
#include "edge/collect/host/host_config.hpp"
#include "edge/collect/scrape/page_budget.hpp"
#include "edge/collect/scrape/scrape_config.hpp"
#include "edge/gateway/spool_limits.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace skerry::edge {

struct edge_config {
  std::filesystem::path data = "/var/lib/skerry-edge";
  std::string host; // of the local collectors; empty: the operating system's host name
  std::string log_level = "info";
  http::server_config http;

  bool collect_host = true;
  std::chrono::nanoseconds collect_interval = std::chrono::seconds{15};
  std::string collect_job = "node";
  host_config collectors;
  scrape_settings scrape;
  std::size_t scrape_pages_bytes_max = pages_bytes_max_default;

  std::uint64_t spool_bytes_max = 0; // 0: the smaller of 10 GiB and 20 % of the disk
  std::uint64_t spool_segment_bytes = 64 << 20;
  std::uint64_t spool_reserve_bytes = 8 << 20;
  spool_limits_config spool_limits;
  std::chrono::nanoseconds local_retention =
      std::chrono::hours{24}; // what was delivered stays for reading here
  std::uint64_t local_bytes_max = std::uint64_t{1} << 30;
  std::chrono::nanoseconds clock_jump_wait = std::chrono::hours{24};
  std::chrono::nanoseconds commit_interval = std::chrono::milliseconds{100};
  std::filesystem::path commit_journal; // a line for each commit, for tests; empty: none

  std::size_t uplink_batch_bytes_max = 256 << 10;
  std::chrono::nanoseconds uplink_dead_after = std::chrono::seconds{30};
  std::chrono::nanoseconds uplink_ping_interval = std::chrono::seconds{240};
  std::uint64_t uplink_bandwidth = 0; // bytes a second; 0: whatever the link takes
  double uplink_backlog_share = 0.8;
  bool uplink_newest_first = false; // of the backlog
  std::chrono::nanoseconds uplink_failover_after = std::chrono::seconds{20};
  std::chrono::nanoseconds uplink_backlog_apart_from = std::chrono::milliseconds{200};
  delivery::quota_config uplink_quota;

  bool remote_write = true; // POST /api/v1/write
  std::uint64_t remote_write_bytes_max = 16 << 20;
  api::query_pool_config queries{1, 16, std::chrono::milliseconds{120'000}, std::chrono::milliseconds{100}};
  api::query_limits limits{std::chrono::milliseconds{promql::lookback_ms_default},
                           std::chrono::milliseconds{120'000},
                           5'000'000,
                           100'000,
                           48 << 20,
                           96 << 20};

  link::listener_config link; // for edges further out; an empty `bind`: there are none
};

using loaded_config = loaded_configuration<edge_config>;

// not_found / io / malformed: the file itself cannot be read. Mistakes inside it are `errors`.
[[nodiscard]] result<loaded_config> load_config(const std::filesystem::path& file);
[[nodiscard]] edge_config default_config();
// What would stop a start and is found outside the file, in its data directory: each a sentence. What is not there yet,
// or not to be read by who asks, is none.
[[nodiscard]] std::vector<std::string> check_data(const edge_config& config);

// As the node opens it, without what belongs to the node. `bytes_max_default`: where none is set.
[[nodiscard]] spool_config spool_settings(const edge_config& config, std::uint64_t bytes_max_default);
inline constexpr std::uint64_t spool_bytes_default_max = std::uint64_t{10} << 30;

} // namespace skerry::edge
