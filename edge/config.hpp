#pragma once

// Everything that an edge node can be told, with its defaults. docs/configuration.md and deploy/edge.example.yaml show
// every key.

#include "actors/api/query_api.hpp"
#include "actors/delivery/sender.hpp"
#include "actors/http/server.hpp"
#include "actors/link/listener.hpp"
#include "actors/node/reload.hpp"
#include "actors/push/push_service.hpp"
#include "edge/collect/collect_settings.hpp"
#include "edge/gateway/gateway_settings.hpp"
#include "edge/spool/spool.hpp"
#include "edge/uplink/uplink_settings.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace skerry::edge {

// What of a spool a node has otherwise.
[[nodiscard]] inline spool_settings spool_defaults() {
  spool_settings spool;
  spool.bytes_max = 0;                            // the smaller of 10 GiB and 20 % of the disk
  spool.local_retention = std::chrono::hours{24}; // what was delivered stays for reading here
  return spool;
}

struct edge_config {
  std::filesystem::path data = "/var/lib/skerry-edge";
  std::string log_level = "info";
  http::server_config http;
  collect_settings collect;
  spool_settings spool = spool_defaults();
  gateway_settings gateway;         // as the next: of the sections spool and uplink
  delivery::sender_settings sender; // what goes upstream, and when
  uplink_settings uplink;
  link::listener_config link; // for edges further out; an empty `bind`: there are none

  bool remote_write = true; // POST /api/v1/write
  std::uint64_t remote_write_bytes_max = 16 << 20;
  api::query_pool_config queries{1, 16, std::chrono::milliseconds{120'000}, std::chrono::milliseconds{100}};
  api::query_limits limits{std::chrono::milliseconds{promql::lookback_ms_default},
                           std::chrono::milliseconds{120'000},
                           5'000'000,
                           100'000,
                           48 << 20,
                           96 << 20};
};

using loaded_config = loaded_configuration<edge_config>;

// not_found / io / malformed: the file itself cannot be read. Mistakes inside it are `errors`.
[[nodiscard]] result<loaded_config> load_config(const std::filesystem::path& file);
[[nodiscard]] edge_config default_config();
// What would stop a start and is found outside the file, in its data directory: each a sentence. What is not there yet,
// or not to be read by who asks, is none.
[[nodiscard]] std::vector<std::string> check_data(const edge_config& config);

// As the node opens it, without what belongs to the node. `bytes_max_default`: where none is set.
[[nodiscard]] spool_config spool_config_of(const edge_config& config, std::uint64_t bytes_max_default);

} // namespace skerry::edge
