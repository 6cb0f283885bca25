#include "actors/link/zmq_io.hpp"

#include "actors/link/limits.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

namespace skerry::link::detail {

namespace {

void set_raw(zmq::socket_t& socket, int option, const void* value, std::size_t bytes) {
  if (zmq_setsockopt(socket.handle(), option, value, bytes) != 0)
    throw zmq::error_t{};
}

// Keeps a part alive until ZeroMQ's I/O thread is done with it. The fence orders our writes before that
// thread's destruction for those (ThreadSanitizer) that can't see into ZeroMQ's queues.
struct holder {
  std::shared_ptr<const void> owner;
  std::atomic<bool> sent{false};
};

void release(void*, void* hint) {
  auto* held = static_cast<holder*>(hint);
  (void)held->sent.load(std::memory_order_acquire);
  delete held;
}

} // namespace

void set_option(zmq::socket_t& socket, int option, int value) {
  set_raw(socket, option, &value, sizeof value);
}
void set_option(zmq::socket_t& socket, int option, std::int64_t value) {
  set_raw(socket, option, &value, sizeof value);
}
void set_option(zmq::socket_t& socket, int option, const curve_key& key) {
  set_raw(socket, option, key.bytes.data(), key.bytes.size());
}
void set_option(zmq::socket_t& socket, int option, std::string_view value) {
  set_raw(socket, option, value.data(), value.size());
}

namespace {

constexpr std::string_view scheme = "tcp://";

// "10.0.0.1" and the like: an IPv6 socket would show it as [::ffff:10.0.0.1] everywhere.
bool is_ipv4_literal(std::string_view address) noexcept {
  const auto host = address.substr(scheme.size(), address.rfind(':') - scheme.size());
  return host.find_first_not_of("0123456789.") == std::string_view::npos;
}

} // namespace

bool is_tcp_address(std::string_view address) noexcept {
  const auto colon = address.rfind(':');
  if (!address.starts_with(scheme) || colon == std::string_view::npos || colon <= scheme.size())
    return false;
  const auto port = address.substr(colon + 1);
  if (port == "*")
    return true;
  unsigned value = 0;
  const auto [end, code] = std::from_chars(port.data(), port.data() + port.size(), value);
  return code == std::errc{} && end == port.data() + port.size() && value <= 65535;
}

void set_common_options(zmq::socket_t& socket, const curve_keypair& keys, const std::string& address,
                        std::size_t message_bytes_max, std::chrono::milliseconds handshake_timeout) {
  set_option(socket, ZMQ_LINGER, 0);
  set_option(socket, ZMQ_IPV6, is_ipv4_literal(address) ? 0 : 1);
  set_option(socket, ZMQ_MAXMSGSIZE, static_cast<std::int64_t>(message_bytes_max + frame_slack_bytes));
  set_option(socket, ZMQ_HANDSHAKE_IVL, static_cast<int>(handshake_timeout.count()));
  set_option(socket, ZMQ_TCP_KEEPALIVE, 1);
  set_option(socket, ZMQ_TCP_KEEPALIVE_IDLE, keepalive_idle_s);
  set_option(socket, ZMQ_TCP_KEEPALIVE_INTVL, keepalive_interval_s);
  set_option(socket, ZMQ_TCP_KEEPALIVE_CNT, keepalive_count);
  set_option(socket, ZMQ_CURVE_PUBLICKEY, keys.public_key);
  set_option(socket, ZMQ_CURVE_SECRETKEY, keys.secret_key);
}

zmq::message_t to_zmq(const shared_bytes& part) {
  if (part.view.size() < zero_copy_bytes_min || part.owner == nullptr)
    return zmq::message_t{part.view.data(), part.view.size()};
  auto held = std::make_unique<holder>();
  held->owner = part.owner;
  held->sent.store(true, std::memory_order_release);
  // ZeroMQ's interface takes a mutable pointer; it only reads what it sends.
  zmq::message_t out{const_cast<std::byte*>(part.view.data()), part.view.size(), &release, held.get()};
  (void)held.release();
  return out;
}

shared_bytes from_zmq(zmq::message_t part) {
  // The view is taken after the move: a short message lies inside the object.
  auto owner = std::make_shared<zmq::message_t>(std::move(part));
  const bytes_view view{static_cast<const std::byte*>(owner->data()), owner->size()};
  return {std::move(owner), view};
}

std::optional<message_parts> receive_parts(zmq::socket_t& socket, zmq::message_t first, std::size_t bytes_max,
                                           std::uint64_t& wire) {
  message_parts parts;
  std::size_t bytes = 0;
  bool within = true;
  for (auto part = std::move(first);;) {
    const bool more = part.more();
    wire += wire_bytes(part.size());
    bytes += part.size();
    within = within && bytes <= bytes_max && parts.size() < message_parts_max;
    if (within)
      parts.push_back(from_zmq(std::move(part)));
    else
      parts.clear();
    if (!more)
      break;
    part = zmq::message_t{};
    if (!socket.recv(part, zmq::recv_flags::dontwait)) // parts arrive together
      return std::nullopt;
  }
  if (!within)
    return std::nullopt;
  return parts;
}

namespace {

std::string monitor_address() {
  static std::atomic<std::uint64_t> next{0};
  return fmt::format("inproc://monitor-{}", next.fetch_add(1));
}

} // namespace

socket_monitor::socket_monitor(zmq::context_t& context, zmq::socket_t& socket, int events)
    : watched_(socket), reader_(context, zmq::socket_type::pair) {
  const auto address = monitor_address();
  if (zmq_socket_monitor(socket.handle(), address.c_str(), events) != 0)
    throw zmq::error_t{};
  set_option(reader_, ZMQ_LINGER, 0);
  // ZeroMQ's I/O thread waits when this queue is full.
  set_option(reader_, ZMQ_RCVHWM, monitor_events_queued_max);
  reader_.connect(address);
}

socket_monitor::~socket_monitor() {
  // First, so that the I/O thread does not write to a pair without a reader.
  (void)zmq_socket_monitor(watched_.handle(), nullptr, 0);
}

std::optional<socket_event> socket_monitor::next() {
  zmq::message_t part;
  if (!reader_.recv(part, zmq::recv_flags::dontwait))
    return std::nullopt;
  socket_event out;
  if (part.size() >= 6) {
    std::uint16_t kind = 0;
    std::int32_t value = 0;
    std::memcpy(&kind, part.data(), sizeof kind);
    std::memcpy(&value, static_cast<const char*>(part.data()) + sizeof kind, sizeof value);
    out = {kind, value};
  }
  while (part.more()) { // the endpoint
    zmq::message_t rest;
    if (!reader_.recv(rest, zmq::recv_flags::dontwait))
      break;
    part = std::move(rest);
  }
  return out;
}

wakeup::wakeup() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (fd_ < 0)
    throw std::system_error{errno, std::generic_category(), "eventfd"};
}

wakeup::~wakeup() { ::close(fd_); }

void wakeup::signal() noexcept {
  if (signalled_.exchange(true, std::memory_order_acq_rel))
    return;
  const std::uint64_t one = 1;
  (void)!::write(fd_, &one, sizeof one);
}

void wakeup::clear() noexcept {
  std::uint64_t count = 0;
  (void)!::read(fd_, &count, sizeof count);
  // After the read: a signal from here on writes again, one before it is seen by the caller's next look.
  signalled_.store(false, std::memory_order_release);
}

bool send_queue::try_push(outgoing message) {
  for (const auto& part : message.parts)
    message.bytes += part.view.size();
  const std::lock_guard lock{mutex_};
  if (!open_ || waiting_.size() >= count_max_ || (!waiting_.empty() && bytes_ + message.bytes > bytes_max_))
    return false;
  bytes_ += message.bytes;
  waiting_.push_back(std::move(message));
  return true;
}

std::optional<outgoing> send_queue::pop() {
  const std::lock_guard lock{mutex_};
  if (waiting_.empty())
    return std::nullopt;
  auto out = std::move(waiting_.front());
  waiting_.pop_front();
  bytes_ -= out.bytes;
  return out;
}

bool send_queue::empty() const {
  const std::lock_guard lock{mutex_};
  return waiting_.empty();
}

std::size_t send_queue::clear() {
  std::deque<outgoing> dropped; // destroyed outside of the lock
  const std::lock_guard lock{mutex_};
  dropped.swap(waiting_);
  bytes_ = 0;
  return dropped.size();
}

void send_queue::open() {
  const std::lock_guard lock{mutex_};
  open_ = true;
}

std::size_t send_queue::close() {
  {
    const std::lock_guard lock{mutex_};
    open_ = false;
  }
  return clear();
}

} // namespace skerry::link::detail
