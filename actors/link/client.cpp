// The client transport: for each connection a fresh CURVE DEALER, on the thread of a client_loop. ZeroMQ's own
// reconnecting is not used: a new socket per attempt means that nothing of an old connection is ever sent on a new
// one, and that one back-off covers every way to fail.

#include "actors/base/clock.hpp"
#include "actors/base/log_limiter.hpp"
#include "actors/link/client_loop.hpp"
#include "actors/link/transport.hpp"
#include "actors/link/zmq_io.hpp"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <cerrno>

namespace skerry::link {

namespace {

using namespace detail;
using steady = std::chrono::steady_clock;

constexpr int send_high_water = 64; // messages inside ZeroMQ: what is there can't be overtaken by an alert
constexpr int receive_high_water = 1000;
constexpr std::size_t queue_bytes_max = 64 << 20;
constexpr int reconnect_never_ms = 24 * 3600 * 1000; // ZeroMQ's own timer; we rebuild long before
constexpr int backoff_doublings_max = 20;
constexpr auto farewell_time = std::chrono::milliseconds{200}; // for what is said at a stop

struct client_metrics {
  explicit client_metrics(prometheus::Registry& registry)
      : messages_in(messages(registry, "in")),
        messages_out(messages(registry, "out")),
        bytes_in(bytes(registry, "in")),
        bytes_out(bytes(registry, "out")),
        queue_full(dropped(registry, "queue_full")),
        not_connected(dropped(registry, "not_connected")),
        connection_lost(dropped(registry, "connection_lost")),
        oversized(dropped(registry, "oversized")),
        callback_failed(dropped(registry, "callback_failed")),
        attempts(attempt(registry, "started")),
        succeeded(attempt(registry, "succeeded")),
        refused(attempt(registry, "refused")),
        failed(attempt(registry, "failed")),
        connected(prometheus::BuildGauge()
                      .Name("skerry_link_client_connected")
                      .Help("Encrypted connections upstream that stand: 1 at a node, 2 while a backlog has "
                            "one of its own.")
                      .Register(registry)
                      .Add({})) {}

  prometheus::Counter& messages_in;
  prometheus::Counter& messages_out;
  prometheus::Counter& bytes_in;
  prometheus::Counter& bytes_out;
  prometheus::Counter& queue_full;
  prometheus::Counter& not_connected;
  prometheus::Counter& connection_lost;
  prometheus::Counter& oversized;
  prometheus::Counter& callback_failed;
  prometheus::Counter& attempts;
  prometheus::Counter& succeeded;
  prometheus::Counter& refused;
  prometheus::Counter& failed;
  prometheus::Gauge& connected;

private:
  static prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help,
                                      const char* label, const char* value) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({{label, value}});
  }
  static prometheus::Counter& messages(prometheus::Registry& r, const char* direction) {
    return counter(r, "skerry_link_client_messages_total", "Messages upstream and from there.", "direction",
                   direction);
  }
  static prometheus::Counter& bytes(prometheus::Registry& r, const char* direction) {
    return counter(r, "skerry_link_client_bytes_total", "Bytes at the TCP payload, estimated from messages.",
                   "direction", direction);
  }
  static prometheus::Counter& dropped(prometheus::Registry& r, const char* reason) {
    return counter(r, "skerry_link_client_dropped_total",
                   "Messages that were not taken or dropped, by reason.", "reason", reason);
  }
  static prometheus::Counter& attempt(prometheus::Registry& r, const char* outcome) {
    return counter(r, "skerry_link_client_attempts_total", "Attempts to connect, by what became of them.",
                   "outcome", outcome);
  }
};

class zmq_client final : public client_transport, private client_loop::member {
public:
  zmq_client(client_config config, client_events events, prometheus::Registry& metrics)
      : config_(std::move(config)),
        events_(std::move(events)),
        metrics_(metrics),
        queue_(config_.send_queue_max, queue_bytes_max),
        loop_(config_.loop ? config_.loop : std::make_shared<client_loop>(1)),
        next_(steady::now()) {
    (void)queue_.close();
    if (!config_.may_connect || config_.may_connect())
      open(); // here, so that an address that is none is the caller's error
    loop_->add(*this);
  }

  ~zmq_client() override { loop_->remove(*this); }

  bool try_send(message_parts parts) override {
    if (!connected_.load(std::memory_order_acquire) || parts.empty()) {
      metrics_.not_connected.Increment();
      return false;
    }
    if (!queue_.try_push({{}, std::move(parts)})) {
      metrics_.queue_full.Increment();
      return false;
    }
    loop_->wake(*this);
    return true;
  }

  void reconnect() override {
    reconnect_.store(true, std::memory_order_release);
    loop_->wake(*this);
  }

  std::uint64_t bytes_sent() const noexcept override { return sent_.load(std::memory_order_relaxed); }
  std::uint64_t bytes_received() const noexcept override { return received_.load(std::memory_order_relaxed); }
  ip_bytes bytes_on_link() override { return meter_.total(); }

private:
  steady::time_point turn() override {
    try {
      take_turn();
    } catch (const std::exception& e) {
      spdlog::error("link: the connection to {} failed and is rebuilt: {}", config_.address, e.what());
      shut();
      fail_attempt(client_state::disconnected);
    }
    return socket_ && connected_.load(std::memory_order_relaxed) ? steady::time_point::max() : next_;
  }

  // The last words go out first, as far as the connection takes them at once.
  void close() override {
    try {
      if (socket_ && connected_.load(std::memory_order_relaxed)) {
        send();
        set_option(*socket_, ZMQ_LINGER, static_cast<int>(farewell_time.count()));
      }
    } catch (const std::exception& e) {
      spdlog::debug("link: not everything was said to {} before the stop: {}", config_.address, e.what());
    }
    (void)queue_.close();
    shut();
  }

  void take_turn() {
    if (reconnect_.exchange(false, std::memory_order_acq_rel)) {
      doublings_ = 0;
      shut();
      fail_attempt(client_state::disconnected);
      return;
    }
    if (!socket_) {
      if (steady::now() < next_)
        return;
      if (config_.may_connect && !config_.may_connect()) {
        metrics_.attempts.Increment();
        fail_attempt(client_state::disconnected);
        return;
      }
      open();
    }
    if (!watched_) {
      loop_->watch(socket_->get(zmq::sockopt::fd), *this);
      loop_->watch(monitor_->socket().get(zmq::sockopt::fd), *this);
      watched_ = true;
    }
    if (!read_monitor())
      return;
    receive();
    if (connected_.load(std::memory_order_relaxed)) {
      send();
    } else if (steady::now() >= next_) { // the handshake took too long
      shut();
      fail_attempt(client_state::disconnected);
      return;
    }
    // Descriptors tell of commands to a socket, and each use of it may have taken those: ask before sleeping.
    const auto wanted = pending_ ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN;
    if ((socket_->get(zmq::sockopt::events) & wanted) != 0
        || (monitor_->socket().get(zmq::sockopt::events) & ZMQ_POLLIN) != 0 || (!pending_ && !queue_.empty()))
      loop_->wake(*this);
  }

  void open() {
    metrics_.attempts.Increment();
    next_ = steady::now() + config_.handshake_timeout;
    socket_.emplace(loop_->context(), zmq::socket_type::dealer);
    try {
      set_common_options(*socket_, config_.keys, config_.address, config_.message_bytes_max,
                         config_.handshake_timeout);
      set_option(*socket_, ZMQ_CURVE_SERVERKEY, config_.server_key);
      set_option(*socket_, ZMQ_SNDHWM, send_high_water);
      set_option(*socket_, ZMQ_RCVHWM, receive_high_water);
      set_option(*socket_, ZMQ_SNDBUF, static_cast<int>(config_.socket_buffer_bytes));
      set_option(*socket_, ZMQ_RCVBUF, static_cast<int>(config_.socket_buffer_bytes));
      set_option(*socket_, ZMQ_RECONNECT_IVL, reconnect_never_ms);
      monitor_.emplace(loop_->context(), *socket_,
                       ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CLOSED
                           | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED
                           | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
                           | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL);
      socket_->connect(config_.address);
    } catch (...) {
      shut();
      throw;
    }
  }

  void shut() {
    if (connected_.exchange(false, std::memory_order_acq_rel))
      metrics_.connected.Decrement();
    auto lost = queue_.close();
    if (pending_)
      ++lost;
    pending_.reset();
    metrics_.connection_lost.Increment(static_cast<double>(lost));
    meter_.gone();
    if (watched_) {
      loop_->unwatch(socket_->get(zmq::sockopt::fd));
      loop_->unwatch(monitor_->socket().get(zmq::sockopt::fd));
      watched_ = false;
    }
    monitor_.reset();
    socket_.reset();
  }

  // The next attempt comes after reconnect_min × 2^n, at most reconnect_max, of which the later half is
  // random.
  void fail_attempt(client_state now) {
    auto delay = config_.reconnect_min * (std::int64_t{1} << std::min(doublings_, backoff_doublings_max));
    if (delay > config_.reconnect_max)
      delay = config_.reconnect_max;
    else
      ++doublings_;
    const auto half = std::chrono::duration_cast<std::chrono::microseconds>(delay) / 2;
    const auto jitter =
        half.count() > 0 ? system_random().next() % static_cast<std::uint64_t>(half.count()) : 0;
    next_ = steady::now() + half + std::chrono::microseconds{jitter};
    (now == client_state::refused ? metrics_.refused : metrics_.failed).Increment();
    tell(now);
  }

  void tell(client_state now) {
    if (last_told_ == now)
      return;
    last_told_ = now;
    log_state(now);
    if (!events_.state)
      return;
    try {
      events_.state(now);
    } catch (const std::exception& e) {
      metrics_.callback_failed.Increment();
      spdlog::error("link: a change of state could not be handed over: {}", e.what());
    }
  }

  void log_state(client_state now) {
    if (!lines_.allow()) // a server may let it come and go all the time
      return;
    switch (now) {
    case client_state::connected: spdlog::info("link: connected to {}", config_.address); break;
    case client_state::disconnected:
      spdlog::info("link: no connection to {}; trying again", config_.address);
      break;
    case client_state::refused:
      spdlog::warn("link: {} refuses key {}; it is unknown there or was revoked: join again, or wait",
                   config_.address, to_hex(config_.keys.public_key));
      break;
    }
  }

  // False: the connection is gone, and so is the socket.
  bool read_monitor() {
    while (const auto event = monitor_->next()) {
      switch (event->kind) {
      case ZMQ_EVENT_CONNECTED: meter_.watch(event->value); break;
      case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        add(sent_, metrics_.bytes_out, handshake_client_bytes);
        add(received_, metrics_.bytes_in, handshake_server_bytes);
        metrics_.succeeded.Increment();
        metrics_.connected.Increment();
        queue_.open();
        connected_.store(true, std::memory_order_release);
        tell(client_state::connected);
        break;
      case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        shut();
        fail_attempt(client_state::refused);
        return false;
      case ZMQ_EVENT_CONNECT_RETRIED:
      case ZMQ_EVENT_CLOSED:
      case ZMQ_EVENT_DISCONNECTED:
      case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
      case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        while (receive()) { // what came before the end, a farewell above all
        }
        shut();
        fail_attempt(client_state::disconnected);
        return false;
      default: break;
      }
    }
    return true;
  }

  // True: there may be more.
  bool receive() {
    for (int i = 0; i < burst_max; ++i) {
      zmq::message_t first;
      if (!socket_->recv(first, zmq::recv_flags::dontwait))
        return false;
      std::uint64_t wire = 0;
      auto parts = receive_parts(*socket_, std::move(first), config_.message_bytes_max, wire);
      add(received_, metrics_.bytes_in, wire);
      if (!parts) {
        metrics_.oversized.Increment();
        continue;
      }
      doublings_ = 0; // a server that talks: the next loss starts with a short delay again
      metrics_.messages_in.Increment();
      try {
        events_.message(std::move(*parts));
      } catch (const std::exception& e) {
        metrics_.callback_failed.Increment();
        spdlog::error("link: a message could not be handed over: {}", e.what());
      }
    }
    return true;
  }

  void send() {
    for (int i = 0; i < burst_max; ++i) {
      if (!pending_)
        pending_ = queue_.pop();
      if (!pending_ || !send(*pending_))
        return;
      pending_.reset();
    }
  }

  // False: ZeroMQ is full; nothing was taken. Once the first part is taken, ZeroMQ takes the others too.
  bool send(const outgoing& message) {
    std::uint64_t wire = 0;
    for (std::size_t i = 0; i < message.parts.size(); ++i) {
      auto part = to_zmq(message.parts[i]);
      const int more = i + 1 < message.parts.size() ? ZMQ_SNDMORE : 0;
      wire += wire_bytes(part.size());
      if (zmq_msg_send(part.handle(), socket_->handle(), more | ZMQ_DONTWAIT) < 0) {
        if (i == 0 && errno == EAGAIN)
          return false;
        throw zmq::error_t{};
      }
    }
    metrics_.messages_out.Increment();
    add(sent_, metrics_.bytes_out, wire);
    return true;
  }

  static void add(std::atomic<std::uint64_t>& total, prometheus::Counter& counter, std::uint64_t bytes) {
    total.fetch_add(bytes, std::memory_order_relaxed);
    counter.Increment(static_cast<double>(bytes));
  }

  const client_config config_;
  const client_events events_;
  client_metrics metrics_;
  send_queue queue_; // closed while there is no connection
  std::atomic<bool> reconnect_{false};
  std::atomic<bool> connected_{false};
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> received_{0};
  ip_meter meter_;
  const std::shared_ptr<client_loop> loop_;
  // Everything below belongs to the loop's thread once it has this client.
  std::optional<zmq::socket_t> socket_;
  std::optional<socket_monitor> monitor_;
  std::optional<outgoing> pending_;
  steady::time_point next_; // without a socket: when to try again; with one: when its handshake is given up
  int doublings_ = 0;
  bool watched_ = false;
  std::optional<client_state> last_told_;
  log_limiter lines_{20};
};

} // namespace

result<std::shared_ptr<client_loop>> make_client_loop(std::size_t clients_max) {
  try {
    return std::make_shared<client_loop>(clients_max);
  } catch (const std::exception& e) {
    return fail(errc::io, fmt::format("link: can't start a thread for clients: {}", e.what()));
  }
}

result<std::unique_ptr<client_transport>> start_client(client_config config, client_events events,
                                                       prometheus::Registry& metrics) {
  const auto address = config.address;
  if (!is_tcp_address(address))
    return fail(errc::invalid_argument,
                fmt::format("link: can't connect to '{}'; write it as tcp://HOST:PORT", address));
  if (!events.message)
    return fail(errc::invalid_argument, "link: a client needs to know where messages go");
  try {
    return std::make_unique<zmq_client>(std::move(config), std::move(events), metrics);
  } catch (const zmq::error_t& e) {
    return fail(
        errc::invalid_argument,
        fmt::format("link: can't connect to '{}' ({}); write it as tcp://HOST:PORT", address, e.what()));
  } catch (const std::exception& e) {
    return fail(errc::io, fmt::format("link: can't start the client for {}: {}", address, e.what()));
  }
}

} // namespace skerry::link
