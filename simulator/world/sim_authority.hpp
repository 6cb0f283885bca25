#pragma once

// Who may speak for whom at one receiver: the rules of the registry of keys, in memory. Origins lie on the node's disk.

#include "actors/delivery/authority.hpp"

#include <map>
#include <set>
#include <string>

namespace skerry::sim {

class sim_authority final : public delivery::authority {
public:
  explicit sim_authority(std::map<edge_id, edge_id>& origins) : origins_(origins) {}

  bool may_speak(edge_id user, edge_id origin) override {
    if (revoked.contains(user))
      return false;
    if (user == origin)
      return joined.contains(user);
    const auto it = origins_.find(origin);
    return it != origins_.end() && it->second == user && !joined.contains(origin)
           && !revoked.contains(origin);
  }
  result<std::string> site_of(edge_id edge) override {
    return one_site.empty() ? "site " + to_string(edge) : one_site;
  }
  std::map<edge_id, error> register_origins(edge_id user, const std::vector<edge_id>& origins,
                                            std::int64_t) override {
    std::map<edge_id, error> refused;
    for (const auto origin : origins) {
      if (revoked.contains(user) || revoked.contains(origin) || joined.contains(origin))
        refused.emplace(origin, error{errc::forbidden, "the origin was revoked or has a key of its own"});
      else if (const auto it = origins_.emplace(origin, user).first; it->second != user)
        refused.emplace(origin, error{errc::conflict, "the origin belongs to another key"});
    }
    return refused;
  }

  std::set<edge_id> joined; // they have a key of their own
  std::set<edge_id> revoked;
  std::string one_site; // of all; empty: each key has its own

private:
  std::map<edge_id, edge_id>& origins_;
};

} // namespace skerry::sim
