#include "edge/pipeline.hpp"

#include "edge/gateway/gateway.hpp"

namespace skerry::edge {

namespace {

std::uint64_t spool_bytes_default(const std::filesystem::path& data) {
  std::error_code code;
  const auto disk = std::filesystem::space(data, code);
  return code ? spool_bytes_max_default : std::min<std::uint64_t>(spool_bytes_max_default, disk.capacity / 5);
}

} // namespace

pipeline::pipeline(const edge_config& config, const edge_identity& identity, pipeline_surroundings around)
    : config_(config), identity_(identity), around_(std::move(around)) {}

result<std::unique_ptr<pipeline>> pipeline::open(const edge_config& config, const edge_identity& identity,
                                                 pipeline_surroundings around) {
  std::unique_ptr<pipeline> made{new pipeline{config, identity, std::move(around)}};
  auto settings = spool_config_of(config, spool_bytes_default(config.data));
  const auto& with = made->around_;
  settings.edge = identity.edge;
  settings.examine_command = with.examine_command;
  BOOST_OUTCOME_TRY(store, spool::open(settings, with.clock, with.random, with.metrics));
  made->store_ = std::move(store);
  return made;
}

pipeline::~pipeline() {
  if (system_ == nullptr)
    return;
  stop();
  wait_for_end(*system_, uplink_);
  wait_for_end(*system_, gateway_);
}

result<void> pipeline::start(caf::actor_system& system, actor_watch& watch) {
  uplink_config up;
  static_cast<uplink_settings&>(up) = config_.uplink;
  static_cast<delivery::sender_settings&>(up.sender) = config_.sender;
  up.sender.edge = identity_.edge;
  up.sender.current = store_->epoch();
  up.sender.instance = around_.random.next_128();
  up.sender.software = around_.software;
  up.sender.under_way = claims_;
  up.sender.further_out = origins_;
  up.store = store_;
  up.clock = &around_.clock;
  up.random = &around_.random;
  up.metrics = &around_.metrics;
  up.message_bytes_max = config_.link.message_bytes_max;
  up.publish = around_.publish;
  up.addresses = identity_.addresses;
  up.usage_file = config_.data / "usage";
  up.connect = around_.connect;
  up.detached = around_.detached;

  gateway_config gather;
  static_cast<gateway_settings&>(gather) = config_.gateway;
  BOOST_OUTCOME_TRYV(gather.validate());
  gather.store = store_;
  gather.clock = &around_.clock;
  gather.metrics = &around_.metrics;
  gather.inbox = inbox_ = std::make_shared<gateway_inbox>(gather.commit_interval);
  gather.under_way = claims_;
  gather.free_disk = [directory = config_.data / "spool"]() -> std::uint64_t {
    std::error_code code;
    const auto disk = std::filesystem::space(directory, code);
    return code ? UINT64_MAX : disk.available;
  };
  gather.publish = around_.publish_refusal;
  gather.detached = around_.detached;

  system_ = &system;
  uplink_ = spawn_uplink(system, std::move(up));
  watch.watch(uplink_, "edge: the uplink");
  gateway_ = spawn_gateway(system, std::move(gather), uplink_);
  watch.watch(gateway_, "edge: the gateway");
  return ok();
}

void pipeline::stop() {
  if (uplink_)
    caf::anon_send(uplink_, stop_atom_v);
  if (gateway_)
    caf::anon_send(gateway_, stop_atom_v);
}

} // namespace skerry::edge
