#pragma once

// What waits for one client whose answer lasts. Internal to this folder.
//
// A producer pushes from any thread and never waits; the client's strand takes, and says when it has written. Bytes and
// messages are bounded, those that are being written included. What does not fit ends the queue: what waits is let go at
// once, and the client will be told how much it missed. One message goes in whatever its size where nothing else is
// there: it is an answer like any other. Beyond answer_free_bytes all of it is taken from the budget of answers.

#include "actors/http/server.hpp"

#include <deque>
#include <functional>
#include <mutex>
#include <vector>

namespace skerry::http {

// Why an answer that lasted is over.
enum class stream_end : std::uint8_t {
  none,     // it is not
  overflow, // the client reads more slowly than messages come
  finished, // the producer let go of it
  stopping, // the node stops
  timeout,  // the client took nothing for stall_timeout
  client,   // it left, or sent what is no WebSocket's
};
[[nodiscard]] std::string_view to_string(stream_end why) noexcept;

class stream_queue {
public:
  stream_queue(std::size_t bytes_max, std::size_t messages_max, std::shared_ptr<memory_budget> answers)
      : bytes_max_(bytes_max), messages_max_(messages_max), held_(std::move(answers)) {}

  // False: it is over, or is now.
  [[nodiscard]] bool push(stream_message_ptr message);
  // The first reason counts. What waits is let go, but for `finished`.
  void end(stream_end why);
  // Calls `wake` once, whenever there is something to take and nobody has been woken for it; under the queue's lock, so that
  // none is under way when this returns.
  void attach(std::function<void()> wake);

  struct taken {
    std::vector<stream_message_ptr> messages;
    stream_end end = stream_end::none; // after these; told once all messages are taken
    std::uint64_t missed = 0;          // messages that did not fit
  };
  // Of what waits so much that it is about `bytes`, and one message at least.
  [[nodiscard]] taken take(std::size_t bytes);
  void written(); // what was taken last

  [[nodiscard]] std::size_t bytes() const; // that wait or are being written

private:
  void wake(); // the lock is held, here and below
  void let_go(std::size_t bytes);

  const std::size_t bytes_max_;
  const std::size_t messages_max_;
  mutable std::mutex mutex_; // guards what follows
  std::deque<stream_message_ptr> waiting_;
  std::size_t bytes_ = 0;
  std::size_t writing_bytes_ = 0;
  std::size_t writing_messages_ = 0;
  memory_share held_; // of bytes_ what is beyond answer_free_bytes
  stream_end end_ = stream_end::none;
  std::uint64_t missed_ = 0;
  std::function<void()> wake_;
  bool woken_ = false;
};

} // namespace skerry::http
