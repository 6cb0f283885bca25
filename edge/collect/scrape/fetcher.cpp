#include "edge/collect/scrape/fetcher.hpp"

#include "actors/base/http_body.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <thread>
#include <unordered_set>

namespace skerry::edge {

namespace {

constexpr long receive_buffer_bytes = 64 << 10;
constexpr std::size_t failed_buffer_bytes_max = 1
                                                << 20; // of a failed page: goes round, larger memory is freed
constexpr std::size_t body_reserve_max = 16 << 20;     // believed from Content-Length
constexpr std::size_t refusal_bytes_max = 64
                                          << 10; // of an answer that is no page: read to keep the connection
constexpr long idle_connection_seconds = 300;    // longer than scrape intervals are
constexpr int poll_ms = 1000;

// Loopback, private and link-local addresses: the network is near, compression would only cost processor
// time.
bool is_near(const char* address) {
  if (address == nullptr)
    return false;
  in_addr v4{};
  if (inet_pton(AF_INET, address, &v4) == 1) {
    const auto a = ntohl(v4.s_addr);
    return (a >> 24) == 127 || (a >> 24) == 10 || (a >> 20) == 0xac1 || (a >> 16) == 0xc0a8
           || (a >> 16) == 0xa9fe;
  }
  in6_addr v6{};
  if (inet_pton(AF_INET6, address, &v6) == 1) {
    if (IN6_IS_ADDR_V4MAPPED(&v6)) {
      std::array<char, INET_ADDRSTRLEN> text{};
      inet_ntop(AF_INET, &v6.s6_addr[12], text.data(), text.size());
      return is_near(text.data());
    }
    return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_LINKLOCAL(&v6) || (v6.s6_addr[0] & 0xfe) == 0xfc;
  }
  return false;
}

fetch_failure failure_of(CURLcode code) {
  switch (code) {
  case CURLE_COULDNT_CONNECT:
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY: return fetch_failure::connect;
  case CURLE_OPERATION_TIMEDOUT: return fetch_failure::timeout;
  case CURLE_SSL_CONNECT_ERROR:
  case CURLE_PEER_FAILED_VERIFICATION:
  case CURLE_SSL_CERTPROBLEM:
  case CURLE_SSL_CACERT_BADFILE:
  case CURLE_SSL_CIPHER: return fetch_failure::tls;
  default: return fetch_failure::other;
  }
}

long connections_max() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return static_cast<long>(fetch_slots_max);
  return std::clamp(static_cast<long>(limit.rlim_cur / 2), 16L, static_cast<long>(fetch_slots_max));
}

struct curl_global {
  CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
};

} // namespace

// Finds memory for the pages of all slots that are under way.
class page_keeper {
public:
  virtual ~page_keeper() = default;
  // Charges `slot` for `bytes` of page. False: it was given up, or has to be.
  virtual bool charge(fetch_slot& slot, std::size_t bytes) = 0;
};

class fetch_slot {
public:
  explicit fetch_slot(fetch_options options) : options_(std::move(options)), easy_(curl_easy_init()) {}
  ~fetch_slot() {
    curl_easy_cleanup(easy_);
    curl_slist_free_all(headers_);
    curl_slist_free_all(connect_to_);
  }
  fetch_slot(const fetch_slot&) = delete;
  fetch_slot& operator=(const fetch_slot&) = delete;

  result<void> prepare();
  // What depends on where the next request goes: the target's URL, or one that it was redirected to.
  [[nodiscard]] bool aim(std::string url, bool with_credentials);
  // After an answer that redirects: aims at where it points. False: it points nowhere.
  [[nodiscard]] bool follow();

  const fetch_options options_;
  CURL* easy_ = nullptr;
  curl_slist* headers_ = nullptr;
  curl_slist* connect_to_ = nullptr;
  std::atomic<bool> busy_{false};
  // Of the request under way; on the fetcher's thread.
  fetch_request request_;
  fetcher::callback done_;
  http_body decoder_;
  std::string body_;
  std::size_t received_bytes_ = 0; // as they came, compressed or not
  bool too_large_ = false;
  bool given_up_ = false; // for want of memory
  page_keeper* keeper_ = nullptr;
  page_charge charge_;
  std::string url_; // of the request under way
  bool with_credentials_ = true;
  long redirects_ = 0;
  std::chrono::steady_clock::time_point deadline_;
  std::chrono::microseconds spent_{0}; // on the requests that redirected
  bool gzip_ = false;
  bool near_ = true; // until the address is known, as that costs least
  std::size_t last_size_ = 0;
  std::array<char, CURL_ERROR_SIZE> error_{};
};

namespace {

// What of a compressed page may come over the wire: what does not compress grows a little.
std::size_t received_bytes_max(std::size_t page_bytes_max) {
  return page_bytes_max + page_bytes_max / 64 + (4 << 10);
}

// False: the page is over its limit.
bool append(fetch_slot& slot, std::string_view piece) {
  auto& body = slot.body_;
  if (piece.size() > slot.request_.body_bytes_max - body.size()) {
    slot.too_large_ = true;
    return false;
  }
  if (slot.given_up_)
    return false;
  if (const auto needed = body.size() + piece.size(); body.empty() || needed > body.capacity()) {
    // One allocation for the whole page, of about its size; beyond that it doubles.
    auto expected = slot.last_size_ + slot.last_size_ / 32 + 64;
    curl_off_t length = -1;
    if (!slot.decoder_.compressed()
        && curl_easy_getinfo(slot.easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length) == CURLE_OK
        && length > 0)
      expected = static_cast<std::size_t>(length);
    const auto wanted =
        std::max(needed, std::min({std::max(std::min(expected, body_reserve_max), body.size() * 2),
                                   slot.request_.body_bytes_max}));
    if (!slot.keeper_->charge(slot, std::max(wanted, body.capacity())))
      return false;
    if (body.capacity() < wanted) {
      if (body.empty())
        body = std::string{}; // growing what is there would double it
      body.reserve(wanted);
    }
  }
  body.append(piece);
  return true;
}

// Less than `size` ends the transfer.
std::size_t take_body(char* data, std::size_t, std::size_t size, void* self) {
  auto& slot = *static_cast<fetch_slot*>(self);
  slot.received_bytes_ += size;
  long status = 0;
  curl_easy_getinfo(slot.easy_, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200)
    return slot.received_bytes_ <= refusal_bytes_max ? size : 0;
  if (slot.received_bytes_ > received_bytes_max(slot.request_.body_bytes_max)) {
    slot.too_large_ = true;
    return 0;
  }
  const bool taken = slot.decoder_.take(slot.easy_, {data, size},
                                        [&slot](std::string_view piece) { return append(slot, piece); });
  return taken ? size : 0;
}

} // namespace

result<void> fetch_slot::prepare() {
  if (easy_ == nullptr)
    return fail(errc::exhausted, "libcurl has no memory for another target");
  CURLcode first = CURLE_OK;
  std::string_view which;
  const auto set = [&](std::string_view name, CURLoption option, auto value) {
    if (const auto code = curl_easy_setopt(easy_, option, value); code != CURLE_OK && first == CURLE_OK) {
      first = code;
      which = name;
    }
  };
  const auto text = [&](std::string_view name, CURLoption option, const std::string& value) {
    if (!value.empty())
      set(name, option, value.c_str());
  };
  set("HTTP version", CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set("protocols", CURLOPT_PROTOCOLS_STR, "http,https");
  set("redirects", CURLOPT_FOLLOWLOCATION, 0L); // follow() does
  set("signals", CURLOPT_NOSIGNAL, 1L);
  set("progress", CURLOPT_NOPROGRESS, 1L);
  set("buffer", CURLOPT_BUFFERSIZE, receive_buffer_bytes);
  set("idle time", CURLOPT_MAXAGE_CONN, idle_connection_seconds);
  set("proxy", CURLOPT_PROXY, options_.proxy_url.c_str()); // empty: none, also not from the environment
  set("write", CURLOPT_WRITEFUNCTION, &take_body);
  set("write", CURLOPT_WRITEDATA, static_cast<void*>(this));
  set("private", CURLOPT_PRIVATE, static_cast<void*>(this));
  set("error", CURLOPT_ERRORBUFFER, error_.data());
  set("basic_auth", CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
  text("ca_file", CURLOPT_CAINFO, options_.ca_file);
  text("cert_file", CURLOPT_SSLCERT, options_.cert_file);
  text("key_file", CURLOPT_SSLKEY, options_.key_file);
  set("insecure_skip_verify", CURLOPT_SSL_VERIFYPEER, options_.insecure_skip_verify ? 0L : 1L);
  set("insecure_skip_verify", CURLOPT_SSL_VERIFYHOST, options_.insecure_skip_verify ? 0L : 2L);
  const auto& tls = options_.tls_min_version;
  set("min_version", CURLOPT_SSLVERSION,
      static_cast<long>(tls == "TLS10"   ? CURL_SSLVERSION_TLSv1_0
                        : tls == "TLS11" ? CURL_SSLVERSION_TLSv1_1
                        : tls == "TLS13" ? CURL_SSLVERSION_TLSv1_3
                                         : CURL_SSLVERSION_TLSv1_2));
  gzip_ = options_.gzip == compression::on;
  set("compression", CURLOPT_HTTP_CONTENT_DECODING, 0L); // http_body does
  if (first != CURLE_OK)
    return fail(errc::invalid_argument,
                fmt::format("a target's {} is refused: {}", which, curl_easy_strerror(first)));
  if (!aim(options_.url, true))
    return fail(errc::invalid_argument,
                "a target's URL, server_name or credentials are refused: they are malformed");
  return ok();
}

namespace {

std::string part_of(CURLU* url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, flags) != CURLUE_OK)
    return {};
  std::string out{text};
  curl_free(text);
  return out;
}

using url_ptr = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

url_ptr parse_url(const std::string& text) {
  url_ptr out{curl_url(), curl_url_cleanup};
  if (out && curl_url_set(out.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK)
    out.reset();
  return out;
}

bool same_host(const std::string& a, const std::string& b) {
  const auto first = parse_url(a);
  const auto second = parse_url(b);
  if (!first || !second)
    return false;
  auto host = part_of(first.get(), CURLUPART_HOST);
  auto other = part_of(second.get(), CURLUPART_HOST);
  for (auto* name : {&host, &other})
    if (name->ends_with('.')) // a fully qualified name
      name->pop_back();
  return !host.empty() && curl_strequal(host.c_str(), other.c_str()) != 0;
}

} // namespace

bool fetch_slot::aim(std::string url, bool with_credentials) {
  url_ = std::move(url);
  with_credentials_ = with_credentials;
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> old_headers{
      std::exchange(headers_, nullptr), curl_slist_free_all};
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> old_connect_to{
      std::exchange(connect_to_, nullptr), curl_slist_free_all};
  const auto header = [this](const std::string& line) {
    if (auto* longer = curl_slist_append(headers_, line.c_str()))
      headers_ = longer;
  };
  auto asked = url_;
  // A name to verify and to send as SNI is what libcurl takes from the URL: ask for that name, connect to the
  // address.
  if (!options_.server_name.empty() && url_.starts_with("https://")) {
    const auto parts = parse_url(url_);
    if (!parts)
      return false;
    const auto host = part_of(parts.get(), CURLUPART_HOST);
    const auto port = part_of(parts.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
    if (curl_url_set(parts.get(), CURLUPART_HOST, options_.server_name.c_str(), 0) != CURLUE_OK)
      return false;
    connect_to_ = curl_slist_append(
        nullptr, fmt::format("{}:{}:{}:{}", options_.server_name, port, host, port).c_str());
    header(fmt::format("Host: {}:{}", host, port));
    asked = part_of(parts.get(), CURLUPART_URL);
  }
  if (gzip_)
    header(http_body::accept_gzip);
  for (const auto& line : options_.headers)
    header(line);
  if (with_credentials && !options_.authorization.empty())
    header("Authorization: " + options_.authorization);
  const bool basic = with_credentials && options_.basic_auth;
  bool good = true;
  const auto set = [&](CURLoption option, auto value) {
    good = curl_easy_setopt(easy_, option, value) == CURLE_OK && good;
  };
  set(CURLOPT_URL, asked.c_str());
  set(CURLOPT_HTTPHEADER, headers_);
  set(CURLOPT_CONNECT_TO, connect_to_);
  set(CURLOPT_USERNAME, basic ? options_.username.c_str() : nullptr);
  set(CURLOPT_PASSWORD, basic ? options_.password.c_str() : nullptr);
  return good;
}

bool fetch_slot::follow() {
  curl_header* location = nullptr;
  const auto next = parse_url(url_);
  if (!next || curl_easy_header(easy_, "Location", 0, CURLH_HEADER, -1, &location) != CURLHE_OK
      || curl_url_set(next.get(), CURLUPART_URL, location->value, CURLU_URLENCODE) != CURLUE_OK)
    return false;
  auto to = part_of(next.get(), CURLUPART_URL);
  const bool with_credentials = with_credentials_ && same_host(options_.url, to);
  return aim(std::move(to), with_credentials);
}

namespace {

class curl_fetcher final : public fetcher, page_keeper {
public:
  curl_fetcher(prometheus::Registry& metrics, std::size_t pages_bytes_max)
      : budget_(std::make_shared<page_budget>(pages_bytes_max)), metrics_(metrics) {}

  result<void> init() {
    static const curl_global global;
    multi_ = global.code == CURLE_OK ? curl_multi_init() : nullptr;
    if (multi_ == nullptr)
      return fail(errc::io, "libcurl does not start; free memory and try again");
    try {
      thread_ = std::thread{[this] { run(); }};
    } catch (const std::system_error& e) {
      return fail(errc::io, fmt::format("the thread that fetches targets does not start: {}", e.what()));
    }
    return ok();
  }

  ~curl_fetcher() override {
    if (thread_.joinable()) {
      {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
        curl_multi_wakeup(multi_); // under the lock: the thread ends libcurl's part once it sees `stopping_`
      }
      thread_.join();
    } else {
      curl_multi_cleanup(multi_);
    }
  }

  result<fetch_slot_ptr> open(fetch_options options) override {
    if (slots_->load() >= fetch_slots_max)
      return fail(errc::exhausted,
                  fmt::format("there are {} targets already; spread them over more edges", fetch_slots_max));
    auto count = slots_;
    ++*count;
    fetch_slot_ptr slot{new fetch_slot{std::move(options)}, [count](fetch_slot* s) {
                          delete s;
                          --*count;
                        }};
    BOOST_OUTCOME_TRYV(slot->prepare());
    return slot;
  }

  result<void> fetch(const fetch_slot_ptr& slot, fetch_request request, callback done) override {
    if (slot->busy_.exchange(true))
      return fail(errc::conflict, "the last request to this target is still under way");
    {
      const std::lock_guard lock{mutex_};
      if (stopping_) {
        slot->busy_ = false;
        return fail(errc::cancelled, "the fetcher stops");
      }
      slot->request_ = std::move(request);
      slot->done_ = std::move(done);
      queue_.push_back(slot);
      curl_multi_wakeup(multi_);
    }
    return ok();
  }

private:
  bool charge(fetch_slot& slot, std::size_t bytes) override {
    if (slot.decoder_.compressed())
      bytes += http_body::decoder_bytes;
    while (!slot.charge_.resize(bytes)) {
      auto* largest = &slot;
      for (const auto& other : active_)
        if (other->charge_.bytes() > (largest == &slot ? bytes : largest->charge_.bytes()))
          largest = other.get();
      give_up(*largest);
      if (largest == &slot)
        return false;
    }
    return true;
  }

  void give_up(fetch_slot& slot) {
    slot.given_up_ = true; // its transfer ends with its next bytes
    std::string{}.swap(slot.body_);
    slot.charge_ = page_charge{budget_};
    metrics_.given_up.Increment();
  }

  void run() {
    // OpenSSL writes with write(2): a peer that went away must not end the process. The signal is the
    // thread's own.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    for (;;) {
      {
        const std::lock_guard lock{mutex_};
        if (stopping_)
          break;
        starting_.swap(queue_);
      }
      metrics_.pages_bytes.Set(static_cast<double>(budget_->bytes()));
      for (auto& slot : starting_)
        begin(std::move(slot));
      starting_.clear();
      int running = 0;
      curl_multi_perform(multi_, &running);
      bool answered = false;
      int left = 0;
      while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg != CURLMSG_DONE)
          continue;
        void* self = nullptr;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &self);
        end(*static_cast<fetch_slot*>(self), message->data.result);
        answered = true;
      }
      if (!answered)
        curl_multi_poll(multi_, nullptr, 0, poll_ms, nullptr);
    }
    // Everybody who waits is told.
    const auto waiting = [&] {
      const std::lock_guard lock{mutex_};
      return std::move(queue_);
    }();
    for (const auto& slot : waiting)
      answer(slot, [] {
        fetch_response response;
        response.failure = fetch_failure::other;
        response.error = "the fetcher stops";
        return response;
      }());
    while (!active_.empty())
      end(**active_.begin(), CURLE_ABORTED_BY_CALLBACK);
    curl_multi_cleanup(multi_); // here, as closing TLS connections writes to them
  }

  void begin(fetch_slot_ptr slot) {
    auto& s = *slot;
    auto& page_bytes_max = s.request_.body_bytes_max;
    page_bytes_max = page_bytes_max == 0 ? std::min(fetch_body_bytes_max, budget_->bytes_max())
                                         : std::min(fetch_body_bytes_max, page_bytes_max);
    s.keeper_ = this;
    s.charge_ = page_charge{budget_};
    s.given_up_ = false;
    s.body_ = std::move(s.request_.buffer);
    s.body_.clear();
    s.decoder_.begin();
    s.received_bytes_ = 0;
    s.too_large_ = false;
    s.redirects_ = 0;
    s.spent_ = {};
    s.deadline_ = std::chrono::steady_clock::now() + s.request_.timeout;
    bool aimed = true;
    const bool gzip =
        s.options_.gzip == compression::on || (s.options_.gzip == compression::automatic && !s.near_);
    if (gzip != s.gzip_ || s.url_ != s.options_.url) {
      s.gzip_ = gzip;
      aimed = s.aim(s.options_.url, true);
    }
    if (const auto connections = static_cast<long>(slots_->load() * 2 + 64); connections > connections_) {
      connections_ = connections * 2;
      // Targets leave half of the files that the process may open to everybody else. More of them than that close
      // connections that rest, and wait for one.
      const auto open_max = connections_max();
      curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, std::min(connections_, open_max));
      curl_multi_setopt(multi_, CURLMOPT_MAX_TOTAL_CONNECTIONS, open_max);
    }
    if (!aimed || !send(s)) {
      fetch_response response;
      response.failure = fetch_failure::other;
      response.error = "libcurl refuses the request";
      answer(slot, std::move(response));
      return;
    }
    active_.insert(std::move(slot));
  }

  // Asks for what the slot aims at, within what is left of the request's time.
  bool send(fetch_slot& s) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(s.deadline_ - std::chrono::steady_clock::now());
    s.error_[0] = '\0';
    curl_easy_setopt(s.easy_, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(1, left.count())));
    return curl_multi_add_handle(multi_, s.easy_) == CURLM_OK;
  }

  // Whether the answer redirects and the request goes on elsewhere. `why` is set where it would have to and can't.
  bool redirect(fetch_slot& s, CURLcode code, std::string& why) {
    long status = 0;
    curl_off_t took_us = 0;
    curl_easy_getinfo(s.easy_, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(s.easy_, CURLINFO_TOTAL_TIME_T, &took_us);
    const bool redirects = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    if (!redirects || !s.options_.follow_redirects || (code != CURLE_OK && code != CURLE_WRITE_ERROR))
      return false;
    if (++s.redirects_ > fetch_redirects_max) {
      why = fmt::format("more than {} redirects", fetch_redirects_max);
      return false;
    }
    if (!s.follow()) {
      why = fmt::format("server returned HTTP status {} without a Location that can be followed", status);
      return false;
    }
    s.spent_ += std::chrono::microseconds{took_us};
    s.decoder_.begin();
    s.received_bytes_ = 0;
    if (send(s))
      return true;
    why = "libcurl refuses the redirected request";
    return false;
  }

  void end(fetch_slot& s, CURLcode code) {
    curl_multi_remove_handle(multi_, s.easy_);
    fetch_response response;
    std::string lost_way;
    if (redirect(s, code, lost_way))
      return;
    long status = 0;
    long connects = 0;
    curl_off_t total_us = 0;
    char* type = nullptr;
    char* address = nullptr;
    curl_easy_getinfo(s.easy_, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(s.easy_, CURLINFO_TOTAL_TIME_T, &total_us);
    curl_easy_getinfo(s.easy_, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(s.easy_, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(s.easy_, CURLINFO_PRIMARY_IP, &address);
    response.status = static_cast<int>(status);
    response.duration = s.spent_ + std::chrono::microseconds{total_us};
    if (type != nullptr)
      response.content_type = type;
    if (s.given_up_) {
      response.failure = fetch_failure::body_size;
      response.error =
          fmt::format("given up as the largest of the pages being fetched, which together would hold more "
                      "than {} bytes; raise "
                      "collect.pages_bytes_max, or set body_size_limit where a target's pages have no end",
                      budget_->bytes_max());
    } else if (s.too_large_) {
      response.failure = fetch_failure::body_size;
      response.error =
          fmt::format("the page is larger than body_size_limit ({} bytes)", s.request_.body_bytes_max);
    } else if (code == CURLE_OPERATION_TIMEDOUT) {
      response.failure = fetch_failure::timeout;
      response.error = fmt::format("no complete page within {} ms", s.request_.timeout.count());
    } else if (code == CURLE_ABORTED_BY_CALLBACK) {
      response.failure = fetch_failure::other;
      response.error = "the fetcher stops";
    } else if (!lost_way.empty()) {
      response.failure = fetch_failure::status;
      response.error = lost_way;
    } else if (status != 200 && (code == CURLE_OK || code == CURLE_WRITE_ERROR)) {
      response.failure = fetch_failure::status;
      response.error = fmt::format("server returned HTTP status {}", status);
    } else if (!s.decoder_.error().empty()) {
      response.failure = fetch_failure::other;
      response.error = s.decoder_.error();
    } else if (code != CURLE_OK) {
      response.failure = failure_of(code);
      response.error = fmt::format("{}{}", code == CURLE_PARTIAL_FILE ? "the answer is incomplete: " : "",
                                   s.error_[0] != '\0' ? s.error_.data() : curl_easy_strerror(code));
    } else if (!s.decoder_.finish(s.easy_)) {
      response.failure = fetch_failure::other;
      response.error = s.decoder_.error();
    } else if (s.decoder_.ended_by_close() && !s.decoder_.compressed() && !s.body_.ends_with('\n')) {
      response.failure = fetch_failure::other;
      response.error =
          "the answer is incomplete: it has no length, and its connection was closed within a line";
    } else {
      s.last_size_ = s.body_.size();
    }
    if (address != nullptr && *address != '\0')
      s.near_ = s.options_.proxy_url.empty() && is_near(address);
    s.decoder_.begin(); // gives its memory back
    metrics_.requests.Increment();
    metrics_.body_bytes.Increment(static_cast<double>(s.body_.size()));
    if (connects > 0)
      metrics_.connects.Increment(static_cast<double>(connects));
    // The target keeps this memory: not much more than the page.
    if (s.body_.capacity() > s.body_.size() + s.body_.size() / 4 + (4 << 10))
      s.body_.shrink_to_fit();
    if (response.failure != fetch_failure::none && s.body_.capacity() > failed_buffer_bytes_max)
      std::string{}.swap(s.body_);
    if (!s.body_.empty())
      (void)s.charge_.resize(s.body_.capacity()); // less than before
    response.body = std::move(s.body_);
    response.charge = std::move(s.charge_);
    if (response.failure != fetch_failure::none) {
      response.body.clear();
      response.charge = {};
    }
    // The set is searched by address: a slot that is under way is in it.
    const auto it = active_.find(fetch_slot_ptr{fetch_slot_ptr{}, &s});
    const auto slot = *it;
    active_.erase(it);
    answer(slot, std::move(response));
  }

  static void answer(const fetch_slot_ptr& slot, fetch_response response) {
    auto done = std::move(slot->done_);
    slot->done_ = nullptr;
    slot->busy_ = false; // before the callback, which may ask again
    if (done)
      done(std::move(response));
  }

  const std::shared_ptr<page_budget> budget_;
  CURLM* multi_ = nullptr;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<fetch_slot_ptr> queue_; // guarded; at most one entry a slot
  bool stopping_ = false;             // guarded
  std::shared_ptr<std::atomic<std::size_t>> slots_ = std::make_shared<std::atomic<std::size_t>>(0);
  // On the thread:
  std::vector<fetch_slot_ptr> starting_;
  std::unordered_set<fetch_slot_ptr> active_;
  long connections_ = 0;
  fetch_metrics metrics_;
};

} // namespace

result<std::unique_ptr<fetcher>> fetcher::start(prometheus::Registry& metrics, std::size_t pages_bytes_max) {
  auto made = std::make_unique<curl_fetcher>(metrics, pages_bytes_max);
  BOOST_OUTCOME_TRYV(made->init());
  return std::unique_ptr<fetcher>{std::move(made)};
}

fetch_metrics::fetch_metrics(prometheus::Registry& registry)
    : pages_bytes(prometheus::BuildGauge()
                      .Name("skerry_scrape_pages_bytes")
                      .Help("Memory of pages that are being fetched or wait to be taken in.")
                      .Register(registry)
                      .Add({})),
      given_up(
          prometheus::BuildCounter()
              .Name("skerry_scrape_pages_given_up_total")
              .Help("Pages given up because all together would have held more than collect.pages_bytes_max.")
              .Register(registry)
              .Add({})),
      requests(prometheus::BuildCounter()
                   .Name("skerry_scrape_requests_total")
                   .Help("HTTP requests to targets that were answered or failed.")
                   .Register(registry)
                   .Add({})),
      body_bytes(prometheus::BuildCounter()
                     .Name("skerry_scrape_body_bytes_total")
                     .Help("Bytes of pages received, uncompressed.")
                     .Register(registry)
                     .Add({})),
      connects(prometheus::BuildCounter()
                   .Name("skerry_scrape_connects_total")
                   .Help("New connections to targets; the other requests reused one.")
                   .Register(registry)
                   .Add({})) {}

} // namespace skerry::edge
