#pragma once

// One client whose answer lasts: it takes the socket over from the session that read the request. Internal to this folder:
// it pulls Boost in.
//
// It lives on that session's strand. shared_state owns it while it is open, and the operations under way do. Its steps:
//   open (a header, or a WebSocket's handshake) -> write … wait (heartbeats) … write -> goodbye -> closed
// One timer bounds each step that waits for the client, and makes heartbeats. What the client sends is read and means
// nothing, but that it is there. Whether it is an event stream or a WebSocket is what the derived classes know.

#include "actors/http/session.hpp"
#include "actors/http/stream_queue.hpp"

#include <boost/asio/bind_executor.hpp>

#include <string>

namespace skerry::http {

// Of streams_max; goes back with it.
class stream_place {
public:
  explicit stream_place(std::weak_ptr<shared_state> of) : of_(std::move(of)) {}
  ~stream_place();
  stream_place(const stream_place&) = delete;
  stream_place& operator=(const stream_place&) = delete;

private:
  std::weak_ptr<shared_state> of_; // it may outlive the server in a queue of its own
};

// What a session hands over.
struct lasting_start {
  std::shared_ptr<shared_state> shared;
  strand_type strand;
  stream_socket socket;
  beast::http::request<beast::http::string_body> asked;
  std::string pattern; // the route's path, for the counters
  std::shared_ptr<stream_queue> queue;
  std::unique_ptr<stream_place> place;
  std::chrono::steady_clock::time_point started;
};

class lasting_client : public std::enable_shared_from_this<lasting_client> {
public:
  virtual ~lasting_client() = default;
  lasting_client(const lasting_client&) = delete;
  lasting_client& operator=(const lasting_client&) = delete;

  void start(); // on the strand
  void stop();  // any thread: tells the client, and closes within goodbye_time

protected:
  using error_code = beast::error_code;
  explicit lasting_client(lasting_start& from); // takes all but socket and request

  // Each calls the one named after it when it is done.
  virtual void open() = 0;                                   // opened()
  virtual void listen() = 0;                                 // over(), when the client has left
  virtual void write(const std::string& text) = 0;           // wrote(); `text` stays until then
  virtual void beat() = 0;                                   // wrote()
  virtual void say_goodbye(stream_end why, std::string) = 0; // over(), or nothing: its time ends
  virtual void close_socket() = 0;
  virtual void append(std::string& to, const stream_message& one) const = 0;
  [[nodiscard]] virtual std::size_t batch_bytes() const noexcept = 0; // of messages that are written at once
  [[nodiscard]] virtual unsigned opened_status() const noexcept = 0;

  void opened(error_code ec);
  void wrote(error_code ec);
  void leaving(); // the client says that it goes: over() comes in goodbye_time at the latest
  void over(stream_end why);
  template <class F>
  auto on_strand(F&& f) {
    return asio::bind_executor(strand_, std::forward<F>(f));
  }
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  [[nodiscard]] const strand_type& strand() const noexcept { return strand_; }

private:
  void pump();
  void goodbye(stream_end why, std::uint64_t missed);
  void count(stream_end why);
  void start_timer(std::chrono::milliseconds limit, bool is_heartbeat);
  void on_timer(bool is_heartbeat);

  std::shared_ptr<shared_state> shared_;
  strand_type strand_;
  asio::steady_timer timer_;
  std::uint64_t timer_number_ = 0;
  std::string pattern_;
  std::shared_ptr<stream_queue> queue_;
  std::unique_ptr<stream_place> place_;
  std::chrono::steady_clock::time_point started_;
  std::string text_; // being written
  bool busy_ = true; // something is being written; no more until that is done
  bool counted_ = false;
  bool closed_ = false;
};

// A WebSocket where the request asks for one, else server-sent events.
[[nodiscard]] std::shared_ptr<lasting_client> make_lasting_client(lasting_start from);
[[nodiscard]] bool asks_for_websocket(const beast::http::request<beast::http::string_body>& request);
[[nodiscard]] std::shared_ptr<lasting_client> make_websocket(lasting_start from);

} // namespace skerry::http
