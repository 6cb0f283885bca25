#pragma once

// Who may speak for whom, as a receiver asks it: the registry of keys behind an interface, so that a world in memory
// can stand in its place. Not thread-safe by itself; the registry is.

#include "actors/delivery/receiver.hpp"

namespace skerry::link {
class registry;
}

namespace skerry::delivery {

class authority {
public:
  virtual ~authority() = default;
  [[nodiscard]] virtual bool may_speak(edge_id user, edge_id origin) = 0;
  [[nodiscard]] virtual result<std::string> site_of(edge_id edge) = 0;
  // All of them together, durably. Those that may not come back with their errors; forbidden, conflict: the origin
  // belongs to another key, or was revoked.
  [[nodiscard]] virtual std::map<edge_id, error>
  register_origins(edge_id user, const std::vector<edge_id>& origins, std::int64_t now_s) = 0;
};

class registry_authority final : public authority {
public:
  explicit registry_authority(link::registry& keys) : keys_(keys) {}
  bool may_speak(edge_id user, edge_id origin) override;
  result<std::string> site_of(edge_id edge) override;
  std::map<edge_id, error> register_origins(edge_id user, const std::vector<edge_id>& origins,
                                            std::int64_t now_s) override;

private:
  link::registry& keys_;
};

// The part of a receiver's backend that the cloud and a gateway share: what a key may do.
class authorized_backend : public receiver_backend {
public:
  authorized_backend(authority& keys, clock_source& clock) : keys_(keys), clock_(clock) {}
  std::optional<std::string> site_of(edge_id edge) override;
  bool may_speak(edge_id user, edge_id origin) override { return keys_.may_speak(user, origin); }
  refused_origins register_origins(edge_id user, const std::vector<edge_id>& origins) override;

private:
  authority& keys_;
  clock_source& clock_;
};

} // namespace skerry::delivery
