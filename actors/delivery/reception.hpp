#pragma once

// Tells apart who speaks on a receiving link by the User-Id that the key gave the connection: an edge (its messages go
// to the receiver) or someone who joins (which may send nothing but Join). What came waits for its turn: keys take turns by
// the time that theirs takes, so that one whose messages cost much makes nobody else wait. Not thread-safe.

#include "actors/base/log_limiter.hpp"
#include "actors/delivery/peer_budget.hpp"
#include "actors/delivery/receiver.hpp"
#include "actors/delivery/turns.hpp"
#include "actors/link/byte_budget.hpp"

#include <functional>
#include <string>
#include <unordered_map>

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
  std::uint64_t crowded_out = 0;  // messages of keys that have more waiting than they may, not taken
};

// What a transport has received.
struct arrival {
  link::peer_id from;
  std::string user_id;
  link::message_parts parts;
  link::byte_budget::share share; // of what may wait
  bool closed = false;            // no message: the connection was closed
};

class reception {
public:
  using send_function = std::function<void(const link::peer_id& to, link::message message)>;

  // `credit_bytes` is what an edge may have under way: of one key twice that and 8 MiB may wait, and one message
  // always; what is beyond is not taken.
  reception(receiver& to, link::registry& registry, clock_source& clock, random_source& random,
            std::size_t message_bytes_max, std::uint64_t credit_bytes, send_function send);

  // True: take_some() is to be called, soon; it was not yet.
  [[nodiscard]] bool arrived(arrival what);
  // Works for about a millisecond on what waits. True: it is to be called again, once what has come meanwhile has arrived.
  [[nodiscard]] bool take_some();
  [[nodiscard]] const reception_counters& counters() const noexcept { return counters_; }

private:
  struct waiting {
    arrival what;
    std::uint64_t bytes = 0;
  };
  void take(const arrival& what);
  void on_message(const link::peer_id& from, edge_id user, const link::message_parts& parts);
  void on_join(const link::peer_id& from, link::invite_id invite, const link::message_parts& parts);

  receiver& to_;
  link::registry& registry_;
  clock_source& clock_;
  random_source& random_;
  std::size_t message_bytes_max_;
  const std::uint64_t waiting_bytes_max_; // of one key
  send_function send_;
  turns<waiting> turns_{1};
  std::unordered_map<edge_id, std::uint64_t> waiting_bytes_; // of keys that have something waiting
  bool working_ = false;
  peer_budget budgets_;
  log_limiter join_log_{20}; // of joins and what goes wrong with them
  log_limiter budget_log_{2};
  reception_counters counters_;
};

} // namespace skerry::delivery
