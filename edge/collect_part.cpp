#include "edge/collect_part.hpp"

#include "edge/collect/roster.hpp"

namespace skerry::edge {

collect_part::collect_part(const collect_settings& config, const edge_identity& identity,
                           const pipeline& records, std::shared_ptr<status_board> board,
                           prometheus::Registry& metrics, caf::actor_system& system, actor_watch& watch)
    : system_(system) {
  roster_config list;
  list.gateway = records.gateway();
  list.inbox = records.inbox();
  list.clock = &system_clock();
  list.metrics = &metrics;
  list.publish = [board](std::vector<scrape_target_ptr> targets) { board->publish(std::move(targets)); };
  list.publish_host = [board](std::shared_ptr<const due_watch> host) { board->publish(std::move(host)); };
  list.seed = static_cast<std::uint64_t>(identity.edge);
  roster_ = spawn_roster(system, std::move(list));
  watch.watch(roster_, "edge: the roster");
  apply(config);
}

collect_part::~collect_part() { stop_and_wait(system_, roster_); }

void collect_part::apply(const collect_settings& config) {
  caf::anon_send(roster_, std::make_shared<const collect_settings>(config));
}

} // namespace skerry::edge
