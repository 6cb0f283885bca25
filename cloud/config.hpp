#pragma once

// Everything that a cloud node can be told, with its defaults. docs/configuration.md and deploy/cloud.example.yaml
// show every key.

#include "actors/api/query_pool.hpp"
#include "actors/delivery/receiver.hpp"
#include "actors/http/server.hpp"
#include "actors/link/listener.hpp"
#include "actors/node/reload.hpp"
#include "actors/push/push_service.hpp"
#include "cloud/api/context.hpp"
#include "cloud/ingest/host_admission.hpp"
#include "cloud/store/embedded.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace skerry::cloud {

// Every edge talks to this node: more may wait than at a gateway.
[[nodiscard]] inline link::listener_config link_defaults() {
  link::listener_config link;
  link.bind = "tcp://*:7481";
  link.queue_bytes_max = 128 << 20;
  return link;
}

struct cloud_config {
  std::filesystem::path data = "/var/lib/skerry-cloud";
  std::string name = "cloud"; // how this node is called in messages and in the ledger
  std::string log_level = "info";
  http::server_config http;
  link::listener_config link = link_defaults();
  delivery::receiver_config receiver;
  std::chrono::nanoseconds future_max = std::chrono::minutes{10};
  host_limits hosts;
  bool remote_write = true;                 // POST /api/v1/write
  std::string remote_write_site = "remote"; // pushed series are accounted for it
  std::uint64_t remote_write_bytes_max = push::queue_bytes_max_default;
  embedded_config store;
  query_pool_config queries;
  query_limits limits;
  std::uint64_t query_cache_bytes_max = 32 << 20; // of range queries' answers; 0: none is kept
  bool admin_api = false;                         // POST /api/v1/admin/tsdb/…
  std::string text; // the file, for /api/v1/status/config: it names secrets, and holds none
};

using loaded_config = loaded_configuration<cloud_config>;

// not_found / io / malformed: the file itself cannot be read. Mistakes inside it are `errors`.
[[nodiscard]] result<loaded_config> load_config(const std::filesystem::path& file);
// What would stop a start and is found outside the file, in its data directory: each a sentence. What is not there yet,
// or not to be read by who asks, is none.
[[nodiscard]] std::vector<std::string> check_data(const cloud_config& config);

} // namespace skerry::cloud
