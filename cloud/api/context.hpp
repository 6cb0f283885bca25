#pragma once

// What the HTTP API needs from the rest of the cloud node: plain structs and one interface, which main wires.

#include "actors/api/query_api.hpp"
#include "actors/base/clock.hpp"
#include "actors/http/server.hpp"
#include "cloud/query/query_pool.hpp"
#include "cloud/sites/site_status.hpp"
#include "schemas/model/identity.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::cloud {

class deletions;
class ledger_reader;
class result_cache;
class retractions;
class site_feed;

struct invite_request {
  std::string site;
  std::chrono::nanoseconds ttl = std::chrono::hours{24};
  edge_id edge = edge_id::none; // an edge that joins again; none: a new one
};

struct invite {
  std::string id;
  std::string site;
  std::string token; // given once, when made; empty in lists. A secret: never logged.
  std::int64_t expires_ns = 0;
  edge_id edge = edge_id::none;
  bool used = false;
};

// Implemented by the node. Any thread may call; sites(), hosts(), healthy() and ready() answer from memory, at once. The
// others may wait for the disk.
class node_operations {
public:
  virtual ~node_operations() = default;
  [[nodiscard]] virtual std::vector<site_status> sites() = 0;
  [[nodiscard]] virtual std::vector<host_status> hosts() = 0;
  [[nodiscard]] virtual result<void> healthy() = 0; // whether data can be stored; the message says why not
  [[nodiscard]] virtual result<void> ready() = 0;   // the message says what is missing
  [[nodiscard]] virtual result<std::string> reload() = 0; // what changed, for people
  [[nodiscard]] virtual result<invite> make_invite(const invite_request& request) = 0;
  [[nodiscard]] virtual result<std::vector<invite>> invites() = 0;
  [[nodiscard]] virtual result<void> revoke(edge_id edge) = 0; // not_found: no such edge
};

using api::build_info;
using api::query_limits;

// Everything pointed to outlives the server that serves the routes.
struct api_context {
  promql::series_source* source = nullptr;
  query_pool* queries = nullptr;
  query_pool* lookups = nullptr; // for all else that takes a moment
  result_cache* cache = nullptr; // of range queries' answers; null: none
  node_operations* node = nullptr;
  site_feed* feed = nullptr;        // of the same node
  ledger_reader* ledger = nullptr;  // null: nothing is known of losses
  retractions* retracted = nullptr; // null: nothing of the ledger can be taken back
  deletions* deleted = nullptr;     // null: the admin API is off
  clock_source* clock = &system_clock();
  http::handler metrics; // serves /metrics; empty: no such route
  build_info build;
  query_limits limits;
  std::shared_ptr<memory_budget> memory;  // of all queries; null: unbounded
  std::shared_ptr<memory_budget> answers; // that are being written; null: unbounded
  // What /api/v1/status/… answers besides.
  std::int64_t started_ns = 0;
  std::string config_text;
  std::vector<std::pair<std::string, std::string>> flags;
  std::string retention;
  std::function<config_reload::outcome()> reloaded;
};

} // namespace skerry::cloud
