#include "simulator/world/world.hpp"

#include "simulator/world/coverage_check.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace skerry::sim {

namespace {

constexpr sim_time patience = 2 * minute;     // for the state of a link that a fault waits for
constexpr sim_time drain_max = 40 * minute;   // everything is healthy: it must be done by then
constexpr sim_time settle_time = 15 * second; // for the ticks that claim completeness
constexpr sim_time notice_time =
    5 * minute; // for links that are dead and idle: ping_interval, dead_after and a retry
constexpr std::size_t set_count = 12;
constexpr std::uint64_t free_disk_min = 6000; // of spools that look at it
constexpr sim_time hour = 60 * minute;
constexpr sim_time day = 24 * hour;
constexpr sim_time first_wrong_min = 2 * hour; // so that what was ahead is so when the run has ended, too
constexpr sequence scattered_first = 400;      // of a stream with as many holes as records

struct disk_was {
  sim_time sync_min, sync_max;
};

class world {
public:
  explicit world(const world_options& options)
      : options_(options), planted_(options.planted), env_(options.seed, &planted_) {
    env_.tracing = options.trace;
    choose_settings();
    build();
  }

  world_result run() {
    const auto length = options_.length;
    result_.schedule = make_schedule(env_.random.fork(2), options_.faults, edges_.size(),
                                     env_.settings.inner_edges, 10 * minute);
    // A gateway keeps what the cloud refuses, or a tombstone for it, and with either the segment where that lies.
    const auto forged = std::count_if(result_.schedule.begin(), result_.schedule.end(),
                                      [](const fault& f) { return f.kind == fault_kind::forged_claim; });
    gateway().sizes.bytes_max += static_cast<std::uint64_t>(forged) * 2 * gateway().sizes.segment_bytes;
    for (std::size_t i = 0; i < result_.schedule.size(); ++i) {
      if (options_.only && std::find(options_.only->begin(), options_.only->end(), i) == options_.only->end())
        continue;
      result_.schedule_lines.push_back(describe(i, result_.schedule[i]));
      if (result_.schedule[i].at < length)
        arm(result_.schedule[i]);
    }
    cloud_->start();
    for (auto& edge : edges_)
      edge->start();
    if (env_.settings.epochs_max < world_settings{}.epochs_max)
      restart_often(*edges_[env_.random.fork(11).below(edges_.size())], env_.random.fork(12));
    advance(length);
    heal();
    drain();
    restart_scrubbed();
    if (env_.truth.violation().empty())
      check_end();
    result_.violation = env_.truth.violation();
    result_.rule = env_.truth.rule();
    result_.commits = env_.truth.commits();
    saw(clock_sight::doubted, cloud_->doubted_parts());
    saw(clock_sight::refused, cloud_->ahead_records());
    for (std::size_t bound = 0; bound < receiver_bounds; ++bound)
      result_.bounds[bound][1] = cloud_->bounds_hit[bound];
    const auto count = [this](const edge_node& of) {
      for (std::size_t bound = 0; bound < receiver_bounds; ++bound)
        result_.bounds[bound][0] += of.bounds_hit[bound];
      for (std::size_t act = 0; act < limit_acts; ++act)
        result_.limits[act][of.is_gateway ? 1 : 0] += of.limits_acted[act];
      for (std::size_t act = 0; act < uplink_acts; ++act)
        result_.uplinks[act][of.is_gateway ? 1 : 0] += of.uplink_acted[act];
    };
    for (const auto& edge : edges_)
      count(*edge);
    for (const auto& [of, clone] : clones_)
      count(*clone);
    result_.events = env_.time.events();
    result_.trace = std::move(env_.lines);
    return std::move(result_);
  }

private:
  void choose_settings() {
    auto random = env_.random.fork(3);
    auto& s = env_.settings;
    s.inner_edges = 1 + random.below(2);
    s.outer_edges = 3 - s.inner_edges + random.below(2);
    s.length = options_.length;
    s.collect_interval = random.between(6, 11) * second;
    s.batch_bytes_max = static_cast<std::size_t>(random.between(300, 4000));
    s.credit_bytes = static_cast<std::uint64_t>(random.between(600, 16000));
    if (auto memory = env_.random.fork(9); memory.chance(50)) {
      s.credit_min = static_cast<std::uint64_t>(memory.between(300, 2000));
      s.memory_max = 2 * s.credit_bytes + memory.below(4 * s.credit_bytes);
    }
    s.fresh_records = static_cast<std::uint64_t>(random.between(1, 24));
    s.ranges_max = random.chance(20) ? static_cast<std::size_t>(random.between(2, 8)) : 4096;
    if (env_.random.fork(7).chance(40)) {
      s.drained_epochs_kept =
          env_.random.fork(10).chance(60) ? 1 : 4; // fewer, or more, than are remembered unnamed
      s.epochs_max = env_.random.fork(8).chance(70) ? 1 : 2;
    }
    s.parked_batches_max = random.chance(20) ? static_cast<std::size_t>(random.between(2, 8)) : 256;
    s.queue_bytes_max = random.chance(30) ? 2 << 10 : 64 << 10;
    s.group_bytes_max = random.chance(50) ? 300 : 4 << 10;
    if (auto cluster = env_.random.fork(14); cluster.chance(60)) {
      s.journal_interval = cluster.between(500 * millisecond, 4 * second);
      if (cluster.chance(20))
        s.durable_ranges_max = static_cast<std::size_t>(cluster.between(1, 3));
    }
    s.limited = env_.random.fork(6).chance(60) && options_.limits;
    if (s.limited)
      s.batch_bytes_max = std::min<std::size_t>(s.batch_bytes_max, 1000);
    for (std::size_t i = 0; i < set_count; ++i) {
      std::vector<series> members;
      for (std::size_t m = 0; m <= i % 4; ++m)
        members.push_back(
            {0, {{"__name__", "m"}, {"member", std::to_string(m)}, {"set", std::to_string(i)}}});
      env_.sets.push_back(make_series_set({{"m", metric_type::gauge, "", ""}}, std::move(members)));
    }
  }

  // A spool that an outage fills, in segments of a few records; what it does then; and how long it keeps what.
  void limit(edge_node& of, seeded_random random) {
    of.sizes.segment_bytes = static_cast<std::uint64_t>(random.between(300, 3000));
    of.sizes.reserve_bytes = static_cast<std::uint64_t>(random.between(1000, 4000));
    of.sizes.drained_epochs_kept = env_.settings.drained_epochs_kept;
    of.limits.policy = random.one_of(edge::full_policy::drop_oldest, edge::full_policy::drop_newest,
                                     edge::full_policy::thin_oldest);
    of.limits.thin_step = std::chrono::seconds{random.between(20, 120)};
    if (random.chance(80))
      of.limits.free_disk_min = free_disk_min;
    // What is kept is named in each Hello, and receivers remember more epochs than that.
    auto keeping = random.fork(1);
    if (env_.settings.epochs_max == world_settings{}.epochs_max && keeping.chance(60))
      of.sizes.kept_for = keeping.between(30, 300) * second;
    if (!env_.settings.limited)
      return;
    // Whatever comes as one batch must fit, or the node could never take it.
    const auto least = static_cast<std::int64_t>(env_.settings.batch_bytes_max + 500);
    if (random.chance(70)) {
      of.sizes.segment_bytes = static_cast<std::uint64_t>(random.between(300, 1200));
      of.sizes.bytes_max = static_cast<std::uint64_t>(random.between(least, least + 2000));
      if (of.limits.policy == edge::full_policy::thin_oldest)
        of.sizes.bytes_max += of.sizes.replace_bytes = of.sizes.segment_bytes;
    }
    if (random.chance(40))
      of.limits.age_max = std::chrono::seconds{random.between(60, 120)};
    env_.trace("the spool of {} takes {} bytes in segments of {} and keeps them for {} s; when full it {}",
               of.name, of.sizes.bytes_max, of.sizes.segment_bytes, of.limits.age_max.count() / second,
               of.limits.policy == edge::full_policy::drop_oldest   ? "drops the oldest"
               : of.limits.policy == edge::full_policy::drop_newest ? "takes nothing"
                                                                    : "thins the oldest");
  }

  // What its link may carry in this month, and in a second, and over which addresses.
  void meter(edge_node& of, seeded_random random) {
    // What a gateway may not send names epochs when it starts again: more than a receiver that remembers one or two.
    const bool few_epochs = of.is_gateway && env_.settings.epochs_max < world_settings{}.epochs_max;
    if (random.chance(15) && !few_epochs) {
      of.quota.bytes = static_cast<std::uint64_t>(random.between(4, 40) * (of.is_gateway ? 3000 : 1000));
      of.quota.backlog_until = static_cast<double>(random.between(20, 80)) / 100;
      of.quota.thin_interval = std::chrono::seconds{random.between(20, 60)};
      env_.trace("the link of {} may carry {} bytes", of.name, of.quota.bytes);
    }
    if (random.chance(15)) {
      of.bandwidth_bytes = static_cast<std::uint64_t>(random.between(100, 2000) * (of.is_gateway ? 4 : 1));
      env_.trace("the link of {} may carry {} bytes a second", of.name, of.bandwidth_bytes);
    }
    if (random.chance(40)) {
      of.addresses = 2;
      of.failover_after = random.between(15, 40) * second; // longer than a handshake takes
      env_.trace("the receiver of {} has two addresses, each is tried for {} s", of.name,
                 of.failover_after / second);
    }
  }

  void build() {
    const auto& s = env_.settings;
    cloud_ = std::make_unique<cloud_node>(env_, "cloud");
    const auto count = s.inner_edges + s.outer_edges + 1;
    const edge_id gateway_id{0x1000 + count};
    auto gateway = std::make_unique<edge_node>(env_, "gateway", static_cast<std::uint32_t>(count), gateway_id,
                                               *cloud_, std::vector<std::string>{"gateway-host"});
    std::vector<edge_id> inner;
    auto random = env_.random.fork(4);
    auto sharing = env_.random.fork(13);
    if (sharing.chance(50))
      cloud_->authority.one_site = "site";
    for (std::size_t i = 1; i < count; ++i) {
      const bool behind = i <= s.inner_edges;
      const edge_id id{0x1000 + i};
      std::vector<std::string> hosts;
      for (std::size_t h = 0; h <= random.below(3); ++h)
        hosts.push_back(fmt::format("host-{}-{}", i, h));
      if (!cloud_->authority.one_site.empty() && sharing.chance(60))
        hosts.push_back(*env_.shared_hosts.emplace("host-of-several").first);
      edges_.push_back(std::make_unique<edge_node>(
          env_, fmt::format("edge-{}", i), static_cast<std::uint32_t>(i), id,
          behind ? static_cast<link_server&>(*gateway) : *cloud_, std::move(hosts)));
      if (behind) {
        gateway->add_downstream(*edges_.back());
        inner.push_back(id);
      } else {
        cloud_->add_downstream(*edges_.back());
        cloud_->authority.joined.insert(id);
      }
    }
    gateway->become_gateway(inner);
    cloud_->authority.joined.insert(gateway_id);
    cloud_->add_downstream(*gateway);
    edges_.push_back(std::move(gateway));
    for (auto& edge : edges_) {
      limit(*edge, env_.random.fork(400 + edge->index));
      meter(*edge, env_.random.fork(500 + edge->index));
    }
    for (auto& edge : edges_) {
      edge->up_link.condition.delay =
          random.chance(20) ? random.between(100, 700) * millisecond : random.between(1, 60) * millisecond;
      edge->up_link.condition.jitter = edge->up_link.condition.delay / 4;
      edge->up_link.queue_max = random.chance(30) ? 6 : 1000;
      usual_.push_back(edge->up_link.condition);
      trace_link(*edge);
      edge->on_state_seen = [this, at = edge.get()] { on_state_seen(*at); };
    }
    set_first_clocks();
  }

  // Clocks that are wrong when their node starts for the first time, in some runs: the cloud's; or those of fewer edges
  // than not, and of no more than half of those that speak to the cloud, which judges its own clock by theirs.
  void set_first_clocks() {
    auto random = env_.random.fork(15);
    if (!random.chance(40))
      return;
    if (random.chance(40)) {
      cloud_off_by_ = set_wrong(*cloud_, random);
      saw(cloud_off_by_ < 0 ? clock_sight::cloud_behind : clock_sight::cloud_ahead, 1);
      // Sooner than a gateway with a spool of a few segments must get at room (refusal_max).
      env_.time.at(random.between(5 * second, 45 * second), [this] { set_cloud_right(); });
      return;
    }
    auto most = 1 + random.below((edges_.size() - 1) / 2);
    auto most_direct = (env_.settings.outer_edges + 1) / 2;
    for (std::size_t i = random.below(edges_.size()), tries = edges_.size(); tries > 0 && most > 0;
         i = (i + 1) % edges_.size(), --tries) {
      if (!behind_gateway(i)) {
        if (most_direct == 0)
          continue;
        --most_direct;
      }
      --most;
      auto& edge = *edges_[i];
      const auto off_by = set_wrong(edge, random);
      saw(off_by < 0 ? clock_sight::edge_behind : clock_sight::edge_ahead, 1);
      if (random.chance(70))
        env_.time.at(random.between(5 * second, 10 * minute), [this, &edge, off_by] {
          env_.trace("the clock of {} is set right", edge.name);
          edge.clock.wall_offset -= off_by;
        });
    }
  }
  std::int64_t set_wrong(node& which, seeded_random& random) {
    // Without a battery a board begins in 1970, or when it was built.
    const auto least = random.one_of(first_wrong_min, day, 30 * day);
    const auto by = random.between(least, 7 * least);
    const auto off_by = random.chance(20) ? first_wrong_min - world_begins_ns : random.chance(50) ? by : -by;
    which.clock.wall_offset += off_by;
    result_.schedule_lines.push_back(
        fmt::format("the clock of {} is wrong by {} s when it starts", which.name, off_by / second));
    return off_by;
  }
  void set_cloud_right() {
    if (cloud_off_by_ != 0)
      env_.trace("the clock of the cloud is set right");
    cloud_->clock.wall_offset -= std::exchange(cloud_off_by_, 0);
  }
  void saw(clock_sight what, std::uint64_t times) { result_.clocks[static_cast<std::size_t>(what)] += times; }

  void trace_link(edge_node& of) {
    if (env_.tracing)
      of.up_link.trace = [this](const std::string& line) { env_.trace("{}", line); };
  }

  edge_node& gateway() { return *edges_.back(); }
  node& node_at(std::size_t target) {
    return target == cloud_target ? static_cast<node&>(*cloud_) : *edges_[target];
  }
  bool behind_gateway(std::size_t target) const { return target < env_.settings.inner_edges; }

  std::string describe(std::size_t number, const fault& f) {
    return fmt::format("fault {}: {} at {}, from {:.1f} s on when its link is {}, for {:.1f} s", number,
                       to_string(f.kind), node_at(f.target).name, static_cast<double>(f.at) / second,
                       to_string(f.wanted), static_cast<double>(f.length) / second);
  }

  // The link whose state counts for a fault.
  edge_node& client_of(const fault& f) {
    if (f.kind == fault_kind::origin_revoked || f.kind == fault_kind::origin_moved)
      return gateway();
    if (f.target != cloud_target)
      return *edges_[f.target];
    const auto direct = edges_.size() - env_.settings.inner_edges;
    return *edges_[env_.settings.inner_edges + f.seed % direct];
  }

  void arm(const fault& f) {
    if (f.kind == fault_kind::edge_restored || f.kind == fault_kind::gateway_restored
        || f.kind == fault_kind::cloud_restored) {
      // The image is from some time before.
      const auto age = std::max<sim_time>(0, f.at - static_cast<sim_time>(f.seed % (4 * minute)));
      env_.time.at(age, [this, f] { node_at(f.target).take_image(); });
    }
    env_.time.at(f.at, [this, f] {
      if (healed_)
        return;
      waiting_.push_back(f);
      on_state_seen(client_of(f));
      if (client_of(f).state() != f.wanted)
        provoke(client_of(f), f.wanted);
    });
    env_.time.at(f.at + patience, [this, f] {
      const auto it =
          std::find_if(waiting_.begin(), waiting_.end(), [&](const fault& w) { return w.seed == f.seed; });
      if (it == waiting_.end() || healed_)
        return;
      waiting_.erase(it);
      strike(f);
    });
  }

  // Brings about a state that a link is seldom in. A passing disturbance, counted as no fault.
  void provoke(edge_node& client, protocol_state wanted) {
    auto& link = client.up_link;
    switch (wanted) {
    case protocol_state::live: break;
    case protocol_state::down:
    case protocol_state::greeting: link.lose_connection(false); break;
    case protocol_state::draining:
      link.condition.blocked_until[up] = link.condition.blocked_until[down] = env_.time.now() + minute;
      break;
    case protocol_state::waiting:
      if (client.protocol != link::protocol_version)
        break;
      client.protocol = link::protocol_version + 1; // its next Hello is refused
      link.lose_connection(false);
      env_.time.after(20 * second, [&client] { client.protocol = link::protocol_version; });
      break;
    }
  }

  void on_state_seen(edge_node& at) {
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      if (&client_of(*it) == &at && at.running() && at.state() == it->wanted
          && node_at(it->target).running()) {
        const auto f = *it;
        it = waiting_.erase(it);
        // Not within what the node is doing.
        env_.time.after(0, [this, f] {
          if (!healed_)
            strike(f);
        });
      } else {
        ++it;
      }
    }
  }

  // So that one has more epochs than a receiver remembers. Counted as no fault.
  void restart_often(node& which, seeded_random random) {
    env_.time.after(random.between(15 * second, 50 * second), [this, &which, random]() mutable {
      if (healed_)
        return;
      if (which.running()) {
        which.crash(crash_kind::killed);
        restart_after(which, random.between(100 * millisecond, 3 * second));
      }
      restart_often(which, random);
    });
  }

  void restart_after(node& which, sim_time delay) {
    env_.time.after(delay, [this, &which] {
      if (!healed_)
        which.start();
    });
  }

  void strike(const fault& f) {
    auto& target = node_at(f.target);
    auto& client = client_of(f);
    seeded_random random{f.seed};
    env_.trace("{} strikes {}, its link is {}", to_string(f.kind), target.name, to_string(client.state()));
    ++result_.struck[static_cast<std::size_t>(f.kind)][static_cast<std::size_t>(client.state())];
    auto& link = client.up_link;
    const auto until = env_.time.now() + f.length;
    const auto heal_after = [&](std::function<void()> how) {
      env_.time.at(until, [this, how = std::move(how)] {
        if (!healed_)
          how();
      });
    };
    const auto usual = usual_[std::min(f.target, edges_.size() - 1)];
    switch (f.kind) {
    case fault_kind::killed:
      target.crash(crash_kind::killed);
      restart_after(target, random.chance(50) ? random.between(millisecond, 3 * second) : f.length);
      break;
    case fault_kind::power_lost:
      target.crash(crash_kind::power);
      restart_after(target, f.length);
      break;
    case fault_kind::torn_write: crash_in_sync(target, f, env_.time.now() + 15 * second); break;
    case fault_kind::connection_lost: link.lose_connection(false); break;
    case fault_kind::arrives_late: link.lose_connection(true); break;
    case fault_kind::partition:
      link.condition.blocked_until[up] = link.condition.blocked_until[down] = until;
      if (random.chance(30)) // longer than TCP waits
        heal_after([&link] { link.lose_connection(true); });
      break;
    case fault_kind::cut_up: link.condition.blocked_until[up] = until; break;
    case fault_kind::cut_down: link.condition.blocked_until[down] = until; break;
    case fault_kind::slow_link:
      link.condition.bytes_per_second = random.between(60, 3000);
      link.condition.delay = random.between(300, 1500) * millisecond;
      heal_after([&link, usual] { link.condition = usual; });
      break;
    case fault_kind::lossy_link:
      link.condition.loss_percent = 30;
      link.condition.jitter = 300 * millisecond;
      heal_after([&link, usual] { link.condition = usual; });
      break;
    case fault_kind::slow_sync:
      target.health().sync_min = 300 * millisecond;
      target.health().sync_max = random.between(1, 8) * second;
      heal_after([&target] {
        target.health().sync_min = disk_health{}.sync_min;
        target.health().sync_max = disk_health{}.sync_max;
      });
      break;
    case fault_kind::full_disk:
      target.health().room = used_by(f.target);
      heal_after([&target] { target.health().room = disk_health::unlimited; });
      break;
    case fault_kind::disk_runs_low: {
      // What others write takes the room that was to stay free.
      const auto left = static_cast<std::uint64_t>(random.between(0, free_disk_min));
      target.health().room = used_by(f.target) + left;
      heal_after([&target] { target.health().room = disk_health::unlimited; });
      break;
    }
    case fault_kind::io_errors:
      target.health().failing = true;
      heal_after([&target] { target.health().failing = false; });
      break;
    case fault_kind::lying_sync:
      ++rollbacks_;
      target.health().lying = true;
      heal_after([this, &target, random]() mutable {
        target.crash(crash_kind::power);
        target.health().lying = false;
        restart_after(target, random.between(millisecond, 20 * second));
      });
      break;
    case fault_kind::bit_flips: flip_bits(client.disk, random); break;
    case fault_kind::clock_jump: {
      const auto size = random.one_of(2 * second, 90 * second, 8 * minute);
      const auto step = random.chance(50) ? size : -size;
      target.clock.wall_offset += step;
      if (random.chance(60)) // and is set right
        heal_after([&target, step] { target.clock.wall_offset -= step; });
      break;
    }
    case fault_kind::clock_skew:
      target.clock.set_skew(random.between(-20'000, 20'000));
      heal_after([&target] { target.clock.set_skew(0); });
      break;
    case fault_kind::key_revoked:
      if (behind_gateway(f.target)) {
        gateway().revoke(client.id);
        heal_after([this, &client] { gateway().readmit(client.id); });
      } else {
        cloud_->revoke(client.id);
        names_let_go_ = names_let_go_ || &client == &gateway();
        heal_after([this, &client] { cloud_->readmit(client.id); });
      }
      break;
    case fault_kind::version_skew:
      client.protocol = random.one_of(0, 2, 9);
      link.lose_connection(false);
      heal_after([&client] { client.protocol = link::protocol_version; });
      break;
    case fault_kind::edge_restored:
    case fault_kind::gateway_restored:
    case fault_kind::cloud_restored:
      target.crash(crash_kind::power);
      ++rollbacks_;
      note_restored(f);
      target.restore();
      restart_after(target, random.between(millisecond, f.length));
      break;
    case fault_kind::cloned: clone(f); break;
    case fault_kind::origin_revoked: {
      const auto origin = edges_[f.target]->id;
      cloud_->revoke(origin);
      heal_after([this, origin] { cloud_->readmit(origin); });
      break;
    }
    case fault_kind::origin_moved: {
      const auto origin = edges_[f.target]->id;
      cloud_->authority.joined.insert(origin);
      heal_after([this, origin] { cloud_->authority.joined.erase(origin); });
      break;
    }
    case fault_kind::forged_claim: {
      // An outer edge, or the gateway itself, as in a circle of gateways.
      const auto& victim = edges_[env_.settings.inner_edges + random.below(env_.settings.outer_edges + 1)];
      const stream_key key{victim->id, {0, random.next_128()}, stream_id::telemetry};
      env_.forged.insert(key);
      forge(*edges_[f.target], key, 1);
      break;
    }
    case fault_kind::scattered_claim: {
      auto& by = *edges_[f.target];
      const stream_key key{by.id, {0, random.next_128()}, stream_id::telemetry};
      env_.truth.begin_stream(key, by.index).records.resize(scattered_first); // they may be stored, or not
      forge(by, key, scattered_first);
      break;
    }
    case fault_kind::taken_over:
      cloud_->take_over();
      restart_after(target, random.between(100 * millisecond, 10 * second));
      break;
    case fault_kind::journal_away: cloud_->lose_journal(until); break;
    case fault_kind::address_gone:
      if (client.addresses > 1)
        link.lose_address();
      else
        link.condition.blocked_until[up] = link.condition.blocked_until[down] = until;
      break;
    case fault_kind::sealed_damage: damage_block(cloud_->disk.now.sealing, random); break;
    }
  }

  // Once its link allows it, a record with this sequence and, from there on down, with every other one.
  void forge(edge_node& by, const stream_key& key, sequence seq) {
    if (healed_)
      return;
    const bool done = by.forge(key, seq);
    if (done && seq <= 2)
      return;
    env_.time.after(done ? 50 * millisecond : second,
                    [this, &by, key, seq = done ? seq - 2 : seq] { forge(by, key, seq); });
  }

  std::uint64_t used_by(std::size_t target) const {
    return target == cloud_target ? 0 : edges_[target]->disk.now.bytes;
  }

  void crash_in_sync(node& target, const fault& f, sim_time deadline) {
    if (healed_)
      return;
    auto& health = target.health();
    if (target.running() && !target.syncing() && env_.time.now() < deadline) {
      health.sync_min = 200 * millisecond;
      health.sync_max = 600 * millisecond;
      env_.time.after(20 * millisecond, [this, &target, f, deadline] { crash_in_sync(target, f, deadline); });
      return;
    }
    health.sync_min = disk_health{}.sync_min;
    health.sync_max = disk_health{}.sync_max;
    target.crash(crash_kind::torn);
    restart_after(target, f.length / 4);
  }

  void clone(const fault& f) {
    ++rollbacks_;
    auto& original = *edges_[f.target];
    copied_in_life_ = original.lives();
    auto& upstream = behind_gateway(f.target) ? static_cast<link_server&>(gateway()) : *cloud_;
    for (const auto& [key, stream] : original.disk.now.streams)
      env_.truth.on_copied(key.edge);
    clones_.push_back(
        {f.target, original.clone(fmt::format("clone-{}-of-{}", clones_.size() + 1, original.name),
                                  static_cast<std::uint32_t>(edges_.size() + clones_.size() + 1), upstream)});
    auto& made = *clones_.back().second;
    made.up_link.condition = usual_[f.target];
    made.clock.wall_offset = original.clock.wall_offset; // or nobody could know how long its disk rested
    trace_link(made);
    if (behind_gateway(f.target))
      gateway().add_downstream(made);
    else
      cloud_->add_downstream(made);
    made.start();
  }

  // What somebody must notice: the cloud lacks what another has released; an edge goes back behind what its receiver
  // has of it.
  void note_restored(const fault& f) {
    if (f.kind == fault_kind::cloud_restored) {
      for (std::size_t i = env_.settings.inner_edges; i < edges_.size(); ++i)
        for (const auto& [key, stream] : edges_[i]->disk.now.streams) {
          const auto it = cloud_->image().streams.find(key);
          for (const auto& range : stream.released.ranges()) {
            range_set last;
            last.add({range.last, range.last});
            if ((it == cloud_->image().streams.end() || !it->second.has(range.last))
                && edges_[i]->disk.now.kept_of(key, last).empty())
              custody_expected_ = true;
          }
        }
    } else if (f.kind == fault_kind::edge_restored) {
      const auto& edge = *edges_[f.target];
      const auto behind = [&](const stream_key& key, sequence highest) {
        const auto it = edge.image().streams.find(key);
        if (key.edge == edge.id && highest != 0
            && (key.epoch.boot_counter > edge.image().epoch.boot_counter
                || (it != edge.image().streams.end() && it->second.last < highest)))
          restored_expected_ = true;
      };
      if (behind_gateway(f.target)) {
        for (const auto& [key, stream] : gateway().disk.now.streams)
          behind(key, std::max(stream.held.highest(), stream.released.highest()));
      } else {
        for (const auto& [key, stream] : cloud_->disk.now.streams)
          behind(key, stream.data.size());
      }
    }
  }

  void advance(sim_time until) {
    while (env_.truth.violation().empty() && env_.time.step(until)) {
    }
  }

  void heal() {
    healed_ = true;
    env_.trace("everything heals");
    waiting_.clear();
    for (std::size_t i = 0; i < edges_.size(); ++i) {
      auto& edge = *edges_[i];
      edge.up_link.condition = usual_[i];
      edge.up_link.queue_max = 1000;
      edge.protocol = link::protocol_version;
      edge.authority.revoked.clear();
      edge.stop_collecting();
    }
    cloud_->authority.revoked.clear();
    cloud_->lose_journal(0);
    for (std::size_t i = 0; i < env_.settings.inner_edges; ++i)
      cloud_->authority.joined.erase(edges_[i]->id);
    const auto repair = [](node& which) {
      if (which.health().lying)
        which.crash(crash_kind::power); // what it lied about is gone before it becomes honest
      which.health() = disk_health{};
      which.clock.set_skew(0);
      which.start();
    };
    for (auto& [of, clone] : clones_) {
      // The original goes on in the epoch that its copy has closed.
      clone_expected_ = clone->sessions != 0 && edges_[of]->running()
                        && edges_[of]->lives() == copied_in_life_ && edges_[of]->quota.bytes == 0;
      clone->stop_collecting();
      clone->crash(crash_kind::killed);
    }
    set_cloud_right(); // or it would go on taking nothing
    repair(*cloud_);
    for (auto& edge : edges_) {
      repair(*edge);
      if (std::exchange(edge->quota.bytes, 0) != 0) { // the month is long
        edge->stop_in_order();
        edge->start();
      }
    }
    resets_links_ = env_.random.fork(5).chance(70);
    if (resets_links_)
      for (auto& edge : edges_)
        edge->up_link.lose_connection(false);
  }

  bool drain_until(const std::function<bool()>& done) {
    const auto until = env_.time.now() + drain_max;
    while (env_.truth.violation().empty() && env_.time.now() < until) {
      advance(env_.time.now() + second);
      if (done())
        return true;
    }
    return false;
  }

  void drain() {
    const auto all = [this] {
      return std::all_of(edges_.begin(), edges_.end(), [](const auto& edge) { return edge->drained(); });
    };
    advance(env_.time.now() + 5 * second); // what was collected last is committed
    if (!drain_until(all) && env_.truth.violation().empty()) {
      for (const auto& edge : edges_)
        if (!edge->drained())
          env_.truth.violated("{} has not drained {} minutes after everything healed: {}", edge->name,
                              drain_max / minute, pending_of(*edge));
      return;
    }
    // Each edge hears that the cloud it spoke to is no more, and speaks, before its copy takes its place.
    const auto heard = settle_time + (resets_links_ ? 0 : notice_time);
    if (!clones_.empty())
      advance(env_.time.now() + heard);
    for (auto& [of, clone] : clones_) {
      // Alone, the copy is let in and delivers what it kept.
      edges_[of]->crash(crash_kind::killed);
      clone->start();
      auto& waiting = *clone;
      advance(env_.time.now() + 5 * second);
      if (!drain_until([&] { return waiting.drained() && gateway().drained(); })
          && env_.truth.violation().empty()) {
        env_.truth.violated("{} has not drained {} minutes after everything healed: {}; {}", clone->name,
                            drain_max / minute, pending_of(*clone), pending_of(gateway()));
        return;
      }
      clone->crash(crash_kind::killed);
    }
    advance(env_.time.now() + heard);
  }

  static std::string pending_of(const edge_node& edge) {
    std::string out = edge.sender() == nullptr
                          ? "it is not running"
                          : fmt::format("its link is {}, {}, {} pending", to_string(edge.state()),
                                        edge.sender()->refusal(), edge.sender()->pending_records());
    for (const auto& [key, stream] : edge.disk.now.streams) {
      if (!stream.held.empty())
        out += fmt::format("; holds {}-{} of {}", stream.held.ranges().front().first, stream.held.highest(),
                           to_string(key));
      if (!stream.lost.empty())
        out += fmt::format("; lost {} of {}", stream.lost.ranges().front().first, to_string(key));
    }
    return out;
  }

  // All has drained; what waited for room in a spool may have been committed since.
  bool is_pending(const stream_key& key, sequence seq) const {
    return std::any_of(edges_.begin(), edges_.end(), [&](const auto& edge) {
      const auto it = edge->disk.now.streams.find(key);
      return it != edge->disk.now.streams.end() && it->second.held.contains(seq);
    });
  }

  // What limits took, or the cloud refused as ahead, is in the ledger with its time and cause, and its host is not called
  // complete then.
  void check_told(const stream_key& key, const engine_image::stream& stored, sequence seq,
                  const record_truth& record) {
    // One that stands for more, and is here already, may be followed by one of a part of it: of a batch that some shards
    // stored and others did not.
    auto entry = std::prev(stored.tombstones.upper_bound(seq));
    while (entry->second.last < seq && entry != stored.tombstones.begin())
      --entry;
    const auto& stone = entry->second;
    const bool by_limits = stone.cause == loss_cause::spool_bytes || stone.cause == loss_cause::spool_age
                           || stone.cause == loss_cause::spool_disk || stone.cause == loss_cause::thinned;
    if (stone.cause == loss_cause::custody && env_.truth.rolled_back())
      return; // its copy had the tombstone, and not yet the note that it is held
    const bool as_ahead = record.ahead && stone.cause == loss_cause::clock_ahead;
    // Of times to come no entry tells: there what an edge says is cut.
    const bool cut = by_limits && record.time_ns > world_begins_ns + env_.time.now();
    const bool then = record.time_ns >= stone.from_ns && record.time_ns <= stone.to_ns;
    if (stone.last < seq || !(as_ahead || (record.forced_out && by_limits)) || (!then && !cut))
      env_.truth.violated(
          "{} of {} was forced out of a spool or was ahead, and the ledger says {} to {} ({})", seq,
          to_string(key), entry->first, stone.last, to_string(stone.cause));
    // What an edge says is missing concerns hosts of which it has brought something.
    if (record.host == 0 || !brought_.contains({record.host, key.edge}))
      return;
    const auto* range = coverage_->at(record.host, record.time_ns);
    if (range != nullptr && range->what == cloud::coverage::complete)
      env_.truth.violated(
          "{} of {} was forced out of a spool or was ahead, and its host is called complete then", seq,
          to_string(key));
  }

  // What of sealed data is damaged was found, and is written down: also where the cloud has just started.
  void restart_scrubbed() {
    const auto& parts = cloud_->disk.now.sealing.partitions;
    if (std::none_of(parts.begin(), parts.end(), [](const auto& part) { return part.second.damaged; })
        || !env_.truth.violation().empty())
      return;
    const auto before = cloud_->scrubbed();
    if (!drain_until([&] { return cloud_->scrubbed() > before + 1; }))
      env_.truth.violated(
          "the cloud does not read through all that is sealed, or cannot write down what it found");
    cloud_->crash(crash_kind::killed);
    cloud_->start();
  }
  void check_end() {
    auto& truth = env_.truth;
    coverage_.emplace(truth, *cloud_);
    coverage_->check();
    for (const auto& host : cloud_->hosts())
      for (const auto& one : host.statements)
        brought_.emplace(truth.host_index(host.host), one.edge);
    for (const auto& [key, stream] : truth.streams()) {
      const auto it = cloud_->disk.now.streams.find(key);
      const bool has_forgotten = cloud_->disk.now.has_forgotten(key);
      for (sequence seq = 1; seq <= stream.records.size(); ++seq) {
        const auto& record = stream.records[seq - 1];
        if (!record.returned)
          continue;
        const bool data = it != cloud_->disk.now.streams.end() && it->second.has_data(seq);
        const bool stone = it != cloud_->disk.now.streams.end() && it->second.stones.contains(seq);
        // Beside the record itself it does no harm: data beats a tombstone. A receiver that was restored writes one where
        // its copy has the record and not yet the note that it is held; and any receiver where a copy of an edge's disk
        // tells of an epoch that was forgotten.
        const bool harmless = data && (truth.rolled_back() || (truth.copied(key.edge) && has_forgotten));
        if (stone && !record.damaged && !record.beyond_knowing && !record.forced_out && !record.ahead
            && !harmless)
          truth.violated("a tombstone stands for {} of {}, of which no copy was ever lost", seq,
                         to_string(key));
        // Of a job that failed in part a shard may have it; then the session ended, and the limits were free to act.
        if (stone && data && record.never_sent && !truth.rolled_back() && clones_.empty())
          truth.violated("{} of {} is stored, and a tombstone as well that took its place before it was sent",
                         seq, to_string(key));
        // Of an epoch that was forgotten a copy may tell again what it dropped, in other parts.
        if (stone && !data && (record.forced_out || record.ahead) && !record.damaged && !record.beyond_knowing
            && !(truth.copied(key.edge) && has_forgotten))
          check_told(key, it->second, seq, record);
        if (!data && !stone && !record.beyond_knowing && !is_pending(key, seq))
          truth.violated("{} of {} was committed and is neither stored, nor pending, nor named as lost", seq,
                         to_string(key));
      }
      if (it != cloud_->disk.now.streams.end() && it->second.stones.highest() > stream.records.size())
        truth.violated("a tombstone stands for {} of {}, which was never given", it->second.stones.highest(),
                       to_string(key));
    }
    for (const auto& key : env_.forged)
      if (cloud_->disk.now.streams.contains(key))
        truth.violated("the cloud has stored {}, for which who brought it may not speak", to_string(key));
    // What was never lost is not called lost, even where the record itself comes to its help: but for epochs that were
    // forgotten when the key of the gateway that named them was revoked, and which it names when it is let in again.
    const bool forgot = names_let_go_ && env_.settings.epochs_max < world_settings{}.epochs_max;
    if (!truth.anything_copied() && rollbacks_ == 0 && !forgot && cloud_->custody_lost_counted != 0)
      truth.violated("the cloud named {} records as lost with their custody, and no disk went back",
                     cloud_->custody_lost_counted);
    const auto noticed = cloud_->restored_counted + cloud_->duplicates_counted + gateway().restored_counted
                         + gateway().duplicates_counted;
    // Nobody is told of a second node, or of an older disk, where there is none.
    if (!truth.anything_copied() && rollbacks_ == 0 && noticed != 0)
      truth.violated("a node was called a copy {} times, and there was none", noticed);
    // What somebody must have noticed, where no other copy made it forget.
    if (rollbacks_ != 1)
      return;
    if (custody_expected_ && cloud_->custody_lost_counted == 0)
      truth.violated("the cloud was restored from an older copy, and nobody noticed");
    if (restored_expected_ && cloud_->restored_counted + gateway().restored_counted == 0)
      truth.violated("an edge came back from an older copy of its disk, and nobody noticed");
    if (clone_expected_ && noticed == 0)
      truth.violated("a node was let in with a copy of another's disk, and nobody noticed");
  }

  const world_options& options_;
  planted_fault planted_;
  environment env_;
  std::unique_ptr<cloud_node> cloud_;
  std::vector<std::unique_ptr<edge_node>> edges_; // those behind the gateway, those beside it, the gateway
  std::vector<std::pair<std::size_t, std::unique_ptr<edge_node>>> clones_;
  std::vector<link_condition> usual_;
  std::vector<fault> waiting_;    // for a state of a link
  std::int64_t cloud_off_by_ = 0; // its clock, since its first start
  bool healed_ = false;
  bool resets_links_ = false;
  bool custody_expected_ = false;
  bool restored_expected_ = false;
  bool names_let_go_ = false; // the cloud revoked the gateway's key
  bool clone_expected_ = false;
  std::uint64_t copied_in_life_ = 0;
  std::optional<coverage_check> coverage_;              // at the end
  std::set<std::pair<std::uint32_t, edge_id>> brought_; // then: of which host what edge has brought something
  int rollbacks_ = 0; // disks that went back to an older state, or were copied
  world_result result_;
};

} // namespace

std::string_view to_string(clock_sight sight) noexcept {
  switch (sight) {
  case clock_sight::cloud_behind: return "cloud behind";
  case clock_sight::cloud_ahead: return "cloud ahead";
  case clock_sight::edge_behind: return "edge behind";
  case clock_sight::edge_ahead: return "edge ahead";
  case clock_sight::doubted: return "doubted, not taken";
  case clock_sight::refused: return "ahead, refused";
  }
  return "unknown";
}

world_result run_world(const world_options& options) { return world{options}.run(); }

} // namespace skerry::sim
