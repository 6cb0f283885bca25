#include "edge/uplink/uplink_link.hpp"

#include <spdlog/spdlog.h>

namespace skerry::edge {

bool uplink_link::send(link::message message) {
  const auto* batch = std::get_if<link::batch>(&message.body);
  auto& by = batch != nullptr && batch->lane == link::lane::backlog && backlog_apart() ? apart_ : main_;
  return by.transport && by.transport->try_send(link::encode(message));
}

void uplink_link::reconnect() {
  close_apart();
  if (main_.transport)
    main_.transport->reconnect();
}

bool uplink_link::backlog_apart() const noexcept {
  return apart_.transport && apart_stands_->load(std::memory_order_acquire);
}

result<void> uplink_link::start(const std::string& address) {
  BOOST_OUTCOME_TRY(transport, connect_(address, events_()));
  main_.transport = std::move(transport);
  return ok();
}

void uplink_link::stop() {
  close_apart();
  drop(main_);
}

void uplink_link::open_apart(const std::string& address) {
  if (apart_.transport)
    return;
  apart_stands_ = std::make_shared<std::atomic<bool>>(false);
  link::client_events events;
  events.message = [](link::message_parts) {}; // all answers come over the first
  events.state = [stands = apart_stands_](link::client_state now) {
    stands->store(now == link::client_state::connected, std::memory_order_release);
  };
  auto made = connect_(address, std::move(events));
  if (made)
    apart_.transport = std::move(made).value();
  else
    spdlog::warn("uplink: no connection for the backlog alone: {}", made.error().message);
}

void uplink_link::close_apart() { drop(apart_); }

std::uint64_t uplink_link::take(connection& of) {
  if (!of.transport)
    return 0;
  const auto now = of.transport->bytes_on_link();
  return now.sent + now.received - std::exchange(of.taken, now.sent + now.received);
}

void uplink_link::drop(connection& which) {
  untaken_ += take(which);
  which = {};
}

std::uint64_t uplink_link::take_ip_bytes() { return std::exchange(untaken_, 0) + take(main_) + take(apart_); }

std::uint64_t uplink_link::bytes_sent() const noexcept {
  return (main_.transport ? main_.transport->bytes_sent() : 0)
         + (apart_.transport ? apart_.transport->bytes_sent() : 0);
}

std::uint64_t uplink_link::bytes_received() const noexcept {
  return (main_.transport ? main_.transport->bytes_received() : 0)
         + (apart_.transport ? apart_.transport->bytes_received() : 0);
}

} // namespace skerry::edge
