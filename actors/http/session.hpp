#pragma once

// One connection of the HTTP server, and what all connections share. Internal to this folder: it pulls Boost
// in.
//
// An answer that lasts goes on without its session: lasting.hpp takes the socket over.
//
// A session lives on its strand. It is owned by the set in `shared_state` while it is open, and by the
// operations under way; a responder holds it weakly. Its steps:
//   wait for a request -> header -> guard and route -> body -> handler … answer -> write -> wait | linger ->
//   closed
// One timer bounds each step that waits for the client.

#include "actors/http/answer_body.hpp"
#include "actors/http/guard.hpp"
#include "actors/http/metrics.hpp"
#include "actors/http/router.hpp"
#include "actors/http/server.hpp"

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_set>

namespace skerry::http {

namespace asio = boost::asio;
namespace beast = boost::beast;

using strand_type = asio::strand<asio::io_context::executor_type>;
using stream_socket = asio::generic::stream_protocol::socket;

class session;
class lasting_client;
class stream_place;
class stream_queue;

// Outlives the server where a responder still holds a session; then nothing in it runs any more.
struct shared_state : std::enable_shared_from_this<shared_state> {
  shared_state(server_config with, std::vector<route> routes, prometheus::Registry& registry);

  const server_config config;
  const guard admission;
  router routes;
  server_metrics metrics;
  const std::shared_ptr<memory_budget> answers; // being built or written
  const std::shared_ptr<memory_budget> bodies;  // being read or handled
  asio::io_context io;

  // False where a bound is reached or the server stops: the caller drops the connection.
  bool add(const std::shared_ptr<session>& opened, bool unix_socket);
  void remove(const std::shared_ptr<session>& closed, bool unix_socket);
  // Of streams_max; null where all are taken, or the server stops.
  [[nodiscard]] std::unique_ptr<stream_place> take_stream_place();
  void give_stream_place();
  bool add(const std::shared_ptr<lasting_client>& opened); // false: the server stops
  void remove(const std::shared_ptr<lasting_client>& closed);
  void stop(); // closes every session and lasting client, and admits none after

private:
  std::mutex mutex_;
  std::unordered_set<std::shared_ptr<session>> sessions_;
  std::size_t tcp_sessions_ = 0;
  std::size_t unix_sessions_ = 0;
  std::unordered_set<std::shared_ptr<lasting_client>> lasting_;
  std::size_t stream_places_ = 0; // taken
  bool stopping_ = false;
};

[[nodiscard]] std::string http_date(); // now

class session final : public std::enable_shared_from_this<session> {
public:
  session(std::shared_ptr<shared_state> shared, stream_socket socket);

  void start();                             // any thread
  void close_soon();                        // any thread
  void turn_away(std::string_view message); // instead of `start`: sends what fits, then closes
  void answer(std::uint64_t request_number, response with); // any thread; ignored where the request is over
  // Any thread. Where the request is over, `queue` is ended.
  void open_stream(std::uint64_t request_number, std::shared_ptr<stream_queue> queue,
                   std::unique_ptr<stream_place> place);
  [[nodiscard]] bool from_unix_socket() const noexcept { return peer_.unix_socket; }

private:
  enum class waiting : std::uint8_t { nothing, idle, reading, writing };
  using error_code = beast::error_code;

  void wait_for_request();
  void read_header();
  void parse_header();
  void on_header(error_code ec);
  void read_body();
  void on_body_part(error_code ec);
  void on_body(error_code ec);
  void refuse_body();
  void on_read_error(error_code ec);
  void run_handler();
  void watch_client();
  void hand_over(std::shared_ptr<stream_queue> queue, std::unique_ptr<stream_place> place);
  void write(response with);
  void write_some();
  void on_written(error_code ec);
  void linger();
  void read_leftovers();
  void close();
  // Answers before a handler is reached, and closes where unread bytes may follow.
  void refuse(unsigned status, std::string_view reason, std::string message, bool keep = false);
  void start_timer(waiting what, std::chrono::milliseconds limit);
  void stop_timer();
  void on_timeout();

  std::shared_ptr<shared_state> shared_;
  strand_type strand_;
  stream_socket socket_;
  asio::steady_timer timer_;
  const peer peer_;

  waiting waiting_ = waiting::nothing;
  std::uint64_t timer_number_ = 0;
  bool timed_out_ = false;
  bool closed_ = false;
  bool first_request_ = true;

  beast::flat_buffer buffer_;
  std::optional<beast::http::request_parser<beast::http::string_body>> parser_;
  request request_;
  memory_share body_held_; // of its body
  router::match match_;
  std::uint64_t request_number_ = 0; // the one being handled; 0 while none is
  std::uint64_t requests_ = 0;
  std::shared_ptr<std::atomic<bool>> gone_;
  std::chrono::steady_clock::time_point request_started_;
  bool head_ = false;
  unsigned version_ = 11;
  bool keep_alive_ = false;
  bool unread_ = false; // the client may still be sending what nobody will read

  std::optional<beast::http::response<answer_body>> response_;
  std::optional<beast::http::response_serializer<answer_body>> serializer_;
  std::chrono::steady_clock::time_point write_deadline_;
  std::size_t leftovers_ = 0;
  std::array<char, 1024> discarded_; // NOLINT: never read
};

} // namespace skerry::http
