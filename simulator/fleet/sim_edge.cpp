#include "simulator/fleet/sim_edge.hpp"

#include "actors/link/keys.hpp"
#include "actors/node/version.hpp"
#include "edge/collect/agent.hpp"
#include "edge/config.hpp"
#include "edge/gateway/gateway.hpp"
#include "edge/join.hpp"
#include "edge/uplink/uplink.hpp"

#include <fmt/format.h>

#include <iterator>

namespace skerry::sim {

namespace {

constexpr std::uint64_t segment_bytes = 8 << 20; // small: hundreds of spools lie on one disk
constexpr std::uint64_t reserve_bytes = 256 << 10;

} // namespace

sim_edge::sim_edge(const edge_surroundings& shared, std::filesystem::path data)
    : shared_(shared),
      data_(std::move(data)),
      tally_(*shared.latencies),
      switch_([this](std::int64_t now_ns) { tally_.expect_current(now_ns); }) {
  switch_.cut();
}

sim_edge::~sim_edge() = default;

result<void> sim_edge::load() {
  BOOST_OUTCOME_TRY(identity, edge::load_identity(data_));
  identity_ = std::move(identity);
  return ok();
}

result<void> sim_edge::join(const link::join_token& token, std::chrono::milliseconds timeout) {
  BOOST_OUTCOME_TRY(directory, data_directory::open(data_, node_kind::edge));
  directory_.emplace(std::move(directory));
  BOOST_OUTCOME_TRY(identity, edge::join(data_, token, timeout));
  identity_ = std::move(identity);
  return ok();
}

result<void> sim_edge::open() {
  if (!directory_) {
    BOOST_OUTCOME_TRY(directory, data_directory::open(data_, node_kind::edge));
    directory_.emplace(std::move(directory));
  }
  BOOST_OUTCOME_TRY(keys, link::load_keypair(data_ / "link.key"));
  keys_ = keys;
  edge::spool_config settings;
  settings.directory = data_ / "spool";
  settings.edge = identity_.edge;
  settings.bytes_max = shared_.spool_bytes_max;
  settings.segment_bytes = std::min(segment_bytes, shared_.spool_bytes_max);
  settings.reserve_bytes = reserve_bytes;
  BOOST_OUTCOME_TRY(store, edge::spool::open(settings, clock_, system_random(), *shared_.metrics));
  const auto now = [this] { return counting_spool::conditions{switch_.live(), clock_.skew_ns()}; };
  store_ = std::make_shared<counting_spool>(std::move(store), tally_, now,
                                            [] { return system_clock().wall_ns(); });
  return ok();
}

void sim_edge::start() {
  const edge::edge_config usual; // what a node runs with
  auto claims = std::make_shared<delivery::claims>();
  edge::uplink_config up;
  up.sender.edge = identity_.edge;
  up.sender.current = store_->epoch();
  up.sender.instance = system_random().next_128();
  up.sender.software = fmt::format("skerry-sim {}", version);
  up.sender.under_way = claims;
  up.sender.batch_bytes_max = usual.uplink_batch_bytes_max;
  up.sender.dead_after = usual.uplink_dead_after;
  up.sender.ping_interval = usual.uplink_ping_interval;
  up.store = store_;
  up.addresses = identity_.addresses;
  up.failover_after = usual.uplink_failover_after;
  up.clock = &clock_;
  up.random = &system_random();
  up.metrics = shared_.metrics;
  up.message_bytes_max = usual.link.message_bytes_max;
  up.detached = false;
  up.connect = [this](const std::string& address, link::client_events events) {
    link::client_config settings;
    settings.address = address;
    settings.server_key = identity_.server_key;
    settings.keys = keys_;
    settings.reconnect_max = shared_.reconnect_max;
    settings.loop = shared_.loop;
    return switch_.connect(std::move(settings), std::move(events), *shared_.metrics);
  };
  uplink_ = edge::spawn_uplink(*shared_.actors, std::move(up));

  edge::gateway_config gather;
  gather.store = store_;
  gather.clock = &clock_;
  gather.metrics = shared_.metrics;
  gather.commit_interval = std::chrono::duration_cast<std::chrono::milliseconds>(usual.commit_interval);
  gather.inbox = inbox_ = std::make_shared<edge::gateway_inbox>(gather.commit_interval);
  gather.limits = usual.spool_limits;
  gather.under_way = std::move(claims);
  gather.free_disk = [directory = data_]() -> std::uint64_t {
    std::error_code code;
    const auto disk = std::filesystem::space(directory, code);
    return code ? UINT64_MAX : disk.available;
  };
  gather.detached = false;
  gateway_ = edge::spawn_gateway(*shared_.actors, std::move(gather), uplink_);
}

void sim_edge::add_agent(const std::string& host, std::uint64_t host_number, std::uint64_t site_number,
                         std::chrono::nanoseconds offset) {
  auto source = std::make_shared<model_source>(shared_.model, host_number, site_number);
  edge::agent_config config;
  config.host = host;
  config.gateway = gateway_;
  config.inbox = inbox_;
  config.clock = &clock_;
  config.local = std::make_shared<edge::local_collection>();
  config.local->interval = shared_.interval;
  config.local->offset = offset;
  config.local->collect = [source](std::int64_t time_ns, std::int64_t monotonic_ns, std::string_view name) {
    return source->collect(time_ns, monotonic_ns, name);
  };
  agents_[host] = edge::spawn_agent(*shared_.actors, std::move(config));
}

void sim_edge::remove_agent(const std::string& host) {
  const auto it = agents_.find(host);
  if (it == agents_.end())
    return;
  caf::anon_send(it->second, stop_atom_v);
  agents_.erase(it);
}

void sim_edge::stop_agents() {
  for (auto& [host, agent] : agents_)
    caf::anon_send(agent, stop_atom_v);
  agents_.clear();
}

void sim_edge::stop() {
  stop_agents();
  if (uplink_)
    caf::anon_send(uplink_, stop_atom_v);
  uplink_ = nullptr;
  if (gateway_)
    caf::anon_send(gateway_, stop_atom_v);
  gateway_ = nullptr;
}

std::optional<std::string> sim_edge::some_agent(std::uint64_t choice) const {
  if (agents_.empty())
    return std::nullopt;
  return std::next(agents_.begin(), static_cast<std::ptrdiff_t>(choice % agents_.size()))->first;
}

} // namespace skerry::sim
