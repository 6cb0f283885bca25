#pragma once

// The thread that client connections live on, with its ZeroMQ context: one connection on an edge node, hundreds in a
// simulator. It sleeps in epoll until a connection's sockets, an earlier wake() or a due time call for a turn of that
// connection. Internal to actors/link; throws zmq::error_t and std::system_error where the system has nothing left.

#include "actors/link/zmq_io.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace skerry::link {

class client_loop {
public:
  using steady = std::chrono::steady_clock;

  // All but the destructor on the loop's thread. Must not throw.
  class member {
  public:
    virtual ~member() = default;
    // Something happened, or the time has come. Returns when it wants the next turn at the latest.
    virtual steady::time_point turn() = 0;
    virtual void close() = 0; // the last call

  private:
    friend class client_loop;
    std::atomic<bool> woken_{false};
    steady::time_point due_{};
  };

  // `clients_max`: the context's bound on sockets follows from it. More than one thread pays from hundreds of clients.
  explicit client_loop(std::size_t clients_max);
  ~client_loop(); // no member is left
  client_loop(const client_loop&) = delete;
  client_loop& operator=(const client_loop&) = delete;

  void add(member& one);           // it gets its first turn
  void remove(member& one);        // waits until close() has returned; not from the loop's thread
  void wake(member& one) noexcept; // any thread; it gets a turn

  // The descriptor's becoming readable is a turn of `one`. The loop's thread.
  void watch(int fd, member& one);
  void unwatch(int fd) noexcept;

  [[nodiscard]] zmq::context_t& context() noexcept { return context_; }

private:
  void run();
  void take_requests();
  void give_turn(member& one);

  zmq::context_t context_;
  detail::wakeup wakeup_;
  int epoll_ = -1;
  std::mutex mutex_;
  std::condition_variable removed_;
  std::vector<member*> adding_;
  std::vector<member*> removing_;
  std::vector<member*> woken_;
  bool stopping_ = false;
  // Everything below belongs to the thread once it runs.
  std::set<std::pair<steady::time_point, member*>> due_;
  std::vector<member*> turns_;
  std::thread thread_;
};

} // namespace skerry::link
