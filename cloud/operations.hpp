#pragma once

// What operators may do, and what the API tells of sites and hosts (cloud/sites): implements node_operations. Any thread.

#include "actors/link/transport.hpp"
#include "cloud/api/context.hpp"
#include "cloud/sites/site_directory.hpp"

#include <functional>
#include <memory>
#include <string>

namespace skerry::link {
class registry;
}

namespace skerry::cloud {

struct operations_settings {
  std::shared_ptr<link::registry> registry;
  std::shared_ptr<site_directory> sites;
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

  std::vector<site_status> sites() override { return settings_.sites->sites(); }
  std::vector<host_status> hosts() override { return settings_.sites->hosts(); }
  result<void> healthy() override;
  result<void> ready() override;
  result<std::string> reload() override;
  result<invite> make_invite(const invite_request& request) override;
  result<std::vector<invite>> invites() override;
  result<void> revoke(edge_id edge) override;

private:
  [[nodiscard]] std::string token_address() const;

  operations_settings settings_;
  clock_source& clock_;
  random_source& random_;
};

} // namespace skerry::cloud
