#pragma once

// What the API tells of sites and hosts, and what operators may do: implements node_operations from the registry of
// edges, the table of hosts and the board of sessions. Any thread.

#include "actors/link/transport.hpp"
#include "cloud/api/context.hpp"
#include "cloud/ingest/ingest.hpp"
#include "cloud/sites/host_table.hpp"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace skerry::link {
class registry;
}

namespace skerry::cloud {

struct operations_settings {
  std::shared_ptr<link::registry> registry;
  std::shared_ptr<host_table> hosts;
  std::shared_ptr<edge_board> board;
  link::curve_key server_key;
  std::string advertise;    // "host:port" for tokens; empty: made from this machine's name and `link_address`
  std::string link_address; // as bound
  std::function<void(edge_id)> on_revoked;
  std::function<result<void>()> takes_data; // or why not
  std::function<result<std::string>()> reload;
};

class operations final : public node_operations {
public:
  operations(operations_settings settings, clock_source& clock, random_source& random);

  std::vector<site_status> sites() override;
  std::vector<host_status> hosts() override;
  result<void> healthy() override;
  result<void> ready() override;
  result<std::string> reload() override;
  result<invite> make_invite(const invite_request& request) override;
  result<std::vector<invite>> invites() override;
  result<void> revoke(edge_id edge) override;

  void on_tick(); // about once a second: measures rates

private:
  struct site_rate {        // of one edge
    std::int64_t at_ns = 0; // monotonic
    std::uint64_t samples = 0;
    double samples_per_second = 0;
  };
  [[nodiscard]] std::string token_address() const;

  operations_settings settings_;
  clock_source& clock_;
  random_source& random_;
  std::mutex mutex_;
  std::map<std::pair<edge_id, std::string>, site_rate>
      rates_; // of each origin; of what is pushed: of each site
};

} // namespace skerry::cloud
