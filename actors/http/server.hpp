#pragma once

// The HTTP server that edge and cloud share: HTTP/1.1 over Boost.Beast, on TCP and on Unix sockets.
//
// It owns its threads (`threads`, default 1) and runs handlers on them; a handler that needs longer takes the
// responder along and answers from any thread. Bounds: connections, header (bytes and fields) and body size, bytes of all
// bodies being read and of all answers being written, time for a request, for an answer that the client does not read,
// and for an idle connection; each has a counter. It checks Host and Origin (against DNS rebinding and
// cross-origin requests), sends no CORS headers, and compresses with gzip where the client asks.
//
// An answer may last: responder::open_stream(). Such clients have bounds of their own and count for no other.

#include "schemas/error.hpp"
#include "schemas/memory_budget.hpp"
#include "schemas/principal.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace prometheus {
class Registry;
}

namespace skerry::http {

struct request {
  std::string method;                                          // "GET"
  std::string path;                                            // decoded, without query: "/api/v1/query"
  std::vector<std::pair<std::string, std::string>> parameters; // query and form body, decoded, in order
  std::vector<std::pair<std::string, std::string>> headers;    // names in lower case
  std::string body;
  principal who;       // it has the right that the route needs
  std::string capture; // what the `{}` or the `*` in the route's path matched, decoded

  [[nodiscard]] const std::string*
  parameter(std::string_view name) const noexcept;                              // the first; null when absent
  [[nodiscard]] std::vector<std::string_view> all(std::string_view name) const; // "match[]"
  [[nodiscard]] std::string_view header(std::string_view name) const noexcept;
  // How far the client had come in an answer that lasted: the header Last-Event-ID, or, as a WebSocket's client cannot set
  // headers in a browser, the parameter last_event_id. Empty: it begins.
  [[nodiscard]] std::string_view last_event_id() const noexcept;
};

struct response {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::string> more{}; // comes after `body`: a large answer in pieces, none of which is copied
  std::shared_ptr<memory_share> held =
      nullptr; // what it takes of server_config::answers; null: the server takes it
};

// What an answer may have without taking it from server_config::answers: connections_max bounds those.
inline constexpr std::size_t answer_free_bytes = 64 << 10;

// One message of an answer that lasts; all clients that it goes to share it.
struct stream_message {
  std::string event; // which kind: one word
  std::string id;   // how far a client is that has it, for request::last_event_id(); empty: this does not say
  std::string data; // JSON
};
using stream_message_ptr = std::shared_ptr<const stream_message>;

// An answer that lasts, to one client: server-sent events, or a WebSocket where the client asked for one. Its producer
// keeps it and pushes from any thread; when it lets go of it, the client gets what was pushed, is told, and closed.
class stream {
public:
  virtual ~stream() = default;
  // Never waits. False: the client is gone, or does not read fast enough (stream_bytes_max, stream_messages_max) and is
  // told and closed: let go of this.
  virtual bool push(stream_message_ptr message) = 0;
};
using stream_ptr = std::unique_ptr<stream>;

// Answers once, from any thread; the first answer counts. Dropped unanswered: 500.
class responder {
public:
  virtual ~responder() = default;
  virtual void answer(response with) = 0;
  // Instead of answer(): from now on the answer lasts. Null: it was answered another way (503 where there are streams_max
  // already), and there is nothing left to do.
  [[nodiscard]] virtual stream_ptr open_stream() = 0;
  [[nodiscard]] virtual bool client_gone() const noexcept = 0;
};
using responder_ptr = std::shared_ptr<responder>;
// The request is the server's, and there only during the call: copy what an answer from elsewhere needs.
using handler = std::function<void(const request&, responder_ptr)>;

// A route without a right does not compile.
struct route {
  route(std::string method_, std::string path_, right needs_, handler run_)
      : method(std::move(method_)), path(std::move(path_)), needs(needs_), run(std::move(run_)) {}

  std::string method; // "GET", "POST"
  // Exact; or with one "{}" for one segment: "/api/v1/label/{}/values"; or a prefix, with "/*" at its end: everything below.
  std::string path;
  right needs; // 403 to who lacks it, or 401 to who could show a token
  handler run;
};

struct server_config {
  std::string listen = "127.0.0.1:7480"; // host:port, [v6]:port; empty: no TCP
  std::string unix_socket;               // path; empty: none; made with mode 0600
  std::string bearer_token;              // empty: none. Never logged.
  bool allow_remote_unauthenticated = false;
  std::size_t threads = 1;
  std::size_t connections_max = 512;
  std::size_t header_bytes_max = 64 << 10; // dashboards ask with long URLs
  std::size_t body_bytes_max = 32 << 20;
  std::size_t bodies_bytes_max = 64 << 20;   // of all that are being read or handled, beyond 64 KiB each
  std::size_t answers_bytes_max = 128 << 20; // of all that are being built or written, beyond 64 KiB each
  // What answers are taken from, for whoever builds them in pieces; null: made by the server.
  std::shared_ptr<memory_budget> answers = nullptr;
  std::chrono::milliseconds request_timeout{30'000}; // to read one request, and to write one answer
  std::chrono::milliseconds stall_timeout{10'000};   // an answer of which the client takes nothing
  std::chrono::milliseconds idle_timeout{120'000};
  std::size_t streams_max = 256; // answers that last; besides connections_max
  // Of what waits for the client of one; beyond: it is told and closed.
  std::size_t stream_bytes_max = 256 << 10;
  std::size_t stream_messages_max = 4096;
  std::chrono::milliseconds stream_heartbeat{15'000}; // where nothing else is sent
  std::vector<std::string> hosts_allowed;             // besides loopback names and the address listened on
  std::vector<std::string> trusted_proxies; // addresses and networks whose X-Forwarded-For is believed
  std::string metric_prefix = "skerry";

  // What is wrong with it, as a sentence; e.g. a bind beyond loopback without a token.
  [[nodiscard]] result<void> validate() const;
};

class server {
public:
  // Binds before it returns. conflict: the port or socket is in use (says what to do); io: other reasons.
  [[nodiscard]] static result<std::unique_ptr<server>> start(server_config config, std::vector<route> routes,
                                                             prometheus::Registry& metrics);
  virtual ~server() = default; // stops accepting, closes connections, joins threads
  [[nodiscard]] virtual std::string
  address() const = 0; // "127.0.0.1:7480", with the real port where 0 was asked
};

} // namespace skerry::http
