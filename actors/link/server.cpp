// The server transport: one thread that owns a ZeroMQ context with a CURVE ROUTER, its ZAP handler and its
// monitor.

#include "actors/base/log_limiter.hpp"
#include "actors/link/accept_guard.hpp"
#include "actors/link/server_metrics.hpp"
#include "actors/link/transport.hpp"
#include "actors/link/zap.hpp"
#include "actors/link/zmq_io.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>
#include <set>
#include <thread>

namespace skerry::link {

namespace {

using namespace detail;
using steady = std::chrono::steady_clock;

constexpr int server_io_threads = 2;
constexpr int listen_backlog = 1024;
constexpr int peer_send_high_water = 1000; // messages to one peer inside ZeroMQ; those beyond are dropped
constexpr int peer_receive_high_water =
    4; // messages from one peer that wait for our thread, beyond the budget
constexpr std::size_t queue_bytes_max = 256 << 20;
constexpr int log_lines_per_minute = 20;
constexpr auto retry_while_full = std::chrono::milliseconds{2};
constexpr auto farewell_time = std::chrono::milliseconds{200}; // for what is said at a stop
constexpr auto closing_wait_max = std::chrono::seconds{1};     // for what came before a connection was closed
constexpr auto retry_after_failure = std::chrono::milliseconds{100};

// Refills with time; starts full.
class token_bucket {
public:
  token_bucket(std::size_t per_second, steady::time_point now)
      : rate_(static_cast<double>(std::max<std::size_t>(per_second, 1))), left_(rate_), at_(now) {}
  [[nodiscard]] bool take(steady::time_point now) noexcept {
    left_ = std::min(rate_, left_ + rate_ * std::chrono::duration<double>(now - at_).count());
    at_ = now;
    if (left_ < 1)
      return false;
    left_ -= 1;
    return true;
  }
  [[nodiscard]] std::chrono::milliseconds until_next() const noexcept {
    return left_ >= 1 ? std::chrono::milliseconds{0}
                      : std::chrono::milliseconds{static_cast<long>((1 - left_) / rate_ * 1000) + 1};
  }

private:
  const double rate_;
  double left_;
  steady::time_point at_;
};

// -1 is for ever.
std::chrono::milliseconds sooner(std::chrono::milliseconds a,
                                 std::optional<std::chrono::milliseconds> b) noexcept {
  return !b ? a : a.count() < 0 ? *b : std::min(a, *b);
}

class zmq_server final : public server_transport {
public:
  zmq_server(server_config config, server_events events, prometheus::Registry& metrics)
      : config_(std::move(config)),
        events_(std::move(events)),
        metrics_(metrics),
        queue_(config_.send_queue_max, queue_bytes_max),
        context_(server_io_threads),
        zap_(make_zap_socket(context_)),
        router_(context_, zmq::socket_type::router),
        handshakes_(config_.handshakes_per_second_max, steady::now()),
        refusal_log_(log_lines_per_minute) {
    set_common_options(router_, config_.keys, config_.bind, config_.message_bytes_max,
                       config_.handshake_timeout);
    set_option(router_, ZMQ_CURVE_SERVER, 1);
    set_option(router_, ZMQ_ZAP_DOMAIN, std::string_view{zap_domain});
    set_option(router_, 93 /* ZMQ_ZAP_ENFORCE_DOMAIN: fail closed; a draft in the headers only */, 1);
    set_option(router_, ZMQ_ROUTER_MANDATORY, 1);
    set_option(router_, ZMQ_BACKLOG, listen_backlog);
    set_option(router_, ZMQ_SNDHWM, peer_send_high_water);
    set_option(router_, ZMQ_RCVHWM, peer_receive_high_water);
    monitor_.emplace(context_, router_,
                     ZMQ_EVENT_LISTENING | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED
                         | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED
                         | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
                         | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL);
    router_.bind(config_.bind);
    address_ = router_.get(zmq::sockopt::last_endpoint);
    read_monitor(); // where it listens
    if (!guard_)
      throw std::runtime_error{"ZeroMQ does not say on which socket it listens"};
    thread_ = std::thread{[this] { run(); }};
  }

  ~zmq_server() override {
    stopping_.store(true, std::memory_order_release);
    wakeup_.signal();
    if (thread_.joinable())
      thread_.join();
  }

  bool try_send(const peer_id& to, message_parts parts) override {
    if (parts.empty() || !queue_.try_push({to, std::move(parts)})) {
      metrics_.queue_full.Increment();
      return false;
    }
    wakeup_.signal();
    return true;
  }

  std::string address() const override { return address_; }

private:
  void run() {
    while (!stopping_.load(std::memory_order_acquire)) {
      try {
        turn();
      } catch (const std::exception& e) {
        // Not known to happen; a link that ends silently would be worse than one that tries again.
        spdlog::error("link: the server on {} failed and goes on: {}", address_, e.what());
        std::this_thread::sleep_for(retry_after_failure);
      }
    }
    try { // farewells
      while (!queue_.empty())
        send();
      set_option(router_, ZMQ_LINGER, static_cast<int>(farewell_time.count()));
    } catch (const std::exception& e) {
      spdlog::debug("link: not everything was said before the stop: {}", e.what());
    }
    monitor_.reset();
    router_.close();
    zap_.close();
  }

  void turn() {
    std::array<zmq::pollitem_t, 4> items{{{nullptr, wakeup_.fd(), ZMQ_POLLIN, 0},
                                          {monitor_->socket().handle(), 0, ZMQ_POLLIN, 0},
                                          {router_.handle(), 0, ZMQ_POLLIN, 0},
                                          {zap_.handle(), 0, ZMQ_POLLIN, 0}}};
    const bool full = config_.received && config_.received->full();
    if (full) {
      metrics_.receive_paused.Increment();
      items[2].events = 0;
    }
    const auto timeout = !queue_.empty()     ? std::chrono::milliseconds{0}
                         : full              ? retry_while_full
                         : !closing_.empty() ? retry_while_full
                         : !waiting_.empty() ? handshakes_.until_next()
                                             : std::chrono::milliseconds{-1};
    zmq::poll(items.data(), items.size(), sooner(timeout, guard_->until_next(steady::now())));
    wakeup_.clear();
    read_monitor();
    guard_->on_time(steady::now());
    answer_handshakes();
    const bool drained = receive();
    tell_closed(drained);
    send();
  }

  void read_monitor() {
    while (const auto event = monitor_->next()) {
      switch (event->kind) {
      case ZMQ_EVENT_LISTENING: guard_.emplace(event->value, config_.connections_max); break;
      case ZMQ_EVENT_ACCEPTED:
        metrics_.accepted.Increment();
        metrics_.connections.Increment();
        open_.insert(event->value);
        if (guard_->on_accepted(event->value, steady::now()))
          break;
        metrics_.connections_refused.Increment();
        if (crowd_log_.allow(steady::now()))
          spdlog::warn("link: {} has {} connections; more are closed at once (link.connections_max)",
                       address_, config_.connections_max);
        break;
      case ZMQ_EVENT_ACCEPT_FAILED:
        if (event->value == EAGAIN) // the guard was there first
          break;
        metrics_.accept_failed.Increment();
        guard_->on_failed(event->value, steady::now());
        if (accept_log_.allow(steady::now()))
          spdlog::error("link: {} can't accept a connection: {}; raise the limit of open files", address_,
                        std::strerror(event->value));
        break;
      case ZMQ_EVENT_DISCONNECTED:
        metrics_.closed.Increment();
        metrics_.connections.Decrement();
        open_.erase(event->value);
        if (auto gone = speakers_.extract(event->value))
          closing_.push_back({steady::now(), std::move(gone.mapped())});
        guard_->on_closed();
        break;
      case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        metrics_.succeeded.Increment();
        metrics_.bytes_in.Increment(static_cast<double>(handshake_client_bytes));
        metrics_.bytes_out.Increment(static_cast<double>(handshake_server_bytes));
        break;
      case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: metrics_.failed_auth.Increment(); break;
      case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL: metrics_.failed_protocol.Increment(); break;
      case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL: metrics_.failed_other.Increment(); break;
      default: break;
      }
    }
  }

  // Those beyond the limit wait for their turn here, the longest first.
  void answer_handshakes() {
    const auto now = steady::now();
    for (int i = 0; i < burst_max; ++i) {
      auto asked = next_zap(zap_);
      if (!asked)
        break;
      if (waiting_.size() < config_.handshakes_waiting_max)
        waiting_.push_back({now, std::move(*asked)});
      else
        metrics_.turned_away_full.Increment();
    }
    while (!waiting_.empty() && now - waiting_.front().since > config_.handshake_timeout / 2) {
      waiting_.pop_front();
      metrics_.turned_away_late.Increment();
    }
    for (int i = 0; i < burst_max && !waiting_.empty(); ++i) {
      if (!handshakes_.take(now)) {
        if (!paced_)
          metrics_.paced.Increment();
        paced_ = true;
        return;
      }
      paced_ = false;
      const auto asked = std::move(waiting_.front().asked);
      waiting_.pop_front();
      const auto verdict = answer_zap(zap_, asked, events_.admit);
      switch (verdict.what) {
      case zap_verdict::kind::admitted:
        spdlog::debug("link: {} admitted from {}", verdict.user_id, verdict.address);
        break;
      case zap_verdict::kind::refused:
      case zap_verdict::kind::deferred:
        metrics_.refused(verdict.reason);
        if (refusal_log_.allow(now))
          spdlog::warn("link: key {} from {} refused: {}", to_hex(verdict.key), verdict.address,
                       verdict.reason.empty() ? "no reason given" : verdict.reason);
        break;
      case zap_verdict::kind::malformed: metrics_.refused("malformed"); break;
      }
    }
  }

  // Who speaks over a descriptor, for the monitor names connections by these. Another one than the last time: the system
  // gave the descriptor to a new connection, and the monitor has said already that the old one was closed.
  void note_speaker(int descriptor, const std::string& peer, const std::string& user_id) {
    const auto known = speakers_.find(descriptor);
    if (known != speakers_.end() && known->second.peer == peer)
      return;
    read_monitor();
    const bool told_soon = std::any_of(closing_.begin(), closing_.end(),
                                       [&](const closing& gone) { return gone.who.peer == peer; });
    if (told_soon) // its last words
      return;
    if (open_.contains(descriptor))
      speakers_[descriptor] = {peer, user_id};
    else // it is closed already
      closing_.push_back({steady::now(), {peer, user_id}});
  }

  // What a connection brought before it was closed goes first, unless there is no end of what others bring.
  void tell_closed(bool drained) {
    while (!closing_.empty() && (drained || steady::now() - closing_.front().since > closing_wait_max)) {
      auto gone = std::move(closing_.front().who);
      closing_.pop_front();
      try {
        if (events_.closed)
          events_.closed(std::move(gone.peer), std::move(gone.user_id));
      } catch (const std::exception& e) {
        metrics_.callback_failed.Increment();
        spdlog::error("link: the end of a connection could not be handed over: {}", e.what());
      }
    }
  }

  // True: nothing more has come.
  bool receive() {
    for (int i = 0; i < burst_max; ++i) {
      if (config_.received && config_.received->full())
        return false;
      zmq::message_t id;
      if (!router_.recv(id, zmq::recv_flags::dontwait))
        return true;
      zmq::message_t first;
      if (!id.more() || !router_.recv(first, zmq::recv_flags::dontwait))
        continue;
      std::string user_id;
      if (const auto* known = zmq_msg_gets(first.handle(), "User-Id"))
        user_id = known;
      const int descriptor = zmq_msg_get(first.handle(), ZMQ_SRCFD);
      std::uint64_t wire = 0;
      auto parts = receive_parts(router_, std::move(first), config_.message_bytes_max, wire);
      metrics_.bytes_in.Increment(static_cast<double>(wire));
      if (!parts) {
        metrics_.oversized.Increment();
        continue;
      }
      if (user_id.empty()) { // without ZAP's word nobody speaks
        metrics_.no_user.Increment();
        continue;
      }
      metrics_.messages_in.Increment();
      if (events_.closed && descriptor >= 0)
        note_speaker(descriptor, id.to_string(), user_id);
      try {
        events_.message(id.to_string(), std::move(user_id), std::move(*parts));
      } catch (const std::exception& e) {
        metrics_.callback_failed.Increment();
        spdlog::error("link: a message could not be handed over: {}", e.what());
      }
    }
    return false;
  }

  void send() {
    for (int i = 0; i < burst_max; ++i) {
      auto message = queue_.pop();
      if (!message)
        return;
      send(*message);
    }
  }

  // Once the first frame is taken, ZeroMQ takes the others too.
  void send(const outgoing& message) {
    zmq::message_t id{message.to.data(), message.to.size()};
    // The C call, as an unroutable peer is no exception.
    if (zmq_msg_send(id.handle(), router_.handle(), ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
      (errno == EAGAIN ? metrics_.peer_full : metrics_.unroutable).Increment();
      return;
    }
    std::uint64_t wire = 0;
    for (std::size_t i = 0; i < message.parts.size(); ++i) {
      auto part = to_zmq(message.parts[i]);
      const int more = i + 1 < message.parts.size() ? ZMQ_SNDMORE : 0;
      wire += wire_bytes(part.size());
      if (zmq_msg_send(part.handle(), router_.handle(), more | ZMQ_DONTWAIT) < 0) {
        metrics_.unroutable.Increment();
        return;
      }
    }
    metrics_.messages_out.Increment();
    metrics_.bytes_out.Increment(static_cast<double>(wire));
  }

  const server_config config_;
  const server_events events_;
  server_metrics metrics_;
  send_queue queue_;
  wakeup wakeup_;
  std::atomic<bool> stopping_{false};
  // Everything below belongs to the thread once it runs.
  zmq::context_t context_;
  zmq::socket_t zap_;
  zmq::socket_t router_;
  std::optional<socket_monitor> monitor_;
  std::optional<accept_guard> guard_;
  token_bucket handshakes_;
  log_limiter refusal_log_;
  log_limiter accept_log_{1};
  log_limiter crowd_log_{1};
  struct waiting_handshake {
    steady::time_point since;
    zap_request asked;
  };
  std::deque<waiting_handshake> waiting_;
  struct speaker {
    std::string peer;
    std::string user_id;
  };
  std::set<int> open_;              // descriptors of connections
  std::map<int, speaker> speakers_; // of those over which a message came
  struct closing {
    steady::time_point since;
    speaker who;
  };
  std::deque<closing> closing_; // to be told
  bool paced_ = false;
  std::string address_;
  std::thread thread_;
};

} // namespace

result<std::unique_ptr<server_transport>> start_server(server_config config, server_events events,
                                                       prometheus::Registry& metrics) {
  const auto bind = config.bind;
  if (!is_tcp_address(bind))
    return fail(
        errc::invalid_argument,
        fmt::format("link: can't listen on '{}'; write it as tcp://ADDRESS:PORT, with * for every address",
                    bind));
  if (!events.message || !events.admit)
    return fail(errc::invalid_argument, "link: a server needs to know where messages go and who may in");
  try {
    return std::make_unique<zmq_server>(std::move(config), std::move(events), metrics);
  } catch (const zmq::error_t& e) {
    switch (e.num()) {
    case EADDRINUSE:
      return fail(
          errc::conflict,
          fmt::format("link: {} is in use by another process; stop it, or set link.bind to another port",
                      bind));
    case EINVAL:
    case EPROTONOSUPPORT:
    case ENODEV:
    case EADDRNOTAVAIL:
      return fail(errc::invalid_argument, fmt::format("link: can't listen on '{}' ({}); write it as "
                                                      "tcp://ADDRESS:PORT, with an address of this machine",
                                                      bind, e.what()));
    default: return fail(errc::io, fmt::format("link: can't listen on {}: {}", bind, e.what()));
    }
  } catch (const std::exception& e) {
    return fail(errc::io, fmt::format("link: can't start the server on {}: {}", bind, e.what()));
  }
}

} // namespace skerry::link
