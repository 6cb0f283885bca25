#include "simulator/world/network.hpp"

#include <fmt/format.h>

namespace skerry::sim {

namespace {

std::int64_t size_of(const link::message& message) {
  constexpr std::int64_t envelope = 120;
  if (const auto* batch = std::get_if<link::batch>(&message.body))
    return envelope + static_cast<std::int64_t>(batch->run.bytes.view.size());
  if (const auto* sets = std::get_if<link::sets>(&message.body))
    return envelope + static_cast<std::int64_t>(sets->found.size()) * 200;
  return envelope;
}

std::string describe(const std::vector<link::stream_held>& all) {
  std::string out;
  for (const auto& [key, ranges] : all)
    for (const auto& range : ranges.ranges())
      out += fmt::format(" {}/{}:{}-{}", static_cast<std::uint64_t>(key.edge) & 0xfff, key.epoch.boot_counter,
                         range.first, range.last);
  return out;
}

std::string describe(const link::message& message) {
  if (const auto* refusal = std::get_if<link::refusal>(&message.body))
    return fmt::format("refusal of {:x}/{}:{}-{}: {}", static_cast<std::uint64_t>(refusal->key.edge) & 0xfff,
                       refusal->key.epoch.boot_counter, refusal->batch.first, refusal->batch.last,
                       refusal->message);
  if (const auto* hello = std::get_if<link::hello>(&message.body)) {
    std::string out = "hello";
    for (const auto& stream : hello->streams)
      out +=
          fmt::format(" [held{} released{} last {}{}]", describe({{stream.key, stream.held}}),
                      describe({{stream.key, stream.released}}), stream.last, stream.closed ? " closed" : "");
    return out;
  }
  if (const auto* welcome = std::get_if<link::welcome>(&message.body))
    return fmt::format("welcome, durable{}, not safe{}, lost{}", describe(welcome->durable),
                       describe(welcome->not_safe), describe(welcome->lost_custody));
  if (const auto* batch = std::get_if<link::batch>(&message.body))
    return fmt::format("batch {}/{}:{}-{} in lane {}",
                       static_cast<std::uint64_t>(batch->run.header.key.edge) & 0xfff,
                       batch->run.header.key.epoch.boot_counter, batch->run.header.first,
                       batch->run.header.last(), static_cast<int>(batch->lane));
  if (const auto* ack = std::get_if<link::ack>(&message.body))
    return (ack->level == link::ack_level::safe ? "ack, safe" : "ack, durable") + describe(ack->ranges);
  if (const auto* bye = std::get_if<link::bye>(&message.body))
    return "bye: " + bye->message;
  constexpr const char* names[] = {"unknown", "hello",        "welcome", "batch",       "ack",
                                   "need",    "sets",         "credit",  "config",      "redirect",
                                   "join",    "joined",       "bye",     "ping",        "pong",
                                   "origins", "origin state", "refusal", "origin links"};
  static_assert(std::size(names) == std::variant_size_v<link::body>);
  return names[message.body.index()];
}

} // namespace

void sim_link::start(client_events events, std::size_t address) {
  events_ = std::move(events);
  address_ = address;
  life_ = ++lives_;
  dial_after(random_.between(millisecond, 100 * millisecond));
}

void sim_link::stop() {
  close(random_.chance(70));
  life_ = 0;
  ++dials_;
  events_ = {};
}

void sim_link::dial_after(sim_time delay) {
  time_.after(delay, [this, dial_number = ++dials_] {
    if (dial_number == dials_ && life_ != 0 && !connection_)
      dial();
  });
}

void sim_link::dial() {
  const auto now = time_.now();
  const auto clear = std::max(condition.blocked_until[up], condition.blocked_until[down]);
  if (clear > now) {
    dial_after(std::min(clear - now, 10 * second) + random_.between(millisecond, second));
    return;
  }
  if (gone_ == address_) {
    dial_after(random_.between(100 * millisecond, 3 * second));
    return;
  }
  switch (server_.dial(user_)) {
  case link_server::answer::none: dial_after(random_.between(100 * millisecond, 3 * second)); return;
  case link_server::answer::refused:
    events_.refused();
    dial_after(random_.between(2 * second, 6 * second));
    return;
  case link_server::answer::accepted: break;
  }
  // TCP's and CURVE's handshakes take three round trips.
  time_.after(6 * condition.delay + 1,
              [this, life = life_, server_life = server_.life(), dial_number = ++dials_] {
                if (life != life_ || dial_number != dials_ || connection_)
                  return;
                if (server_life != server_.life()) {
                  dial_after(second);
                  return;
                }
                connection_ = std::make_shared<connection>();
                connection_->peer = name_ + "/" + std::to_string(++connections_);
                connection_->server_life = server_life;
                events_.connected();
              });
}

bool sim_link::push(const connection_ptr& on, direction way, link::message message) {
  if (on->flights[way].size() >= queue_max)
    return false;
  const auto bytes = size_of(message);
  if (way == up)
    bytes_ += static_cast<std::uint64_t>(bytes);
  auto at = std::max(time_.now(), condition.blocked_until[way]) + condition.delay
            + static_cast<sim_time>(random_.below(static_cast<std::uint64_t>(condition.jitter) + 1));
  if (random_.chance(condition.loss_percent))
    at += 2 * condition.delay + 200 * millisecond; // sent again
  at = std::max(at, on->last[way] + 1);
  if (condition.bytes_per_second != 0)
    at = std::max(at, on->last[way] + bytes * second / condition.bytes_per_second);
  on->last[way] = at;
  on->flights[way].push_back({std::move(message), at});
  schedule(on, way);
  return true;
}

void sim_link::schedule(const connection_ptr& on, direction way) {
  if (on->scheduled[way] || on->flights[way].empty())
    return;
  on->scheduled[way] = true;
  const auto blocked = on->open ? condition.blocked_until[way] : 0;
  time_.at(std::max(on->flights[way].front().arrives, blocked), [this, on, way] {
    on->scheduled[way] = false;
    deliver(on, way);
  });
}

void sim_link::deliver(const connection_ptr& on, direction way) {
  auto& flights = on->flights[way];
  if (flights.empty())
    return;
  if (flights.front().arrives > time_.now() || (on->open && condition.blocked_until[way] > time_.now())) {
    schedule(on, way);
    return;
  }
  auto message = std::move(flights.front().message);
  if (trace)
    trace(fmt::format("{} {} {}{}", on->peer, way == up ? "sends" : "gets", describe(message),
                      on->open ? "" : " (late)"));
  flights.pop_front();
  schedule(on, way);
  if (way == up) {
    if (!on->moot && on->server_life == server_.life())
      server_.on_client_message(on->peer, user_, std::move(message));
  } else if (on == connection_ && life_ != 0) {
    bytes_ += static_cast<std::uint64_t>(size_of(message));
    events_.message(std::move(message));
  }
}

bool sim_link::client_send(link::message message) {
  return connection_ && push(connection_, up, std::move(message));
}

bool sim_link::server_send(const link::peer_id& to, const link::message& message) {
  if (!to.starts_with(name_) || to.size() <= name_.size() || to[name_.size()] != '/')
    return false;
  if (connection_ && connection_->peer == to && !connection_->moot)
    (void)push(connection_, down, message); // a full queue drops it, as ROUTER does
  return true;
}

void sim_link::close(bool late) {
  if (!connection_)
    return;
  connection_->open = false;
  connection_->flights[down].clear();
  if (late) {
    const auto delay = random_.between(0, 20 * second);
    for (auto& flight : connection_->flights[up])
      flight.arrives += delay;
  } else {
    auto& flights = connection_->flights[up];
    if (!flights.empty())
      flights.resize(random_.below(flights.size() + 1)); // the first of them may have arrived
  }
  connection_.reset();
}

void sim_link::client_reconnect() {
  close(random_.chance(50));
  dial_after(random_.between(10 * millisecond, second));
  events_.disconnected();
}

void sim_link::lose_connection(bool late) {
  if (!connection_)
    return;
  close(late);
  // Noticed a little later; nothing can be sent meanwhile.
  time_.after(random_.between(0, 500 * millisecond), [this, life = life_] {
    if (life != life_ || life_ == 0 || connection_)
      return;
    events_.disconnected();
    dial_after(random_.between(10 * millisecond, 2 * second));
  });
}

void sim_link::lose_address() {
  gone_ = address_;
  lose_connection(random_.chance(50));
}

void sim_link::server_gone(bool reset) {
  if (!connection_)
    return;
  connection_->moot = true;
  if (reset)
    lose_connection(false);
}

} // namespace skerry::sim
