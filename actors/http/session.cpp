#include "actors/http/session.hpp"

#include "actors/http/compress.hpp"
#include "actors/http/lasting.hpp"
#include "actors/http/listen.hpp"
#include "actors/http/url.hpp"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <sys/socket.h>

namespace skerry::http {

namespace {

namespace bhttp = beast::http;

// Of a header: many small ones take far more memory than bytes on the wire.
constexpr std::ptrdiff_t header_fields_max = 256;
constexpr std::size_t header_read_bytes = 8 << 10;
// Of a body without taking it from the budget: connections_max bounds those.
constexpr std::size_t body_free_bytes = 64 << 10;
// The operator gets in even when every other connection is taken.
constexpr std::size_t unix_connections_max = 64;
// Room beside the header: reading a body goes through the same buffer.
constexpr std::size_t buffer_extra = 16 << 10;
// After a refusal, unread bytes are drained that far, so that the client sees the answer and not a reset.
constexpr std::size_t leftovers_max = 4 << 20;
constexpr std::chrono::milliseconds linger_time{2'000};

std::string_view as_view(beast::string_view text) noexcept { return {text.data(), text.size()}; }

// Of a request line, for a line of the log: still encoded, and without what may be a secret.
std::string_view act_path(beast::string_view target) noexcept {
  constexpr std::size_t bytes_max = 200;
  const auto text = as_view(target);
  return text.substr(0, std::min(text.find('?'), bytes_max));
}

bool has_control(std::string_view text) noexcept {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t'; });
}

std::string_view error_type(unsigned status) noexcept {
  switch (status) {
  case 401: return "unauthorized";
  case 403: return "forbidden";
  case 404: return "not_found";
  case 408: return "timeout";
  case 500: return "internal";
  case 503: return "unavailable";
  default: return "bad_data";
  }
}

// Below /api/ clients expect Prometheus' envelope, whoever in the node refused them.
response error_response(std::string_view target, unsigned status, std::string message) {
  if (!target.starts_with("/api/"))
    return {status, "text/plain; charset=utf-8", std::move(message), {}};
  while (message.ends_with('\n'))
    message.pop_back();
  return {status,
          "application/json",
          nlohmann::json{{"status", "error"}, {"errorType", error_type(status)}, {"error", message}}.dump(
              -1, ' ', false, nlohmann::json::error_handler_t::replace),
          {}};
}

// Answers that nobody can hold now.
response no_room(std::string_view target, std::string message) {
  auto out = error_response(target, 503, std::move(message));
  out.headers.emplace_back("Retry-After", "1");
  return out;
}

std::size_t size_of(const response& with) noexcept {
  auto bytes = with.body.size();
  for (const auto& piece : with.more)
    bytes += piece.size();
  return bytes;
}

// The producer's end of an answer that lasts.
class queued_stream final : public stream {
public:
  explicit queued_stream(std::shared_ptr<stream_queue> queue) : queue_(std::move(queue)) {}
  ~queued_stream() override { queue_->end(stream_end::finished); }
  bool push(stream_message_ptr message) override { return queue_->push(std::move(message)); }

private:
  std::shared_ptr<stream_queue> queue_;
};

class session_responder final : public responder {
public:
  // `act`: who does what, for the log; empty: it is no act of an operator.
  session_responder(std::shared_ptr<shared_state> shared, std::weak_ptr<session> owner, std::string path,
                    std::string act, std::uint64_t number, bool head, bool gzip_wanted,
                    std::shared_ptr<std::atomic<bool>> gone)
      : shared_(std::move(shared)),
        owner_(std::move(owner)),
        path_(std::move(path)),
        act_(std::move(act)),
        number_(number),
        head_(head),
        gzip_wanted_(gzip_wanted),
        gone_(std::move(gone)) {}

  ~session_responder() override {
    if (!answered_)
      send({500, "text/plain; charset=utf-8", "the request was dropped without an answer\n", {}});
  }

  void answer(response with) override {
    if (!answered_.exchange(true))
      send(std::move(with));
  }

  stream_ptr open_stream() override {
    if (answered_.exchange(true))
      return nullptr;
    if (head_) {
      send({200, "text/event-stream", {}, {}});
      return nullptr;
    }
    auto place = shared_->take_stream_place();
    if (!place) {
      shared_->metrics.refused("streams_max");
      send(no_room(path_, "there are http.streams_max answers that last already; try again later\n"));
      return nullptr;
    }
    const auto queue = std::make_shared<stream_queue>(shared_->config.stream_bytes_max,
                                                      shared_->config.stream_messages_max, shared_->answers);
    if (const auto to = owner_.lock())
      to->open_stream(number_, queue, std::move(place));
    else
      queue->end(stream_end::client);
    return std::make_unique<queued_stream>(queue);
  }

  bool client_gone() const noexcept override { return gone_->load(std::memory_order_relaxed); }

private:
  // Compresses here, on the thread that answers: the server's own stays free for others.
  void send(response with) {
    if (!act_.empty()) // whether or not somebody still waits for the answer
      spdlog::info("http: {}: {}", act_, with.status);
    const auto to = owner_.lock();
    if (!to || client_gone())
      gzip_wanted_ = false;
    if (!to)
      return;
    const auto size = size_of(with);
    if (!with.held && size > answer_free_bytes) {
      with.held = std::make_shared<memory_share>(shared_->answers);
      if (!with.held->grow(size))
        with =
            no_room(path_, "the answers that are being written hold all of http.answers_bytes_max; try again "
                           "later\n");
    }
    // Those too that found no room while they were built.
    for (auto refused = shared_->answers->refusals(); refused > 0; --refused)
      shared_->metrics.refused("answers_bytes_max");
    const auto encoded = std::any_of(with.headers.begin(), with.headers.end(), [](const auto& header) {
      return lower(header.first) == "content-encoding";
    });
    if (!encoded && size > compress_bytes_min) {
      if (gzip_wanted_ && gzip(with.body, with.more))
        with.headers.emplace_back("Content-Encoding", "gzip");
      with.headers.emplace_back("Vary", "Accept-Encoding");
      if (with.held)
        with.held->shrink_to(size_of(with));
    }
    to->answer(number_, std::move(with));
  }

  std::shared_ptr<shared_state> shared_;
  std::weak_ptr<session> owner_;
  std::string path_;
  std::string act_;
  std::uint64_t number_;
  bool head_;
  bool gzip_wanted_;
  std::shared_ptr<std::atomic<bool>> gone_;
  std::atomic<bool> answered_{false};
};

} // namespace

// --- shared state ---

shared_state::shared_state(server_config with, std::vector<route> routes_, prometheus::Registry& registry)
    : config(std::move(with)),
      admission(config),
      routes(routes_),
      metrics(registry, config.metric_prefix),
      answers(config.answers ? config.answers : std::make_shared<memory_budget>(config.answers_bytes_max)),
      bodies(std::make_shared<memory_budget>(config.bodies_bytes_max)),
      io(static_cast<int>(config.threads)) {
  for (const auto& one : routes_)
    metrics.expect(one.path);
}

bool shared_state::add(const std::shared_ptr<session>& opened, bool unix_socket) {
  const std::lock_guard lock{mutex_};
  auto& count = unix_socket ? unix_sessions_ : tcp_sessions_;
  if (stopping_ || count >= (unix_socket ? unix_connections_max : config.connections_max))
    return false;
  sessions_.insert(opened);
  ++count;
  metrics.connections(sessions_.size());
  return true;
}

void shared_state::remove(const std::shared_ptr<session>& closed, bool unix_socket) {
  const std::lock_guard lock{mutex_};
  if (sessions_.erase(closed) == 0)
    return;
  --(unix_socket ? unix_sessions_ : tcp_sessions_);
  metrics.connections(sessions_.size());
}

std::unique_ptr<stream_place> shared_state::take_stream_place() {
  const std::lock_guard lock{mutex_};
  if (stopping_ || stream_places_ >= config.streams_max)
    return nullptr;
  ++stream_places_;
  return std::make_unique<stream_place>(weak_from_this());
}

void shared_state::give_stream_place() {
  const std::lock_guard lock{mutex_};
  --stream_places_;
}

bool shared_state::add(const std::shared_ptr<lasting_client>& opened) {
  const std::lock_guard lock{mutex_};
  if (stopping_)
    return false;
  lasting_.insert(opened);
  metrics.streams(lasting_.size());
  return true;
}

void shared_state::remove(const std::shared_ptr<lasting_client>& closed) {
  const std::lock_guard lock{mutex_};
  lasting_.erase(closed);
  metrics.streams(lasting_.size());
}

void shared_state::stop() {
  std::vector<std::shared_ptr<session>> open;
  std::vector<std::shared_ptr<lasting_client>> lasting;
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
    open.assign(sessions_.begin(), sessions_.end());
    lasting.assign(lasting_.begin(), lasting_.end());
  }
  for (const auto& one : lasting)
    one->stop();
  for (const auto& one : open)
    one->close_soon();
}

std::string http_date() { return fmt::format("{:%a, %d %b %Y %T} GMT", fmt::gmtime(std::time(nullptr))); }

// --- session ---

session::session(std::shared_ptr<shared_state> shared, stream_socket socket)
    : shared_(std::move(shared)),
      strand_(asio::make_strand(shared_->io)),
      socket_(std::move(socket)),
      timer_(strand_),
      peer_(inspect_peer(socket_.native_handle())),
      body_held_(shared_->bodies),
      gone_(std::make_shared<std::atomic<bool>>(false)) {}

void session::start() {
  asio::post(strand_, [self = shared_from_this()] { self->wait_for_request(); });
}

void session::close_soon() {
  asio::post(strand_, [self = shared_from_this()] { self->close(); });
}

void session::answer(std::uint64_t request_number, response with) {
  // Weakly: after the server stopped nothing takes this out of the queue again.
  asio::post(strand_, [weak = weak_from_this(), request_number, with = std::move(with)]() mutable {
    const auto self = weak.lock();
    if (self && !self->closed_ && self->request_number_ == request_number)
      self->write(std::move(with));
  });
}

void session::open_stream(std::uint64_t request_number, std::shared_ptr<stream_queue> queue,
                          std::unique_ptr<stream_place> place) {
  asio::post(strand_, [weak = weak_from_this(), request_number, queue = std::move(queue),
                       place = std::move(place)]() mutable {
    const auto self = weak.lock();
    if (self && !self->closed_ && self->request_number_ == request_number)
      self->hand_over(std::move(queue), std::move(place));
    else
      queue->end(stream_end::client);
  });
}

void session::turn_away(std::string_view message) {
  const auto fd = socket_.native_handle();
  // One short answer fits into the buffer of a fresh socket. What came already is read, or closing would
  // reset.
  (void)::send(fd, message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(fd, SHUT_WR);
  (void)::recv(fd, discarded_.data(), discarded_.size(), MSG_DONTWAIT);
}

// --- timer ---

void session::start_timer(waiting what, std::chrono::milliseconds limit) {
  waiting_ = what;
  const auto number = ++timer_number_;
  timer_.expires_after(limit);
  timer_.async_wait([self = shared_from_this(), number](error_code ec) {
    if (!ec && !self->closed_ && self->timer_number_ == number)
      self->on_timeout();
  });
}

void session::stop_timer() {
  waiting_ = waiting::nothing;
  ++timer_number_;
  timer_.cancel();
}

// Ends the operation under way; its handler then sees `timed_out_`.
void session::on_timeout() {
  timed_out_ = true;
  error_code ignored;
  if (waiting_ == waiting::writing)
    shared_->metrics.refused("write_timeout");
  if (waiting_ != waiting::reading)
    return close();
  // Cancelling alone could miss an operation that is between two of its reads.
  socket_.shutdown(stream_socket::shutdown_receive, ignored);
  socket_.cancel(ignored);
  start_timer(waiting::writing, linger_time); // should nothing have been under way
}

// --- reading ---

void session::wait_for_request() {
  if (closed_)
    return;
  request_number_ = 0;
  timed_out_ = false;
  parser_.reset();
  response_.reset();
  serializer_.reset();
  request_ = {};
  body_held_.clear();
  match_ = {};
  if (buffer_.size() > 0)
    return read_header();
  // An idle connection holds no buffer.
  buffer_ = beast::flat_buffer{shared_->config.header_bytes_max + buffer_extra};
  start_timer(waiting::idle, std::exchange(first_request_, false)
                                 ? std::min(shared_->config.request_timeout, shared_->config.idle_timeout)
                                 : shared_->config.idle_timeout);
  socket_.async_wait(stream_socket::wait_read,
                     asio::bind_executor(strand_, [self = shared_from_this()](error_code ec) {
                       if (self->closed_)
                         return;
                       if (ec)
                         return self->close();
                       self->read_header();
                     }));
}

void session::read_header() {
  start_timer(waiting::reading, shared_->config.request_timeout);
  parser_.emplace();
  parser_->header_limit(static_cast<std::uint32_t>(shared_->config.header_bytes_max));
  parser_->body_limit(shared_->config.body_bytes_max);
  parse_header();
}

// Reads on until the header is there. Its fields are counted before they are parsed.
void session::parse_header() {
  if (buffer_.size() > 0) {
    auto header = std::string_view{static_cast<const char*>(buffer_.data().data()), buffer_.size()};
    header = header.substr(0, header.find("\r\n\r\n"));
    head_ = false; // what it is, is not known yet
    request_started_ = std::chrono::steady_clock::now();
    if (std::count(header.begin(), header.end(), '\n') > header_fields_max)
      return refuse(431, "header_fields_max",
                    fmt::format("the header has more than {} fields\n", header_fields_max));
    error_code ec;
    buffer_.consume(parser_->put(buffer_.data(), ec));
    if (parser_->is_header_done() || (ec && ec != bhttp::error::need_more))
      return on_header(parser_->is_header_done() ? error_code{} : ec);
    if (buffer_.size() >= shared_->config.header_bytes_max)
      return on_header(bhttp::error::header_limit);
  }
  socket_.async_read_some(
      buffer_.prepare(std::min(header_read_bytes, buffer_.max_size() - buffer_.size())),
      asio::bind_executor(strand_, [self = shared_from_this()](error_code ec, std::size_t count) {
        if (self->closed_)
          return;
        if (ec || self->timed_out_)
          return self->on_header(ec == asio::error::eof ? bhttp::error::partial_message : ec);
        self->buffer_.commit(count);
        self->parse_header();
      }));
}

void session::on_read_error(error_code ec) {
  const auto got_something = buffer_.size() > 0 || (parser_ && parser_->got_some());
  if (timed_out_ && got_something)
    return refuse(
        408, "request_timeout",
        fmt::format("the request was not complete within {} ms\n", shared_->config.request_timeout.count()));
  if (ec == bhttp::error::header_limit || ec == bhttp::error::buffer_overflow)
    return refuse(431, "header_bytes_max",
                  fmt::format("the header is larger than {} bytes\n", shared_->config.header_bytes_max));
  if (ec == bhttp::error::body_limit)
    return refuse(413, "body_bytes_max",
                  fmt::format("the body is larger than {} bytes\n", shared_->config.body_bytes_max));
  if (ec == bhttp::error::end_of_stream || ec == bhttp::error::partial_message)
    return close();
  if (ec.category() == bhttp::make_error_code(bhttp::error::bad_method).category())
    return refuse(400, "malformed", fmt::format("not an HTTP/1.1 request: {}\n", ec.message()));
  close(); // the connection broke
}

void session::on_header(error_code ec) {
  if (closed_)
    return;
  request_started_ = std::chrono::steady_clock::now();
  const auto& message = parser_->get();
  version_ = message.version();
  keep_alive_ = false;
  head_ = message.method() == bhttp::verb::head;
  if (ec || timed_out_)
    return on_read_error(ec);
  const auto target = split_target(as_view(message.target()));
  if (!target)
    return refuse(400, "malformed", target.error().message + "\n");
  auto matched = shared_->routes.find(as_view(message.method_string()), target.value().path);
  if (!matched)
    return refuse(400, "malformed", matched.error().message + "\n");
  match_ = std::move(matched).value();
  const auto [at, end] = message.equal_range(bhttp::field::host);
  if (at != end && std::next(at) != end)
    return refuse(400, "malformed", "more than one Host header\n");
  // A URL in the request line goes before the header; whoever sends both means one host.
  const auto authority = target.value().authority;
  auto host = as_view(message[bhttp::field::host]);
  if (!authority.empty() && !host.empty() && lower(authority) != lower(host))
    return refuse(403, "host", "the request's URL names another host than its Host header\n");
  if (host.empty())
    host = authority;

  // A body that nobody will want is not read.
  const auto has_body = !parser_->is_done();
  forwarding by;
  for (const auto& field : message) {
    const auto name = lower(as_view(field.name_string()));
    by.any = by.any || is_proxy_header(name);
    if (name == "x-forwarded-for")
      by.forwarded_for += (by.forwarded_for.empty() ? "" : ",") + std::string{as_view(field.value())};
  }
  auto verdict = shared_->admission.check(peer_, version_ >= 11, host, as_view(message[bhttp::field::origin]),
                                          as_view(message[bhttp::field::authorization]),
                                          match_.found != nullptr ? match_.found->needs : right::read, by);
  keep_alive_ = message.keep_alive();
  if (verdict.status != 200)
    return refuse(verdict.status, verdict.reason, std::string{verdict.message}, !has_body);
  if (match_.found == nullptr)
    return match_.allow.empty() ? refuse(404, "not_found", "404 page not found\n", !has_body)
                                : refuse(405, "method", "405 method not allowed\n", !has_body);

  request_.who = std::move(verdict.who);
  request_.method = std::string{as_view(message.method_string())};
  request_.capture = match_.capture;
  auto path = percent_decode(target.value().path, plus::literal);
  request_.path = path ? std::move(path).value() : std::string{}; // the router decoded it already
  if (const auto read = decode_parameters(target.value().query, request_.parameters); !read)
    return refuse(400, "malformed", read.error().message + "\n", !has_body);
  if (const auto length = parser_->content_length();
      has_body && length && *length > body_free_bytes
      && *length > shared_->bodies->bytes_max()
                       - std::min(shared_->bodies->taken(), shared_->bodies->bytes_max()))
    return refuse_body();
  for (const auto& field : message)
    request_.headers.emplace_back(lower(as_view(field.name_string())), std::string{as_view(field.value())});
  if (!has_body)
    return on_body({});
  if (lower(as_view(message[bhttp::field::expect])) != "100-continue")
    return read_body();
  static constexpr std::string_view proceed = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(socket_, asio::buffer(proceed),
                    asio::bind_executor(strand_, [self = shared_from_this()](error_code failed, std::size_t) {
                      if (self->closed_)
                        return;
                      if (failed || self->timed_out_)
                        return self->close();
                      self->read_body();
                    }));
}

void session::read_body() {
  parser_->eager(true);
  bhttp::async_read_some(
      socket_, buffer_, *parser_,
      asio::bind_executor(strand_, [self = shared_from_this()](error_code ec, std::size_t) {
        if (!self->closed_)
          self->on_body_part(ec);
      }));
}

void session::on_body_part(error_code ec) {
  if (ec || timed_out_)
    return on_body(ec);
  // What has no length grows by doubling.
  const auto size = parser_->get().body().size() * (parser_->content_length() ? 1 : 2);
  if (size > body_free_bytes && size > body_held_.bytes() && !body_held_.grow(size - body_held_.bytes()))
    return refuse_body();
  if (parser_->is_done())
    return on_body({});
  read_body();
}

void session::refuse_body() {
  parser_->get().body() = std::string{};
  body_held_.clear();
  refuse(503, "bodies_bytes_max",
         "the requests that are being read hold all of http.bodies_bytes_max; try again later\n");
}

void session::on_body(error_code ec) {
  if (ec || timed_out_)
    return on_read_error(ec);
  stop_timer();
  request_.body = std::move(parser_->get().body());
  auto type = request_.header("content-type");
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' '))
    type.remove_suffix(1);
  if (lower(type) == "multipart/form-data")
    return refuse(
        415, "content_type",
        "multipart/form-data is not read: send the parameters as application/x-www-form-urlencoded\n", true);
  if (lower(type) == "application/x-www-form-urlencoded") {
    if (request_.body.size() > body_free_bytes && !body_held_.grow(request_.body.size()))
      return refuse_body();
    const auto in_url = static_cast<std::ptrdiff_t>(request_.parameters.size());
    if (const auto read = decode_parameters(request_.body, request_.parameters); !read)
      return refuse(400, "malformed", read.error().message + "\n", true);
    // The body's come first, as in Go's net/http, for which clients of Prometheus are written.
    std::rotate(request_.parameters.begin(), request_.parameters.begin() + in_url, request_.parameters.end());
  }
  run_handler();
}

// --- answering ---

void session::run_handler() {
  request_number_ = ++requests_;
  watch_client();
  std::string act;
  if (match_.found->needs == right::operate || match_.found->needs == right::administer)
    act = fmt::format("{}: {} {}", request_.who.subject, request_.method, act_path(parser_->get().target()));
  auto to = std::make_shared<session_responder>(shared_, weak_from_this(), request_.path, std::move(act),
                                                request_number_, head_,
                                                accepts_gzip(request_.header("accept-encoding")), gone_);
  try {
    match_.found->run(request_, to);
  } catch (const std::exception& e) {
    spdlog::error("http: the handler of {} failed: {}", match_.pattern, e.what());
    to->answer(error_response(request_.path, 500, "internal error; the log of this node has more\n"));
  } catch (...) {
    to->answer(error_response(request_.path, 500, "internal error\n"));
  }
  request_ = {}; // the handler has what it needs
  body_held_.clear();
}

// While a handler works the socket is readable when the client leaves, or when it sends the next request
// early; only the first tells anything.
void session::watch_client() {
  socket_.async_wait(
      stream_socket::wait_read,
      asio::bind_executor(strand_, [self = shared_from_this(), number = request_number_](error_code ec) {
        if (ec || self->closed_ || self->request_number_ != number)
          return;
        char byte = 0;
        const auto count = ::recv(self->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
          self->gone_->store(true, std::memory_order_relaxed);
      }));
}

// This session ends, its socket lives on. What the client sent beyond its request is no part of an event stream, and must
// not come before a WebSocket's handshake.
void session::hand_over(std::shared_ptr<stream_queue> queue, std::unique_ptr<stream_place> place) {
  request_number_ = 0;
  error_code ignored;
  socket_.cancel(ignored); // the watch for a client that leaves
  auto asked = parser_->release();
  if (buffer_.size() > 0 && asks_for_websocket(asked)) {
    queue->end(stream_end::client);
    parser_.emplace(); // its target is gone
    return refuse(400, "malformed", "frames must not come before the handshake\n");
  }
  make_lasting_client({shared_, strand_, std::move(socket_), std::move(asked), std::string{match_.pattern},
                       std::move(queue), std::move(place), request_started_})
      ->start();
  close();
}

void session::refuse(unsigned status, std::string_view reason, std::string message, bool keep) {
  shared_->metrics.refused(reason);
  if (!keep) {
    keep_alive_ = false;
    unread_ = true;
  }
  auto out = error_response(parser_ ? as_view(parser_->get().target()) : std::string_view{}, status,
                            std::move(message));
  if (status == 405)
    out.headers.emplace_back("Allow", match_.allow);
  if (status == 503)
    out.headers.emplace_back("Retry-After", "1");
  if (status == 401)
    out.headers.emplace_back("WWW-Authenticate", "Bearer");
  write(std::move(out));
}

void session::write(response with) {
  request_number_ = 0;
  timed_out_ = false;
  error_code ignored;
  socket_.cancel(ignored); // the watch for a client that leaves
  write_deadline_ = std::chrono::steady_clock::now() + shared_->config.request_timeout;
  auto& out = response_.emplace(static_cast<bhttp::status>(with.status), version_ == 10 ? 10u : 11u);
  if (with.status < 200 || with.status > 599) {
    spdlog::error("http: the handler of {} answered with status {}", match_.pattern, with.status);
    out.result(500);
  }
  if (!with.content_type.empty() && !has_control(with.content_type))
    out.set(bhttp::field::content_type, with.content_type);
  out.set("X-Content-Type-Options", "nosniff");
  out.set(bhttp::field::date, http_date());
  for (const auto& [name, value] : with.headers)
    if (!has_control(name) && !has_control(value))
      out.insert(name, value);
  out.keep_alive(keep_alive_);
  const auto size = size_of(with);
  if (!head_)
    out.body() = {std::move(with.body), std::move(with.more), std::move(with.held)};
  if (out.result_int() != 204 && out.result_int() != 304)
    out.content_length(size);
  serializer_.emplace(out);
  if (!head_)
    return write_some();
  start_timer(waiting::writing, shared_->config.request_timeout);
  bhttp::async_write_header(
      socket_, *serializer_,
      asio::bind_executor(strand_,
                          [self = shared_from_this()](error_code ec, std::size_t) { self->on_written(ec); }));
}

// As much as the client takes at once. One that takes nothing is closed before its time is over.
void session::write_some() {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(write_deadline_
                                                                          - std::chrono::steady_clock::now());
  start_timer(waiting::writing,
              std::clamp(left, std::chrono::milliseconds{0}, shared_->config.stall_timeout));
  bhttp::async_write_some(
      socket_, *serializer_,
      asio::bind_executor(strand_, [self = shared_from_this()](error_code ec, std::size_t) {
        if (self->closed_)
          return;
        if (ec || self->serializer_->is_done())
          return self->on_written(ec);
        self->write_some();
      }));
}

void session::on_written(error_code ec) {
  if (closed_)
    return;
  stop_timer();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - request_started_;
  shared_->metrics.answered(match_.pattern, response_->result_int(), took.count());
  if (ec || gone_->load(std::memory_order_relaxed))
    return close();
  if (keep_alive_)
    return wait_for_request();
  if (unread_)
    return linger();
  close();
}

// Closing with bytes unread would reset the connection, and the client might never see why it was refused.
void session::linger() {
  error_code ignored;
  socket_.shutdown(stream_socket::shutdown_send, ignored);
  start_timer(waiting::nothing, linger_time);
  leftovers_ = 0;
  read_leftovers();
}

void session::read_leftovers() {
  socket_.async_read_some(
      asio::buffer(discarded_),
      asio::bind_executor(strand_, [self = shared_from_this()](error_code ec, std::size_t count) {
        if (self->closed_)
          return;
        self->leftovers_ += count;
        if (ec || self->leftovers_ > leftovers_max)
          return self->close();
        self->read_leftovers();
      }));
}

void session::close() {
  if (std::exchange(closed_, true))
    return;
  gone_->store(true, std::memory_order_relaxed);
  stop_timer();
  error_code ignored;
  socket_.close(ignored);
  request_ = {};
  body_held_.clear();
  shared_->remove(shared_from_this(), peer_.unix_socket);
}

} // namespace skerry::http
