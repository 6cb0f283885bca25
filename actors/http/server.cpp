#include "actors/http/server.hpp"

#include "actors/base/log_limiter.hpp"
#include "actors/http/guard.hpp"
#include "actors/http/listen.hpp"
#include "actors/http/session.hpp"

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <limits>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace skerry::http {

const std::string* request::parameter(std::string_view name) const noexcept {
  for (const auto& [key, value] : parameters)
    if (key == name)
      return &value;
  return nullptr;
}

std::vector<std::string_view> request::all(std::string_view name) const {
  std::vector<std::string_view> out;
  for (const auto& [key, value] : parameters)
    if (key == name)
      out.push_back(value);
  return out;
}

std::string_view request::header(std::string_view name) const noexcept {
  for (const auto& [key, value] : headers)
    if (key == name)
      return value;
  return {};
}

std::string_view request::last_event_id() const noexcept {
  if (const auto said = header("last-event-id"); !said.empty())
    return said;
  const auto* given = parameter("last_event_id");
  return given != nullptr ? std::string_view{*given} : std::string_view{};
}

result<void> server_config::validate() const {
  const auto bad = [](std::string what) { return fail(errc::invalid_argument, "http: " + std::move(what)); };
  if (listen.empty() && unix_socket.empty())
    return bad("nothing to listen on: set http.listen or the path of the operator's socket");
  for (const auto c : bearer_token)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f)
      return bad("the bearer token holds a space or a control character; write it without them");
  for (const auto& text : trusted_proxies)
    if (!parse_network(text))
      return bad(fmt::format(
          "'{}' in trusted_proxies is no address or network; write 10.1.2.3, 10.0.0.0/8 or fd00::/8", text));
  if (threads == 0 || threads > 256)
    return bad("the number of threads must be from 1 to 256");
  if (connections_max == 0)
    return bad("connections_max must be at least 1");
  if (header_bytes_max < 512 || header_bytes_max > std::numeric_limits<std::uint32_t>::max() / 2)
    return bad("header_bytes_max must be at least 512 bytes");
  if (request_timeout.count() <= 0 || idle_timeout.count() <= 0 || stream_heartbeat.count() <= 0)
    return bad("the timeouts must be longer than 0");
  if (stream_bytes_max == 0 || stream_messages_max == 0)
    return bad("stream_bytes_max and stream_messages_max must be at least 1");
  if (listen.empty())
    return ok();
  BOOST_OUTCOME_TRY(address, parse_listen(listen));
  if (!is_loopback(address) && bearer_token.empty() && !allow_remote_unauthenticated)
    return bad(fmt::format(
        "'{}' can be reached from other machines and no token is set: set http.token_file, or "
        "listen on 127.0.0.1, or say that it is meant with http.allow_remote_unauthenticated: true",
        listen));
  return ok();
}

namespace {

// When the process runs out of file descriptors, accepting waits that long.
constexpr std::chrono::milliseconds accept_retry{100};

constexpr std::string_view busy =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Retry-After: 1\r\nConnection: close\r\nContent-Length: 21\r\n\r\n"
    "too many connections\n";

// One listening socket. Lives on its strand, shared with the accept under way.
class listener final : public std::enable_shared_from_this<listener> {
public:
  listener(std::shared_ptr<shared_state> shared, const listening_socket& from)
      : shared_(std::move(shared)),
        strand_(asio::make_strand(shared_->io)),
        acceptor_(strand_),
        retry_(strand_),
        path_(from.family == AF_UNIX ? from.address : std::string{}) {
    acceptor_.assign(asio::generic::stream_protocol{from.family, 0}, from.fd);
    if (!path_.empty())
      ::lstat(path_.c_str(), &made_);
  }

  void start() {
    asio::post(strand_, [self = shared_from_this()] { self->accept(); });
  }

  void close_soon() {
    asio::post(strand_, [self = shared_from_this()] {
      beast::error_code ignored;
      self->acceptor_.close(ignored);
      self->retry_.cancel();
    });
  }

  // Only the file that this listener made: another process may have put its own there.
  void remove_file() const {
    struct stat now {};
    if (!path_.empty() && ::lstat(path_.c_str(), &now) == 0 && now.st_ino == made_.st_ino
        && now.st_dev == made_.st_dev)
      ::unlink(path_.c_str());
  }

private:
  void accept() {
    if (!acceptor_.is_open())
      return;
    acceptor_.async_accept(shared_->io,
                           [self = shared_from_this()](beast::error_code ec, stream_socket socket) {
                             if (ec)
                               return self->failed(ec);
                             self->open(std::move(socket));
                             self->accept();
                           });
  }

  void failed(beast::error_code ec) {
    if (!acceptor_.is_open() || ec == asio::error::operation_aborted)
      return;
    shared_->metrics.refused("accept");
    if (ec == asio::error::connection_aborted)
      return accept();
    if (log_.allow())
      spdlog::warn("http: can't accept a connection: {}", ec.message());
    retry_.expires_after(accept_retry);
    retry_.async_wait([self = shared_from_this()](beast::error_code) { self->accept(); });
  }

  void open(stream_socket socket) {
    beast::error_code ignored;
    const int on = 1;
    if (path_.empty())
      ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    socket.non_blocking(true, ignored);
    const auto opened = std::make_shared<session>(shared_, std::move(socket));
    if (shared_->add(opened, opened->from_unix_socket()))
      return opened->start();
    shared_->metrics.refused("connections_max");
    opened->turn_away(busy);
  }

  std::shared_ptr<shared_state> shared_;
  strand_type strand_;
  asio::basic_socket_acceptor<asio::generic::stream_protocol> acceptor_;
  asio::steady_timer retry_;
  std::string path_;
  log_limiter log_{1};
  struct stat made_ {};
};

class beast_server final : public server {
public:
  beast_server(server_config config, std::vector<route> routes, prometheus::Registry& metrics)
      : shared_(std::make_shared<shared_state>(std::move(config), std::move(routes), metrics)),
        work_(asio::make_work_guard(shared_->io)) {}

  ~beast_server() override {
    for (const auto& one : listeners_)
      one->close_soon();
    shared_->stop();
    work_.reset();
    for (auto& thread : threads_)
      thread.join();
    for (const auto& one : listeners_)
      one->remove_file();
    listeners_.clear();
    // A responder may keep a session and with it this state; what the handlers captured goes now.
    shared_->routes = router{{}};
  }

  void listen(const listening_socket& on) {
    listeners_.push_back(std::make_shared<listener>(shared_, on));
    if (on.family != AF_UNIX)
      address_ = on.address;
    else if (address_.empty())
      address_ = "unix:" + on.address;
  }

  void run() {
    // Signals are the main thread's: it waits for them.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (std::size_t i = 0; i < shared_->config.threads; ++i) {
      threads_.emplace_back([this] { serve(); });
      pthread_setname_np(threads_.back().native_handle(), "http");
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    for (const auto& one : listeners_)
      one->start();
  }

  std::string address() const override { return address_; }

private:
  void serve() {
    for (;;) {
      try {
        shared_->io.run();
        return;
      } catch (const std::exception& e) { // out of memory, say: that connection is lost, the server is not
        spdlog::error("http: {}", e.what());
      }
    }
  }

  std::shared_ptr<shared_state> shared_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  std::vector<std::shared_ptr<listener>> listeners_;
  std::vector<std::thread> threads_;
  std::string address_;
};

} // namespace

result<std::unique_ptr<server>> server::start(server_config config, std::vector<route> routes,
                                              prometheus::Registry& metrics) {
  BOOST_OUTCOME_TRYV(config.validate());
  const auto listen = config.listen;
  const auto unix_socket = config.unix_socket;
  try {
    auto made = std::make_unique<beast_server>(std::move(config), std::move(routes), metrics);
    if (!listen.empty()) {
      BOOST_OUTCOME_TRY(socket, listen_tcp(listen));
      made->listen(socket);
    }
    if (!unix_socket.empty()) {
      BOOST_OUTCOME_TRY(socket, listen_unix(unix_socket));
      made->listen(socket);
    }
    made->run();
    return std::unique_ptr<server>{std::move(made)};
  } catch (const std::exception& e) {
    return fail(errc::io, fmt::format("http: can't start the server: {}", e.what()));
  }
}

} // namespace skerry::http
