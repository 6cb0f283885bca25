#include "simulator/world/edge_node.hpp"

#include "edge/collect/pause_watch.hpp"
#include "edge/gateway/opening_records.hpp"
#include "schemas/model/frame.hpp"

#include <algorithm>
#include <map>

namespace skerry::sim {

namespace {

constexpr sim_time commit_interval = 100 * millisecond;
constexpr sim_time uplink_tick = std::chrono::nanoseconds{edge::uplink_core::tick_interval}.count();
constexpr sim_time burst_ns = 1100 * millisecond; // that a bandwidth allows at once, with what rounding adds
constexpr const char* address_names[] = {"first", "second"};
constexpr sim_time repair_interval = 10 * second;
constexpr sim_time retry_interval = second;
constexpr std::uint64_t droppable_bytes_min = 1000; // with less, tombstones fill a spool this small
constexpr sim_time refusal_max = 60 * second;       // that limits may take to get at what is too much
constexpr std::uint64_t alert_queue_bytes_max = 2 << 10;
constexpr std::uint64_t collection_bytes_max =
    4096; // one may be beyond the queue's bound, and what tells of losses

} // namespace

std::string_view to_string(protocol_state state) noexcept {
  switch (state) {
  case protocol_state::down: return "down";
  case protocol_state::greeting: return "greeting";
  case protocol_state::live: return "live";
  case protocol_state::draining: return "draining";
  case protocol_state::waiting: return "waiting";
  }
  return "unknown";
}

std::string_view to_string(limit_act act) noexcept {
  switch (act) {
  case limit_act::dropped_for_bytes: return "dropped for bytes";
  case limit_act::dropped_for_age: return "dropped for age";
  case limit_act::dropped_for_disk: return "dropped for disk";
  case limit_act::thinned: return "thinned out";
  case limit_act::took_nothing: return "newest not taken";
  case limit_act::merged: return "tombstones merged";
  }
  return "unknown";
}

std::string_view to_string(uplink_act act) noexcept {
  switch (act) {
  case uplink_act::no_backlog: return "no backlog";
  case uplink_act::thinned: return "thinned";
  case uplink_act::alerts_only: return "alerts only";
  case uplink_act::exhausted: return "quota exhausted";
  case uplink_act::paced: return "bandwidth used up";
  case uplink_act::failed_over: return "failed over";
  }
  return "unknown";
}

namespace {

limit_act act_of(loss_cause cause) {
  switch (cause) {
  case loss_cause::spool_age: return limit_act::dropped_for_age;
  case loss_cause::spool_disk: return limit_act::dropped_for_disk;
  case loss_cause::thinned: return limit_act::thinned;
  default: return limit_act::dropped_for_bytes;
  }
}

} // namespace

// Everything that ends with the process. The mailboxes stand for its actors.
struct edge_node::process final : edge::uplink_connections {
  process(edge_node& node, seeded_random seed)
      : of(node),
        random(seed),
        writer(node.env_.time, random,
               [this] { return random.between(of.disk.health.sync_min, of.disk.health.sync_max); }),
        uplink(node.env_.time, random),
        downlink(node.env_.time, random),
        store(std::make_shared<memory_spool>(node.disk, node.id, node.index, node.clock, random.fork(7),
                                             node.env_.truth, node.env_.planted, node.sizes)),
        source(store,
               [this](const stream_key& key, const range_set& ranges) {
                 writer.post([this, key, ranges] { gateway->release(key, ranges); });
               }),
        usage(node.disk),
        used_before(bytes_of(node.disk.now.usage.usage)),
        link_taken(node.up_link.bytes()),
        core(uplink_config(), node.clock, random, source, *this, &usage),
        pace(static_cast<double>(node.bandwidth_bytes), burst_ns),
        pace_backlog(static_cast<double>(node.bandwidth_bytes) * delivery::sender_config{}.backlog_share,
                     burst_ns),
        pauses(node.env_.planted) {
    edge::gateway_core::outputs outputs;
    outputs.hand_over = [this](delivery::committed_runs runs) {
      uplink.post([this, runs = std::move(runs)] { on_committed(runs); });
    };
    const auto& settings = of.env_.settings;
    edge::gateway_core_config config;
    config.commit_interval = std::chrono::milliseconds{commit_interval / millisecond};
    config.group_bytes_max = settings.group_bytes_max;
    config.queue_bytes_max = settings.queue_bytes_max;
    config.alert_queue_bytes_max = alert_queue_bytes_max;
    config.planted = of.env_.planted;
    config.limits = of.limits;
    config.limits.planted = of.env_.planted;
    config.under_way = under_way;
    config.free_disk = [this] { return store->free_disk(); };
    store->on_forced_out = [this](const stream_key& key, sequence_range range, const tombstone& stone,
                                  std::uint64_t records, std::uint64_t stones) {
      of.limits_acted[static_cast<std::size_t>(limit_act::merged)] += stones;
      on_forced_out(key, range, stone, records);
    };
    gateway.emplace(config, store, of.clock, std::move(outputs));
    gateway->open();
    writer.post_sync([this] { commit(); });
    repair();
    uplink.every(static_cast<sim_time>(random.below(uplink_tick)), uplink_tick, [this] { tick(); });
    if (of.is_gateway)
      receive();
  }

  edge::uplink_core_config uplink_config() {
    const auto& settings = of.env_.settings;
    edge::uplink_core_config out;
    out.backlog_apart_from = std::chrono::nanoseconds{0}; // there is one connection
    out.quota = of.quota;
    out.failover_after = std::chrono::nanoseconds{of.failover_after};
    out.addresses.assign(address_names, address_names + of.addresses);
    auto& config = out.sender;
    config.bandwidth_bytes = of.bandwidth_bytes;
    config.edge = of.id;
    config.current = store->epoch();
    config.instance = random.next_128();
    config.batch_bytes_max = settings.batch_bytes_max;
    config.fresh_records = settings.fresh_records;
    config.further_out = epochs;
    config.under_way = under_way;
    config.durable_ranges_max = settings.durable_ranges_max;
    config.planted = of.env_.planted;
    return out;
  }

  [[nodiscard]] const delivery::sender& sender() const noexcept { return core.sender(); }

  void tick() {
    if (sender().phase() == delivery::sender_phase::live || last_live == 0)
      last_live = of.env_.time.now();
    core.on_tick();
    const auto acted = [this](uplink_act what) { ++of.uplink_acted[static_cast<std::size_t>(what)]; };
    if (const auto level = core.meter().level(); level != delivery::quota_level::open)
      acted(uplink_act{static_cast<std::uint8_t>(static_cast<int>(level) - 1)});
    if (!pace.open(of.clock.monotonic_ns()))
      acted(uplink_act::paced);
    of.after_sender();
  }

  void receive() {
    const auto& settings = of.env_.settings;
    delivery::receiver_config config;
    config.incarnation = store->epoch().random;
    config.credit_bytes = settings.credit_bytes;
    config.memory_max = settings.memory_max;
    config.credit_min = settings.credit_min;
    config.ranges_max = settings.ranges_max;
    config.epochs_max = settings.epochs_max;
    config.parked_batches_max = settings.parked_batches_max;
    config.name = of.name;
    config.self = of.id;
    config.planted = of.env_.planted;
    edge::downlink_core::outputs outputs;
    outputs.store = [this](delivery::delivery_job job) {
      check_written_off(of.env_.truth, of.name, of.downstream_, job.from.header.key, job.records);
      writer.post_sync([this, job = std::make_shared<const delivery::delivery_job>(std::move(job))] {
        const delivery::delivery_job* one = job.get();
        auto failed = std::move(gateway->adopt(std::span{&one, 1}).front());
        downlink.post([this, ticket = job->ticket, failed = std::move(failed)] {
          receiver->receiver().on_stored(ticket, failed);
        });
      });
    };
    outputs.held = [this](std::uint64_t ticket) {
      downlink.post([this, ticket] {
        receiver->receiver().on_held_durable(ticket, {});
        of.check_receiver(receiver->receiver());
      });
    };
    outputs.epochs = epochs;
    outputs.send = [this](const link::peer_id& to, link::message message) { answer(to, std::move(message)); };
    receiver.emplace(config, store, of.authority, of.clock, random, std::move(outputs));
  }

  // What this hop says it has, it has: held on its disk, or passed on.
  void answer(const link::peer_id& to, link::message message) {
    const auto check = [&](const std::vector<link::stream_held>& claimed) {
      for (const auto& [key, ranges] : claimed) {
        const auto it = of.disk.now.streams.find(key);
        auto missing = ranges;
        if (it != of.disk.now.streams.end()) {
          missing.remove(it->second.held);
          missing.remove(it->second.released);
          missing.remove(it->second.lost); // it was here, and its disk has damaged it since
        }
        if (const auto forgotten = of.disk.passed_on.find(key); forgotten != of.disk.passed_on.end())
          missing.remove(forgotten->second);
        if (!missing.empty())
          of.env_.truth.violated("{} acknowledged {} of {} before it was on its disk", of.name,
                                 missing.ranges().front().first, to_string(key));
      }
    };
    if (const auto* ack = std::get_if<link::ack>(&message.body))
      check(ack->ranges);
    else if (const auto* welcome = std::get_if<link::welcome>(&message.body))
      check(welcome->durable);
    for (auto* from : of.downstream_)
      if (from->up_link.server_send(to, message))
        return;
  }

  void commit() {
    auto& truth = of.env_.truth;
    for (auto& waiting : std::exchange(inbox, {})) {
      for (const auto& record : waiting.records)
        if (!record.host.empty() && record.kind == record_kind::frame)
          taken.emplace_back(record.host, record.time_ns);
      gateway->take(std::move(waiting));
    }
    const auto bound = of.env_.settings.queue_bytes_max + collection_bytes_max + alert_queue_bytes_max;
    if (gateway->queue_bytes() > bound)
      truth.violated("the queue of {} holds {} bytes", of.name, gateway->queue_bytes());
    const auto refused = gateway->counters().commit_failures;
    const bool all = gateway->commit();
    if (of.limits.policy == edge::full_policy::drop_newest)
      of.limits_acted[static_cast<std::size_t>(limit_act::took_nothing)] +=
          gateway->counters().commit_failures - refused;
    check_spool();
    if (!all) {
      check_room();
      arm(retry_interval);
      return;
    }
    refused_since = 0;
    // What was collected is numbered by now, or the queue had no room for it and a record says so.
    for (const auto& [host, time_ns] : std::exchange(taken, {}))
      if (!truth.is_told({of.id, store->epoch(), stream_id::telemetry}, host, time_ns))
        truth.violated(
            "{} dropped what it collected of {} at {} before it was numbered, and no record says so", of.name,
            host, time_ns - world_begins_ns);
  }
  // Unless told to drop the newest, a node goes on taking what comes as long as there is older data that can go.
  void check_room() {
    const auto now = of.env_.time.now();
    const bool could = of.limits.policy != edge::full_policy::drop_newest && !of.disk.health.failing
                       && of.disk.health.room == disk_health::unlimited
                       && droppable(INT64_MAX, true) > droppable_bytes_min;
    if (!could)
      refused_since = 0;
    else if (refused_since == 0)
      refused_since = now;
    else if (now - refused_since > refusal_max)
      of.env_.truth.violated("{} takes nothing, and has older records that could go", of.name);
  }
  // Bytes of data that nobody has under way, in parts that are older than `time_ns`. What is durable goes for room alone.
  std::uint64_t droppable(std::int64_t time_ns, bool for_room) {
    std::uint64_t bytes = 0;
    std::uint64_t after = 0;
    while (const auto part = store->oldest(after)) {
      after = part->number;
      if (part->newest_ns >= time_ns)
        continue;
      for (const auto& [key, held] : part->held) {
        const auto free = under_way->block(key, held, for_room);
        for (const auto& [seq, record] : of.disk.now.streams[key].records)
          if (record.segment == part->number && free.contains(seq) && !record.flipped) {
            const auto kind = decode_record(record.bytes.view).value().kind;
            if (kind == record_kind::frame || kind == record_kind::event)
              bytes += record.bytes.view.size();
          }
      }
    }
    under_way->unblock_all();
    return bytes;
  }
  void check_age() {
    const auto age_max = of.limits.age_max.count();
    if (age_max == 0 || of.disk.health.failing || of.disk.health.room != disk_health::unlimited
        || droppable(of.clock.wall_ns() - age_max, false) < droppable_bytes_min) {
      too_old_since = 0;
      return;
    }
    if (too_old_since == 0)
      too_old_since = of.env_.time.now();
    else if (of.env_.time.now() - too_old_since > refusal_max)
      of.env_.truth.violated("{} keeps records for longer than it may", of.name);
  }
  void check_spool() {
    const auto most = of.sizes.bytes_max + of.sizes.reserve_bytes;
    if (of.disk.now.bytes > most)
      of.env_.truth.violated("the spool of {} takes {} bytes, of at most {}", of.name, of.disk.now.bytes,
                             most);
  }
  void on_forced_out(const stream_key& key, sequence_range range, const tombstone& stone,
                     std::uint64_t records) {
    of.env_.trace("{} forces {}-{} of {} out of its spool ({})", of.name, range.first, range.last,
                  to_string(key), to_string(stone.cause));
    of.limits_acted[static_cast<std::size_t>(act_of(stone.cause))] += records;
    for (const auto& flight : flights)
      if (flight.key == key && !flight.waiting.common_with(range).empty())
        of.env_.truth.violated("{} forced {} to {} of {} out of its spool while {} was in flight", of.name,
                               range.first, range.last, to_string(key),
                               flight.waiting.common_with(range).ranges().front().first);
  }
  void arm(sim_time delay) {
    if (!std::exchange(commit_due, true))
      writer.post_after(
          delay,
          [this] {
            commit_due = false;
            commit();
          },
          true);
  }
  void repair() {
    gateway->replace_lost();
    gateway->enforce_limits();
    check_age();
    check_spool();
    writer.post_after(repair_interval, [this] { repair(); });
  }

  struct disk_usage final : edge::usage_keeper {
    explicit disk_usage(spool_disk& disk) : disk(disk) {}
    result<edge::kept_usage> load() override { return disk.now.usage; }
    result<void> store(const edge::kept_usage& from) override {
      if (disk.health.failing || disk.health.room <= disk.now.bytes)
        return fail(errc::io, "the disk takes nothing");
      disk.now.usage = from;
      return ok();
    }
    spool_disk& disk;
  };
  static std::uint64_t bytes_of(const delivery::link_usage& usage) {
    std::uint64_t bytes = 0;
    for (const auto& [day, of_day] : usage.days)
      bytes += of_day;
    return bytes;
  }

  // edge::uplink_connections
  result<void> start(const std::string& address) override {
    // The core looks once a tick, by a clock that may run slow by a fiftieth.
    if (std::exchange(dialled, true)) {
      ++of.uplink_acted[static_cast<std::size_t>(uplink_act::failed_over)];
      const auto without = of.env_.time.now() - last_live;
      if (without < of.failover_after - of.failover_after / 40 - uplink_tick)
        of.env_.truth.violated("{} gave an address of its receiver up {} ms after a session", of.name,
                               without / millisecond);
    }
    of.env_.trace("{} tries the {} address of its receiver", of.name, address);
    of.connect(address == address_names[0] ? 0 : 1);
    return ok();
  }
  void stop() override { of.up_link.stop(); }
  bool started() const noexcept override { return of.up_link.started(); }
  void open_apart(const std::string&) override {} // it is never asked for
  void close_apart() override {}
  bool has_apart() const noexcept override { return false; }
  std::uint64_t take_ip_bytes() override {
    const auto now = of.up_link.bytes();
    const auto bytes = now - std::exchange(link_taken, now);
    used += bytes;
    return bytes;
  }
  std::uint64_t bytes_sent() const noexcept override { return 0; }
  std::uint64_t bytes_received() const noexcept override { return 0; }

  bool send(link::message message) override {
    session = message.session;
    if (const auto* hello = std::get_if<link::hello>(&message.body)) {
      flights.clear();
      acked.clear();
      newest_are_fresh(*hello);
      auto& own = std::get<link::hello>(message.body);
      own.protocol = own.protocol_min = of.protocol;
    }
    std::optional<flight> next;
    if (const auto* batch = std::get_if<link::batch>(&message.body)) {
      check_order(*batch);
      check_quota(*batch);
      check_pace(*batch);
      next = check_flight(*batch);
    }
    if (!of.up_link.client_send(std::move(message)))
      return false;
    if (next) {
      if (next->lane != link::lane::alert) // those go whatever is left
        pace.spend(next->bytes);
      if (next->lane == link::lane::backlog)
        pace_backlog.spend(next->bytes);
      of.env_.truth.on_sent(next->key, next->waiting.ranges().front(), of.index);
      flights.push_back(std::move(*next));
    }
    return true;
  }
  void reconnect() override { of.up_link.client_reconnect(); }

  // What was sent in this session and is not acknowledged.
  struct flight {
    stream_key key;
    range_set waiting;
    std::uint64_t bytes = 0;
    link::lane lane = link::lane::live;
    std::int64_t at_ns = 0;
  };

  // What crossed the link by the last tick, in earlier processes too as far as the disk knows, leaves room for it.
  void check_quota(const link::batch& batch) {
    if (of.quota.bytes == 0)
      return;
    const auto known = bytes_of(core.meter().usage());
    if (known < used_before + used)
      of.env_.truth.violated("{} knows of {} bytes that have crossed its link, of {}", of.name, known,
                             used_before + used);
    // A new month begins where a clock that was behind is set right, and the receiver says the same.
    if (core.meter().month_bytes() != known)
      return;
    const auto part = static_cast<double>(used_before + used) / static_cast<double>(of.quota.bytes);
    const bool may =
        batch.lane == link::lane::alert ? part < 1
        : batch.lane == link::lane::live
            ? part < 1 - of.quota.reserve
            // What was refused is tried again, a record at a time.
            : part < of.quota.live_until && (part < of.quota.backlog_until || !sender().set_aside().empty());
    if (!may)
      of.env_.truth.violated("{} sent in lane {} when {} of {} bytes had crossed its link", of.name,
                             static_cast<int>(batch.lane), used_before + used, of.quota.bytes);
  }
  // One batch may go beyond what is left; those after it wait.
  void check_pace(const link::batch& batch) {
    if (of.bandwidth_bytes == 0 || batch.lane == link::lane::alert)
      return;
    const auto now = of.clock.monotonic_ns();
    if (!pace.open(now) || (batch.lane == link::lane::backlog && !pace_backlog.open(now)))
      of.env_.truth.violated("{} sent more than {} bytes a second", of.name, of.bandwidth_bytes);
  }

  // Bytes under way are bounded, those of the backlog by what the link delivers in a moment; and what goes is what the
  // disk has.
  flight check_flight(const link::batch& batch) {
    auto& truth = of.env_.truth;
    const auto& header = batch.run.header;
    const sequence_range range{header.first, header.last()};
    const auto now = of.clock.monotonic_ns();
    const auto bytes = batch.run.bytes.view.size();
    std::uint64_t all = 0, backlog = 0;
    for (const auto& one : flights)
      if (now - one.at_ns <= delivery::sender_config{}.dead_after.count()) {
        all += one.bytes;
        backlog += one.lane == link::lane::backlog ? one.bytes : 0;
      }
    if (all != 0 && all + bytes > credit)
      truth.violated("{} has {} bytes in flight, the credit is {}", of.name, all + bytes, credit);
    const auto window = std::min(sender().estimate().window_bytes(), credit - credit / 4);
    if (batch.lane == link::lane::backlog && backlog != 0 && backlog + bytes > window)
      truth.violated("{} has {} bytes of the backlog in flight, of at most {}", of.name, backlog + bytes,
                     window);
    const auto records = decode_records(batch.run).value();
    // Of an epoch that this receiver has forgotten, a copy may bring a record in whose place there is a tombstone: it goes
    // as it came, and beats that.
    const bool again = truth.copied(header.key.edge) && header.key.edge != of.id
                       && of.env_.settings.epochs_max < world_settings{}.epochs_max;
    if (const auto* held = find_stream(header.key); held != nullptr && !again)
      for (const auto& record : records)
        if (const auto it = held->records.find(record.seq);
            record.kind != record_kind::tombstone && it != held->records.end()
            && decode_record(it->second.bytes.view).value().kind == record_kind::tombstone)
          truth.violated("{} sent {} of {}, and has put a tombstone in its place", of.name, record.seq,
                         to_string(header.key));
    flight next{header.key, {}, bytes, batch.lane, now};
    next.waiting.add(range);
    // What goes again may take along a neighbour that was acknowledged meanwhile and is not yet released.
    if (const auto it = acked.find(header.key); it != acked.end())
      for (const auto& done : it->second.ranges())
        next.waiting.remove(done);
    return next;
  }
  // Not taken, and said so: it is no longer under way.
  void on_refusal(const link::refusal& refusal) {
    if (refusal.batch.first == 0)
      return;
    for (auto& one : flights)
      if (one.key == refusal.key)
        one.waiting.remove(refusal.batch);
    std::erase_if(flights, [](const flight& one) { return one.waiting.empty(); });
  }
  void on_welcome(const link::welcome& welcome) {
    credit = welcome.credit_bytes;
    // Forced out of the spool, it may go once more under a tombstone with others: nothing waits for it.
    for (const auto& [key, ranges] : welcome.durable)
      for (const auto& range : ranges.ranges())
        acked[key].add(range);
  }
  void on_ack(const link::ack& ack) {
    // A batch that went ahead may have had what was told to be committed only afterwards.
    for (const auto& [key, ranges] : ack.ranges)
      if (const auto it = fresh.find(key); it != fresh.end())
        it->second.remove(ranges);
    for (const auto& [key, ranges] : ack.ranges)
      for (const auto& range : ranges.ranges())
        acked[key].add(range);
    for (auto& one : flights)
      for (const auto& [key, ranges] : ack.ranges)
        if (key == one.key)
          one.waiting.remove(ranges);
    std::erase_if(flights, [](const flight& one) { return one.waiting.empty(); });
  }
  void after_sender() {
    if (sender().phase() == delivery::sender_phase::live)
      return;
    flights.clear();
    if (under_way->claimed_ranges() != 0)
      of.env_.truth.violated("{} has claimed records, and no session", of.name);
  }

  void on_committed(const delivery::committed_runs& committed) {
    for (const auto& run : committed.runs) {
      const sequence_range range{run.header.first, run.header.last()};
      if (sender().phase() == delivery::sender_phase::greeting)
        ever_fresh[run.header.key].add(range); // among the newest when Welcome comes
      if (committed.lane != link::lane::backlog) {
        ever_fresh[run.header.key].add(range);
        if (sender().phase() == delivery::sender_phase::live)
          fresh[run.header.key].add(range);
      }
      core.on_committed({{run}, committed.lane, committed.replaced});
    }
    of.after_sender();
  }

  // Of each edge's newest epoch, as a Hello names it, the newest records count as fresh.
  void newest_are_fresh(const link::hello& hello) {
    fresh.clear();
    ever_fresh.clear();
    std::map<edge_id, const link::hello_stream*> newest;
    for (const auto& stream : hello.streams)
      if (stream.key.stream == stream_id::telemetry
          && (stream.key.edge != of.id || stream.key.epoch == hello.current))
        newest[stream.key.edge] = &stream; // they come in order
    for (const auto& [edge, stream] : newest) {
      const auto last = stream->last;
      const auto count = of.env_.settings.fresh_records;
      if (last != 0)
        ever_fresh[stream->key].add({last > count ? last - count + 1 : 1, last});
    }
  }

  // What was committed while the session was live goes before the backlog. Alerts go before all.
  void check_order(const link::batch& batch) {
    const auto& header = batch.run.header;
    const sequence_range range{header.first, header.last()};
    const auto known = ever_fresh.find(header.key);
    const bool is_fresh = header.key.stream == stream_id::alert
                          || (known != ever_fresh.end() && !known->second.common_with(range).empty());
    if (is_fresh) {
      if (const auto it = fresh.find(header.key); it != fresh.end()) {
        it->second.remove(range);
        if (it->second.empty())
          fresh.erase(it);
      }
      return;
    }
    for (const auto& [key, waiting] : fresh)
      for (const auto& one : waiting.ranges())
        if (const auto* held = find_stream(key);
            !sender().is_set_aside(key) && held != nullptr && !held->held.common_with(one).empty())
          of.env_.truth.violated("{} sent {} of the backlog {} while {} of {}, which is fresh, waited",
                                 of.name, header.first, to_string(header.key), one.first, to_string(key));
  }
  [[nodiscard]] const spool_image::stream* find_stream(const stream_key& key) const {
    const auto it = of.disk.now.streams.find(key);
    return it == of.disk.now.streams.end() ? nullptr : &it->second;
  }

  edge_node& of;
  seeded_random random;
  mailbox writer, uplink, downlink;
  std::shared_ptr<memory_spool> store;
  std::shared_ptr<delivery::claims> under_way = std::make_shared<delivery::claims>();
  std::shared_ptr<delivery::origin_board> epochs = std::make_shared<delivery::origin_board>();
  std::optional<edge::gateway_core> gateway;
  edge::spool_source source;
  disk_usage usage;
  // For the checks of a quota and a bandwidth.
  std::uint64_t used_before; // bytes that crossed the link, as the disk knew when this process began
  std::uint64_t used = 0;    // and since then, by the last tick
  std::uint64_t link_taken;
  bool dialled = false;   // an address of the receiver
  sim_time last_live = 0; // at a tick
  edge::uplink_core core;
  delivery::token_bucket pace, pace_backlog;
  std::optional<edge::downlink_core> receiver;
  std::vector<edge::collection> inbox;
  bool commit_due = false;
  edge::pause_watch pauses;
  std::int64_t due_ns = 0;    // of the next collection, by the wall clock; 0: there was none yet
  sim_time due_at = 0;        // then
  sim_time refused_since = 0; // 0: it takes what comes
  sim_time too_old_since = 0;
  std::vector<std::pair<std::string, std::int64_t>>
      taken; // host and time of frames that the gateway was given
  std::vector<flight> flights;
  std::map<stream_key, range_set> acked;      // in this session
  std::uint64_t session = 0;                  // of the last message that was sent
  std::uint64_t credit = 0;                   // as it was last told
  std::map<stream_key, range_set> fresh;      // committed in this session, and not sent yet
  std::map<stream_key, range_set> ever_fresh; // sent or not, and what was newest when the session began
};

edge_node::edge_node(environment& env, std::string node_name, std::uint32_t index, edge_id id,
                     link_server& upstream, std::vector<std::string> hosts)
    : node(env, std::move(node_name)),
      id(id),
      index(index),
      up_link(env.time, env.random.fork(100 + index), id, name, upstream),
      authority(disk.now.origins),
      upstream_(upstream),
      hosts_(std::move(hosts)),
      random_(env.random.fork(200 + index)) {}

edge_node::~edge_node() = default;

void edge_node::become_gateway(const std::vector<edge_id>& joined) {
  is_gateway = true;
  authority.joined.insert(joined.begin(), joined.end());
}

std::unique_ptr<edge_node> edge_node::clone(std::string clone_name, std::uint32_t clone_index,
                                            link_server& upstream) const {
  auto made = std::make_unique<edge_node>(env_, std::move(clone_name), clone_index, id, upstream, hosts_);
  made->disk.now = disk.now;
  made->disk.passed_on = disk.passed_on;
  made->sizes = sizes;
  made->limits = limits;
  return made;
}

void edge_node::start() {
  if (running())
    return;
  ++lives_;
  process_ = std::make_unique<process>(*this, random_.fork(lives_));
  env_.trace("{} starts, epoch {}", name, to_string(disk.now.epoch));
  process_->core.start();
  if (collecting_)
    process_->writer.post_after(random_.between(100 * millisecond, env_.settings.collect_interval),
                                [this] { collect(); });
}

void edge_node::connect(std::size_t address) {
  sim_link::client_events events;
  const auto tell = [this](void (edge::uplink_core::*what)()) {
    return [this, what] {
      process_->uplink.post([this, what] {
        (process_->core.*what)();
        after_sender();
      });
    };
  };
  events.connected = tell(&edge::uplink_core::on_up);
  events.disconnected = tell(&edge::uplink_core::on_down);
  events.refused = tell(&edge::uplink_core::on_refused);
  events.message = [this](link::message message) {
    process_->uplink.post([this, message = std::move(message)] {
      const auto before = process_->sender().counters();
      if (const auto* ack = std::get_if<link::ack>(&message.body))
        process_->on_ack(*ack);
      else if (const auto* refusal = std::get_if<link::refusal>(&message.body))
        process_->on_refusal(*refusal);
      else if (const auto* welcome = std::get_if<link::welcome>(&message.body))
        process_->on_welcome(*welcome);
      else if (const auto* credit = std::get_if<link::credit>(&message.body))
        process_->credit = credit->bytes;
      process_->core.on_message(message);
      custody_lost_told += process_->sender().counters().lost_custody_records - before.lost_custody_records;
      sessions += process_->sender().counters().sessions - before.sessions;
      after_sender();
    });
  };
  up_link.start(std::move(events), address);
}

bool edge_node::forge(const stream_key& key, sequence seq) {
  if (!running() || process_->sender().phase() != delivery::sender_phase::live)
    return false;
  run_builder builder{key, seq};
  builder.append(record_kind::event, clock.wall_ns(), {}, as_bytes("forged"));
  link::batch batch;
  batch.run = std::move(builder).finish();
  batch.lane = link::lane::backlog;
  const auto session = process_->session;
  if (key.edge != id && !up_link.client_send({session, link::origins{{key.edge}}}))
    return false;
  if (!up_link.client_send({session, batch}))
    return false;
  env_.trace("{} brings {} of {}", name, seq, to_string(key));
  return true;
}

void edge_node::crash(crash_kind how) {
  if (!running())
    return;
  env_.trace("{} crashes ({})", name,
             how == crash_kind::killed  ? "killed"
             : how == crash_kind::power ? "power lost"
                                        : "torn write");
  auto ended = std::move(process_);
  up_link.stop();
  ended->uplink.stop();
  ended->downlink.stop();
  if (ended->receiver) {
    for (auto* from : downstream_)
      from->up_link.server_gone(random_.chance(70));
  }
  // Its last transaction was on its way to the disk.
  if (const auto work = ended->writer.stop(); work && random_.chance(60)) {
    ended->store->interrupt(how == crash_kind::torn ? memory_spool::interrupted::torn
                                                    : memory_spool::interrupted::all);
    work();
  }
  ended->writer.stop();
  if (how != crash_kind::killed)
    lose_unsynced(disk, id, random_, env_.truth);
  else
    disk.unsynced_releases.clear(); // the kernel has them
}

void edge_node::restore() {
  env_.trace("{} gets an older copy of its disk", name);
  restore_image(disk, image_, id, env_.truth);
}

void edge_node::stop_in_order() {
  if (!running())
    return;
  env_.trace("{} stops in order", name);
  if (process_->receiver)
    process_->receiver->receiver().say_bye();
  process_->core.stop();
  process_->after_sender();
  auto ended = std::move(process_);
  ended->uplink.stop();
  ended->downlink.stop();
  ended->writer.stop();
  for (auto& waiting : std::exchange(ended->inbox, {}))
    ended->gateway->take(std::move(waiting));
  ended->gateway->close();
  for (auto* from : downstream_)
    from->up_link.server_gone(true);
}

bool edge_node::syncing() const { return process_ && process_->writer.syncing(); }

// As the agents do: each host's is as late as the others'.
void edge_node::note_pause() {
  auto& of = *process_;
  const auto step = of.pauses.follow(clock);
  if (of.due_ns != 0)
    of.due_ns += step;
  const auto now = clock.wall_ns();
  of.pauses.look(of.due_ns, env_.settings.collect_interval, now);
  const auto pause = of.pauses.take();
  if (pause.from_ns == 0)
    return;
  env_.truth.on_silent({id, of.store->epoch(), stream_id::telemetry}, env_.time.now() - of.due_at);
  for (const auto& host : hosts_) {
    edge::collection said;
    said.records.push_back(edge::not_collected_record(pause.from_ns, now, loss_cause::node_off, {}));
    said.records.back().host = host;
    take(std::move(said));
  }
}

void edge_node::take(edge::collection gathered) {
  if (process_->inbox.empty())
    process_->arm(commit_interval);
  process_->inbox.push_back(std::move(gathered));
}

void edge_node::collect() {
  if (!collecting_)
    return;
  note_pause();
  const auto wait = env_.settings.collect_interval + random_.between(-second, second);
  process_->due_ns = clock.wall_ns() + wait;
  process_->due_at = env_.time.now() + wait;
  process_->writer.post_after(wait, [this] { collect(); });
  for (const auto& host : hosts_) {
    edge::collection gathered;
    frame made;
    made.time_ns = clock.wall_ns();
    made.monotonic_ns = std::max<std::int64_t>(clock.monotonic_ns(), 1);
    const auto sets = 1 + random_.below(3);
    // What a host is asked for is mostly the same: else nothing could be thinned.
    auto choice = random_.chance(25) ? random_.below(env_.sets.size()) : host.size() + index;
    for (std::uint64_t i = 0; i < sets; ++i) {
      const auto& set = env_.sets[choice++ % env_.sets.size()];
      made.sections.push_back({set->hash, static_cast<std::uint16_t>(set->members.size()), {}});
      made.values.insert(made.values.end(), set->members.size(), 1.5);
      gathered.sets.push_back(set);
    }
    pending_record record;
    record.host = host;
    record.time_ns = made.time_ns;
    record.flags = flag_watermark;
    encode_frame(made, env_.encoder, record.payload);
    gathered.records.push_back(std::move(record));
    if (random_.chance(35)) { // of no host in particular
      pending_record event;
      event.kind = record_kind::event;
      event.time_ns = made.time_ns;
      event.payload.resize(10);
      gathered.records.push_back(std::move(event));
    }
    if (random_.chance(15)) {
      pending_record alert;
      alert.kind = record_kind::alert_transition;
      alert.time_ns = made.time_ns;
      alert.payload.resize(10);
      gathered.records.push_back(std::move(alert));
    }
    gathered.samples = made.values.size();
    take(std::move(gathered));
  }
}

edge_node::answer edge_node::dial(edge_id user) {
  if (!running() || !is_gateway)
    return answer::none;
  return authority.may_speak(user, user) ? answer::accepted : answer::refused;
}

void edge_node::on_client_message(const link::peer_id& from, edge_id user, link::message message) {
  if (!running() || !process_->receiver)
    return;
  process_->downlink.post([this, from, user, message = std::move(message)]() mutable {
    receive(process_->receiver->receiver(), from, user, std::move(message));
  });
}

void edge_node::revoke(edge_id user) {
  authority.revoked.insert(user);
  if (running() && process_->receiver)
    process_->downlink.post([this, user] { process_->receiver->receiver().on_revoked(user); });
}

const delivery::sender* edge_node::sender() const { return process_ ? &process_->sender() : nullptr; }
const delivery::receiver* edge_node::receiver() const {
  return process_ && process_->receiver ? &process_->receiver->receiver() : nullptr;
}

protocol_state edge_node::state() const {
  if (!process_)
    return protocol_state::down;
  switch (process_->sender().phase()) {
  case delivery::sender_phase::down: return protocol_state::down;
  case delivery::sender_phase::greeting: return protocol_state::greeting;
  case delivery::sender_phase::waiting: return protocol_state::waiting;
  case delivery::sender_phase::live: break;
  }
  return process_->sender().pending_records() > 4 ? protocol_state::draining : protocol_state::live;
}

void edge_node::after_sender() {
  process_->after_sender();
  check_bounds();
  if (on_state_seen)
    on_state_seen();
}

void edge_node::check_bounds() {
  const auto& settings = env_.settings;
  const auto& sender = process_->sender();
  // One batch may be beyond: a record that is larger than the credit must get through.
  if (sender.in_flight_bytes() > settings.credit_bytes + settings.batch_bytes_max + 1024)
    env_.truth.violated("{} has {} bytes in flight, the credit is {}", name, sender.in_flight_bytes(),
                        settings.credit_bytes);
}

bool edge_node::drained() const {
  if (!process_ || !process_->inbox.empty() || process_->sender().phase() != delivery::sender_phase::live)
    return false;
  std::uint64_t forged = 0; // what nobody takes stays, and is said
  for (const auto& aside : process_->sender().set_aside())
    forged += aside.scope == link::refusal_scope::edge ? aside.records : 0;
  std::uint64_t forged_held = 0;
  for (const auto& [key, stream] : disk.now.streams)
    if (env_.forged.contains(key))
      forged_held += stream.held.count();
    else if (!stream.held.empty() || !stream.lost.empty())
      return false;
  return process_->sender().pending_records() == forged && forged == forged_held;
}

void check_written_off(oracle& truth, std::string_view name, const std::vector<edge_node*>& senders,
                       const stream_key& key, const std::vector<record_view>& records) {
  for (const auto& record : records) {
    const auto stone = record.kind == record_kind::tombstone
                           ? decode_tombstone(record.payload)
                           : result<tombstone>{error{errc::not_found, "it is none"}};
    if (!stone || stone.value().cause != loss_cause::custody)
      continue;
    range_set written_off;
    written_off.add({record.seq, stone.value().last});
    // A copy of a disk may have what the one that said Hello has not.
    if (!truth.copied(key.edge))
      for (const auto* sender : senders)
        if (const auto kept = sender->disk.now.kept_of(key, written_off); !kept.empty())
          truth.violated("{} has written off {} of {}, which {} still has", name, kept.highest(),
                         to_string(key), sender->name);
  }
}

} // namespace skerry::sim
