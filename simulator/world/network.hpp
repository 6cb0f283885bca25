#pragma once

// A link between two nodes, as ZeroMQ over TCP is seen from delivery: in order within a connection, whole messages, and
// nothing after the connection is lost. What was under way when it was lost may be gone, or arrive late beside a newer
// connection: that is how things are reordered and doubled. The server has one address or two; of two, one may be gone.
// Single-threaded.

#include "actors/link/messages.hpp"
#include "simulator/world/scheduler.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <string>

namespace skerry::sim {

enum direction : std::uint8_t { up = 0, down = 1 }; // towards the receiver, and back

struct link_condition {
  sim_time delay = 10 * millisecond; // one way
  sim_time jitter = 2 * millisecond;
  std::int64_t bytes_per_second = 0; // 0: no limit
  unsigned loss_percent = 0;         // of messages that TCP has to send again
  sim_time blocked_until[2] = {0, 0};
};

// What stands at the far end; a node that is down, or refuses, does not answer.
class link_server {
public:
  enum class answer : std::uint8_t { none, refused, accepted };
  virtual ~link_server() = default;
  virtual answer dial(edge_id user) = 0;
  virtual void on_client_message(const link::peer_id& from, edge_id user, link::message message) = 0;
  [[nodiscard]] virtual std::uint64_t life() const = 0; // changes with each process
};

class sim_link {
public:
  struct client_events {
    std::function<void()> connected, disconnected, refused;
    std::function<void(link::message)> message;
  };

  std::function<void(std::string)> trace; // where asked for

  sim_link(scheduler& time, seeded_random random, edge_id user, std::string name, link_server& server)
      : time_(time), random_(random), user_(user), name_(std::move(name)), server_(server) {}

  // A new client dials this address of the server's.
  void start(client_events events, std::size_t address = 0);
  void stop(); // it is gone; what is under way may still arrive
  [[nodiscard]] bool client_send(link::message message);
  void client_reconnect();
  // The connection is lost. `late`: what was on its way to the server arrives, some time.
  void lose_connection(bool late);
  // The address that is used or tried leads nowhere any more, and any other one does.
  void lose_address();
  // The server's process is gone, noticed by the client (`reset`) or not.
  void server_gone(bool reset);
  // False: not this link's.
  bool server_send(const link::peer_id& to, const link::message& message);

  [[nodiscard]] bool connected() const noexcept { return connection_ != nullptr; }
  [[nodiscard]] bool started() const noexcept { return life_ != 0; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; } // both ways, since the world began
  link_condition condition;
  std::size_t queue_max = 1000;

private:
  struct connection {
    link::peer_id peer;
    std::uint64_t server_life = 0;
    bool open = true;  // the client has it
    bool moot = false; // the server that it leads to is gone
    struct flight {
      link::message message;
      sim_time arrives = 0;
    };
    std::deque<flight> flights[2];
    sim_time last[2] = {0, 0};
    bool scheduled[2] = {false, false};
  };
  using connection_ptr = std::shared_ptr<connection>;

  void dial_after(sim_time delay);
  void dial();
  bool push(const connection_ptr& on, direction way, link::message message);
  void schedule(const connection_ptr& on, direction way);
  void deliver(const connection_ptr& on, direction way);
  void close(bool late);

  scheduler& time_;
  seeded_random random_;
  edge_id user_;
  std::string name_;
  link_server& server_;
  client_events events_;
  std::size_t address_ = 0;
  std::optional<std::size_t> gone_; // the address that leads nowhere
  std::uint64_t bytes_ = 0;
  std::uint64_t life_ = 0; // of the client's process; 0 while there is none
  std::uint64_t lives_ = 0;
  std::uint64_t dials_ = 0;
  std::uint64_t connections_ = 0;
  connection_ptr connection_;
};

} // namespace skerry::sim
