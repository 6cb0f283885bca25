#pragma once

// Fetches pages over HTTP/1.1 with keep-alive, for all targets of a node, on one thread of its own.
//
// A target has one fetch_slot for as long as it lives: options are set once, requests repeat them. A slot
// carries one request at a time. `fetch` may be called from any thread and never blocks; the callback runs on
// the fetcher's thread and must be quick (post to an actor). Every accepted request gets exactly one
// callback, also when the fetcher stops. A page's memory goes round: give the buffer of an older page with
// the request.
//
// A page is whole or it is an error: a body that ends before its length, its last chunk or the end of its compressed
// data, and one without any of these that does not end with a line feed (actors/base/http_body.hpp).
//
// Redirects are followed up to fetch_redirects_max. Credentials (`authorization`, basic authentication) go along to the
// same host, whatever its port and scheme, and no longer once another host was asked.
//
// Pages under way, and answered ones until their fetch_response is destroyed, hold `pages_bytes_max` together. A page
// that no longer fits makes the largest one under way fail, itself if it is that one: targets without end do not stop
// those with small pages. A page alone always fits.

#include "edge/collect/scrape/page_budget.hpp"
#include "schemas/error.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Registry;
} // namespace prometheus

namespace skerry::edge {

inline constexpr std::size_t fetch_body_bytes_max = std::size_t{256} << 20; // where no limit is configured
inline constexpr long fetch_redirects_max = 10;
inline constexpr std::size_t fetch_slots_max = 1 << 16;

enum class compression : std::uint8_t {
  automatic, // ask for gzip unless the target's address is loopback, private or link-local
  on,
  off,
};

struct fetch_options {
  std::string url;
  std::vector<std::string> headers; // "Name: value"
  std::string authorization;        // of the header of that name; a secret, never logged
  std::string username;             // basic authentication where `basic_auth`
  std::string password;
  bool basic_auth = false;
  std::string ca_file;
  std::string cert_file;
  std::string key_file;
  std::string server_name; // to verify and to send as SNI; empty: the URL's
  bool insecure_skip_verify = false;
  std::string tls_min_version; // "TLS10" to "TLS13"; empty: TLS12
  bool follow_redirects = true;
  std::string proxy_url;
  compression gzip = compression::automatic;

  bool operator==(const fetch_options&) const = default;
};

struct fetch_request {
  std::chrono::milliseconds timeout{10'000};
  std::size_t body_bytes_max =
      0;              // uncompressed; 0: fetch_body_bytes_max, or pages_bytes_max where that is less
  std::string buffer; // memory for the page; its content is dropped
};

enum class fetch_failure : std::uint8_t { none, connect, timeout, tls, body_size, status, other };

struct fetch_response {
  fetch_failure failure = fetch_failure::none;
  std::string error; // what failed, for people; empty: a page was received with status 200
  int status = 0;    // 0: no response
  std::string content_type;
  std::string body;
  std::chrono::nanoseconds duration{0};
  page_charge charge; // of `body`; destroy it with the page
};

class fetch_slot;
using fetch_slot_ptr = std::shared_ptr<fetch_slot>;

// What a fetcher counts. Whoever may make one later makes these at the start: increase() does not see a counter's step
// from nothing to 1.
struct fetch_metrics {
  explicit fetch_metrics(prometheus::Registry& registry);
  prometheus::Gauge& pages_bytes;
  prometheus::Counter& given_up;
  prometheus::Counter& requests;
  prometheus::Counter& body_bytes;
  prometheus::Counter& connects;
};

class fetcher {
public:
  using callback = std::function<void(fetch_response)>;

  // io: the thread or libcurl could not start. `metrics` outlives the fetcher.
  [[nodiscard]] static result<std::unique_ptr<fetcher>>
  start(prometheus::Registry& metrics, std::size_t pages_bytes_max = pages_bytes_max_default);
  // Stops: requests under way are answered with a failure, their callbacks have run on return. Slots may
  // outlive it.
  virtual ~fetcher() = default;

  // invalid_argument: libcurl refuses an option (a URL that is none, say); exhausted: fetch_slots_max.
  [[nodiscard]] virtual result<fetch_slot_ptr> open(fetch_options options) = 0;
  // conflict: the slot's last request is not answered yet; cancelled: the fetcher stops. Then there is no
  // callback.
  virtual result<void> fetch(const fetch_slot_ptr& slot, fetch_request request, callback done) = 0;
};

} // namespace skerry::edge
