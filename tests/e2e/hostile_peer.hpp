#pragma once

// A connection with a valid key for tests that misbehave on it.

#include "actors/link/keys.hpp"
#include "actors/link/messages.hpp"

#include <fmt/format.h>
#include <prometheus/registry.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace skerry::hostile {

using namespace std::chrono_literals;

constexpr std::size_t message_bytes_max = 32 << 20;

[[noreturn]] inline void give_up(std::string_view why) {
  fmt::print(stderr, "hostile: {}\n", why);
  std::exit(1);
}

// One connection; messages are sent whatever the receiver answers.
class peer {
public:
  peer(const std::string& address, const link::curve_key& server, const link::curve_keypair& keys,
       std::function<void(const link::message&)> on_message = {})
      : on_message_(std::move(on_message)) {
    link::client_config settings;
    settings.address = address;
    settings.server_key = server;
    settings.keys = keys;
    link::client_events events;
    events.message = [this](link::message_parts parts) {
      auto message = link::decode(parts, message_bytes_max);
      if (message && on_message_)
        on_message_(message.value());
      const std::lock_guard lock{mutex_};
      if (!message)
        return;
      if (const auto* welcome = std::get_if<link::welcome>(&message.value().body); welcome != nullptr)
        session_ = message.value().session;
      else if (std::holds_alternative<link::bye>(message.value().body))
        ended_ = true;
      changed_.notify_all();
    };
    events.state = [this](link::client_state now) {
      const std::lock_guard lock{mutex_};
      connected_ = now == link::client_state::connected;
      changed_.notify_all();
    };
    auto started = link::start_client(settings, std::move(events), metrics_);
    if (!started)
      give_up(started.error().message);
    transport_ = std::move(started).value();
    wait([this] { return connected_; }, "no connection");
  }

  void send(link::message_parts parts) {
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (!transport_->try_send(parts)) {
      if (std::chrono::steady_clock::now() > until)
        give_up("a message can't be sent");
      std::this_thread::sleep_for(1ms);
    }
  }

  [[nodiscard]] bool try_send(link::message_parts parts) { return transport_->try_send(std::move(parts)); }

  // The last session was ended, or the connection is gone.
  [[nodiscard]] bool ended() {
    const std::lock_guard lock{mutex_};
    return ended_ || !connected_;
  }

  // 0: none within the time.
  std::uint64_t try_open(const link::hello& hello, std::chrono::milliseconds within) {
    {
      const std::lock_guard lock{mutex_};
      session_ = 0;
      ended_ = false;
    }
    if (!transport_->try_send(link::encode({0, hello})))
      return 0;
    std::unique_lock lock{mutex_};
    changed_.wait_for(lock, within, [this] { return session_ != 0 || ended_; });
    return session_;
  }

  // The number of the session that the receiver opens for this Hello.
  std::uint64_t open_session(const link::hello& hello) {
    {
      const std::lock_guard lock{mutex_};
      session_ = 0;
    }
    send(link::encode({0, hello}));
    wait([this] { return session_ != 0; }, "no Welcome");
    const std::lock_guard lock{mutex_};
    return session_;
  }

private:
  template <class Condition>
  void wait(Condition done, std::string_view otherwise) {
    std::unique_lock lock{mutex_};
    if (!changed_.wait_for(lock, 15s, done))
      give_up(otherwise);
  }

  prometheus::Registry metrics_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool connected_ = false;
  bool ended_ = false;
  std::function<void(const link::message&)> on_message_; // on the transport's thread
  std::uint64_t session_ = 0;
  std::unique_ptr<link::client_transport> transport_; // last: its thread calls into the members above
};

} // namespace skerry::hostile
