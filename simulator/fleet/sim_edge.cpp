#include "simulator/fleet/sim_edge.hpp"

#include "actors/base/version.hpp"
#include "actors/link/keys.hpp"
#include "edge/collect/agent.hpp"
#include "edge/join.hpp"

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
  BOOST_OUTCOME_TRY(opened, edge::pipeline::open(settings(), identity_, surroundings()));
  pipeline_ = std::move(opened);
  const auto now = [this] { return counting_spool::conditions{switch_.live(), clock_.skew_ns()}; };
  pipeline_->wrap([&](std::shared_ptr<edge::spool> store) {
    return std::make_shared<counting_spool>(std::move(store), tally_, now,
                                            [] { return system_clock().wall_ns(); });
  });
  return ok();
}

// What a node runs with, but for what hundreds on one machine cannot have.
edge::edge_config sim_edge::settings() const {
  auto config = edge::default_config();
  config.data = data_;
  config.spool.bytes_max = shared_.spool_bytes_max;
  config.spool.segment_bytes = std::min(segment_bytes, shared_.spool_bytes_max);
  config.spool.reserve_bytes = reserve_bytes;
  config.spool.local_retention = {}; // nobody reads here, and the disk is shared
  return config;
}

edge::pipeline_surroundings sim_edge::surroundings() {
  return {.clock = clock_,
          .random = system_random(),
          .metrics = *shared_.metrics,
          .connect =
              [this](const std::string& address, link::client_events events) {
                link::client_config settings;
                settings.address = address;
                settings.server_key = identity_.server_key;
                settings.keys = keys_;
                settings.reconnect_max = shared_.reconnect_max;
                settings.loop = shared_.loop;
                return switch_.connect(std::move(settings), std::move(events), *shared_.metrics);
              },
          .software = fmt::format("skerry-sim {}", version),
          .examine_command = {}, // this program has no such command
          .publish = {},
          .publish_refusal = {},
          .detached = false}; // two threads an edge would be a thousand
}

result<void> sim_edge::start() { return pipeline_->start(*shared_.actors, watch_); }

void sim_edge::add_agent(const std::string& host, std::uint64_t host_number, std::uint64_t site_number,
                         std::chrono::nanoseconds offset) {
  auto source = std::make_shared<model_source>(shared_.model, host_number, site_number);
  edge::agent_config config;
  config.host = host;
  config.gateway = pipeline_->gateway();
  config.inbox = pipeline_->inbox();
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
  if (pipeline_)
    pipeline_->stop();
}

std::optional<std::string> sim_edge::some_agent(std::uint64_t choice) const {
  if (agents_.empty())
    return std::nullopt;
  return std::next(agents_.begin(), static_cast<std::ptrdiff_t>(choice % agents_.size()))->first;
}

} // namespace skerry::sim
