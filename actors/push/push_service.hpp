#pragma once

// Remote write over HTTP, for both nodes: POST /api/v1/write. It takes requests on the HTTP server's threads, decodes
// and assembles them on a thread of its own, hands the records to whoever numbers and commits them, and answers when
// that has returned: 2xx means on stable storage. What waits, and what is on its way to the disk, is bounded by
// bytes; beyond, and wherever something is full, the answer is 503 with Retry-After. A part of its node.

#include "actors/base/clock.hpp"
#include "actors/http/server.hpp"
#include "actors/node/part.hpp"
#include "actors/push/push_assembler.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace prometheus {
class Registry;
}

namespace skerry::push {

inline constexpr std::uint64_t queue_bytes_max_default = 64 << 20;

struct push_service_config {
  std::string site = "remote";                // of series that name none
  bool token_names_sites = false;             // who has the token may name others
  std::function<std::int64_t()> kept_from_ns; // samples before are refused; any thread; null: none is too old
  // And those further ahead; 0: none. An edge leaves that to the node that it delivers to, whose clock is better.
  std::chrono::nanoseconds future_max{0};
  std::uint64_t queue_bytes_max = queue_bytes_max_default; // uncompressed; one request is always taken
  clock_source* clock = &system_clock();
  // Why the clock may be wrong, empty where it is not doubted: then no request is refused for being ahead of it for good,
  // but told to come again. May be missing.
  std::function<std::string()> clock_doubt;
  // Called on the service's thread. `done` is called once, from any thread, after the commit or its failure.
  using done_function = std::function<void(result<void>)>;
  std::function<void(push_outcome what, done_function done)> commit;
};

class push_service final : public node_part {
public:
  push_service(push_service_config config, prometheus::Registry& metrics);
  ~push_service() override; // what waits is answered with 503; joins

  [[nodiscard]] http::route route(); // the service outlives the server
  [[nodiscard]] std::vector<http::route> routes() override { return {route()}; }

private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

} // namespace skerry::push
