#pragma once

// Tells apart who speaks on a receiving link by the User-Id that the key gave the connection: an edge (its messages go
// to the receiver) or someone who joins (which may send nothing but Join). Not thread-safe.

#include "actors/delivery/peer_budget.hpp"
#include "actors/delivery/receiver.hpp"
#include "actors/node/log_limiter.hpp"

#include <functional>
#include <string>

namespace skerry::link {
class registry;
enum class invite_id : std::uint64_t;
} // namespace skerry::link

namespace skerry::delivery {

struct reception_counters {
  std::uint64_t joined = 0;
  std::uint64_t joins_refused = 0;
  std::uint64_t unauthorized = 0; // messages that a joining key may not send, or of an unknown user id
  std::uint64_t over_budget = 0;  // messages of keys that sent more than they may, not decoded
};

class reception {
public:
  using send_function = std::function<void(const link::peer_id& to, link::message message)>;

  reception(receiver& to, link::registry& registry, clock_source& clock, random_source& random,
            std::size_t message_bytes_max, send_function send);

  void on_message(const link::peer_id& from, const std::string& user_id, const link::message_parts& parts);
  void on_closed(const link::peer_id& from, const std::string& user_id); // its connection was closed
  [[nodiscard]] const reception_counters& counters() const noexcept { return counters_; }

private:
  void on_join(const link::peer_id& from, link::invite_id invite, const link::message_parts& parts);

  receiver& to_;
  link::registry& registry_;
  clock_source& clock_;
  random_source& random_;
  std::size_t message_bytes_max_;
  send_function send_;
  peer_budget budgets_;
  log_limiter join_log_{20}; // of joins and what goes wrong with them
  log_limiter budget_log_{2};
  reception_counters counters_;
};

} // namespace skerry::delivery
