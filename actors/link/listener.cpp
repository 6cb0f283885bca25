#include "actors/link/listener.hpp"

#include "actors/base/clock.hpp"
#include "actors/base/open_files.hpp"
#include "actors/link/messages.hpp"
#include "actors/link/registry.hpp"

namespace skerry::link {

void listener::send(const peer_id& to, const message& what) {
  if (auto* transport = ready_.load(std::memory_order_acquire))
    static_cast<void>(transport->try_send(to, encode(what)));
}

result<void> listener::start(const listener_config& config, const curve_keypair& keys,
                             std::shared_ptr<registry> registry, clock_source& clock, listener_events events,
                             prometheus::Registry& metrics) {
  auto budget = std::make_shared<byte_budget>(config.queue_bytes_max);
  server_config settings;
  static_cast<server_settings&>(settings) = config;
  settings.keys = keys;
  settings.connections_max = link_connections_within(config.connections_max);
  settings.received = budget;
  server_events heard;
  heard.message = [to = std::move(events.message), budget](peer_id from, std::string user_id,
                                                           message_parts parts) {
    auto share = budget->take(memory_of(parts));
    to(std::move(from), std::move(user_id), std::move(parts), std::move(share));
  };
  heard.closed = std::move(events.closed);
  heard.admit = [registry = std::move(registry), &clock](const curve_key& key, const std::string&) {
    return registry->admit(key, clock.wall_ns() / 1'000'000'000);
  };
  BOOST_OUTCOME_TRY(transport, start_server(std::move(settings), std::move(heard), metrics));
  transport_ = std::move(transport);
  ready_.store(transport_.get(), std::memory_order_release);
  return ok();
}

} // namespace skerry::link
