#include "simulator/fleet/link_switch.hpp"

#include "actors/base/clock.hpp"
#include "actors/link/messages.hpp"

namespace skerry::sim {

// Tells the switch which transport there is.
class link_switch::switched final : public link::client_transport {
public:
  switched(link_switch& owner, std::unique_ptr<link::client_transport> real)
      : owner_(owner), real_(std::move(real)) {
    const std::lock_guard lock{owner_.mutex_};
    owner_.open_.push_back(real_.get());
  }
  ~switched() override {
    const std::lock_guard lock{owner_.mutex_};
    auto& h = owner_.history_;
    h.tcp_sent += real_->bytes_sent();
    h.tcp_received += real_->bytes_received();
    const auto ip = real_->bytes_on_link();
    h.ip.sent += ip.sent;
    h.ip.received += ip.received;
    std::erase(owner_.open_, real_.get());
  }
  bool try_send(link::message_parts parts) override { return real_->try_send(std::move(parts)); }
  void reconnect() override { real_->reconnect(); }
  std::uint64_t bytes_sent() const noexcept override { return real_->bytes_sent(); }
  std::uint64_t bytes_received() const noexcept override { return real_->bytes_received(); }
  link::ip_bytes bytes_on_link() override { return real_->bytes_on_link(); }

private:
  link_switch& owner_;
  std::unique_ptr<link::client_transport> real_;
};

result<std::unique_ptr<link::client_transport>>
link_switch::connect(link::client_config config, link::client_events events, prometheus::Registry& metrics) {
  config.may_connect = [this] {
    const std::lock_guard lock{mutex_};
    return cuts_ == 0;
  };
  const auto beside = [this] {
    const std::lock_guard lock{mutex_};
    return !open_.empty();
  }();
  if (beside) {
    BOOST_OUTCOME_TRY(real, link::start_client(std::move(config), std::move(events), metrics));
    return std::make_unique<switched>(*this, std::move(real));
  }
  link::client_events told;
  told.state = [this, to = std::move(events.state)](link::client_state now) {
    on_state(now);
    to(now);
  };
  told.message = [this, to = std::move(events.message)](link::message_parts parts) {
    on_message(parts);
    to(std::move(parts));
  };
  BOOST_OUTCOME_TRY(real, link::start_client(std::move(config), std::move(told), metrics));
  return std::make_unique<switched>(*this, std::move(real));
}

void link_switch::on_state(link::client_state now) {
  const std::lock_guard lock{mutex_};
  history_.live = false;
  if (now != link::client_state::connected)
    return;
  ++history_.connections;
  history_.connected_ns = system_clock().monotonic_ns();
  greeted_ = false;
}

void link_switch::on_message(const link::message_parts& parts) {
  {
    const std::lock_guard lock{mutex_};
    if (greeted_)
      return;
  }
  const auto message = link::decode(parts, link::client_config{}.message_bytes_max);
  if (!message || !std::holds_alternative<link::welcome>(message.value().body))
    return;
  const auto now = system_clock().monotonic_ns();
  on_welcome_(now);
  const std::lock_guard lock{mutex_};
  greeted_ = true;
  ++history_.sessions;
  history_.welcome_ns = now;
  history_.live = true;
}

void link_switch::cut() {
  const std::lock_guard lock{mutex_};
  if (++cuts_ == 1)
    for (auto* one : open_)
      one->reconnect();
}

void link_switch::restore(bool at_once) {
  const std::lock_guard lock{mutex_};
  if (--cuts_ == 0 && at_once)
    for (auto* one : open_)
      one->reconnect();
}

bool link_switch::live() const {
  const std::lock_guard lock{mutex_};
  return history_.live;
}

link_switch::history link_switch::now() const {
  const std::lock_guard lock{mutex_};
  auto out = history_;
  for (auto* one : open_) {
    out.tcp_sent += one->bytes_sent();
    out.tcp_received += one->bytes_received();
    const auto ip = one->bytes_on_link();
    out.ip.sent += ip.sent;
    out.ip.received += ip.received;
  }
  return out;
}

} // namespace skerry::sim
