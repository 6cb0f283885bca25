#include "edge/downlink_part.hpp"

#include "edge/downlink/downlink.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace skerry::edge {

namespace {

constexpr std::uint64_t downlink_memory_max =
    32 << 20; // of what edges further out have sent, and waits for the spool

} // namespace

downlink_part::~downlink_part() { stop_and_wait(system_, downlink_); }

result<std::unique_ptr<downlink_part>>
downlink_part::open(const edge_config& config, const edge_identity& identity, const link::curve_keypair& keys,
                    const pipeline& records, std::shared_ptr<status_board> board, random_source& random,
                    prometheus::Registry& metrics, caf::actor_system& system, actor_watch& watch) {
  std::unique_ptr<downlink_part> made{new downlink_part{system}};
  BOOST_OUTCOME_TRY(registry, link::registry::open(config.data / "registry"));
  made->registry_ = std::move(registry);
  downlink_config down;
  down.receiver.name = fmt::format("gateway {}", to_string(identity.edge));
  down.receiver.memory_max = downlink_memory_max;
  down.receiver.self = identity.edge;
  down.receiver.is_upstream = [registry = made->registry_, key = identity.server_key](edge_id user) {
    const auto upstream = registry->edge_of(key); // a node has one key, for either direction
    return upstream && upstream.value() == user;
  };
  const auto& store = records.store();
  down.receiver.incarnation = store->epoch().random; // a gateway restored from a copy starts a new epoch
  down.receiver.taken_until_ns = store->report().last_commit_ns;
  down.store = store;
  down.registry = made->registry_;
  down.gateway = records.gateway();
  down.epochs = records.origins();
  down.clock = &system_clock();
  down.random = &random;
  down.metrics = &metrics;
  down.message_bytes_max = config.link.message_bytes_max;
  down.presence_file = config.data / "edges";
  down.publish = [board = std::move(board)](std::vector<delivery::edge_view> edges,
                                            std::vector<delivery::edge_presence> how) {
    board->publish(std::move(edges), std::move(how));
  };
  down.send = [out = &made->listener_](const link::peer_id& to, const link::message& message) {
    out->send(to, message);
  };
  made->downlink_ = spawn_downlink(system, std::move(down));
  watch.watch(made->downlink_, "edge: the downlink");
  BOOST_OUTCOME_TRYV(made->listener_.start(config.link, keys, made->registry_, system_clock(),
                                           tell(made->downlink_), metrics));
  spdlog::info("edge: edges further out may connect to {}", made->address());
  return made;
}

} // namespace skerry::edge
