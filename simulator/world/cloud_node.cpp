#include "simulator/world/cloud_node.hpp"

#include "cloud/api/completeness_notes.hpp"
#include "cloud/sites/host_keeper.hpp"

namespace skerry::sim {

namespace {

constexpr sim_time ingest_tick = second;
constexpr sim_time keep_interval = 10 * second;
constexpr sim_time future_max_ns = 10 * minute; // ingest.future_max
constexpr sim_time kept_within = 30 * second;   // what is known of hosts, with all that may delay it

} // namespace

struct cloud_node::process {
  explicit process(cloud_node& node, seeded_random seed)
      : of(node),
        random(seed),
        hosts(std::make_shared<cloud::host_table>(places, node.env_.planted)),
        store(std::make_shared<memory_engine>(node.disk, node.env_.time, random, node.env_.truth, node.clock,
                                              node.env_.planted)),
        held(node.clock, *store),
        trust(std::make_shared<cloud::clock_trust>(held, std::chrono::nanoseconds{future_max_ns})),
        ingest(node.env_.time, random),
        hosts_box(node.env_.time, random),
        keeper(hosts, store, [this] { return held.note(); }) {
    store->on_append = [this](const cloud::append_request& request) {
      of.check_ahead(request, held.wall_ns());
    };
    const auto& settings = of.env_.settings;
    static_cast<void>(cloud::restore_hosts(*hosts, *store)); // it cannot fail here
    delivery::receiver_config config;
    config.incarnation = {1};
    config.credit_bytes = settings.credit_bytes;
    config.memory_max = settings.memory_max;
    config.credit_min = settings.credit_min;
    config.ranges_max = settings.ranges_max;
    config.epochs_max = settings.epochs_max;
    config.parked_batches_max = settings.parked_batches_max;
    config.planted = of.env_.planted;
    cloud::ingest_core::outputs outputs;
    outputs.to_shard = [this](shard_id id, std::shared_ptr<cloud::shard_part> part) {
      check_written_off(of.env_.truth, of.name, of.downstream_, part->from.header.key, part->records);
      auto& to = shard(id);
      to.box.post([this, &to, part = std::move(part)] {
        to.core->take(part, [this](std::uint64_t ticket, std::string failed) {
          ingest.post([this, ticket, failed = std::move(failed)] { core->on_part_stored(ticket, failed); });
        });
      });
    };
    outputs.release = [this](shard_id id, const std::shared_ptr<const cloud::stream_release>& over) {
      auto& to = shard(id);
      to.box.post([this, id, &to, over] {
        const bool dropped = to.core->release(*over);
        ingest.post([this, id, over, dropped] { core->on_released(id, over, dropped); });
      });
    };
    outputs.held = [this](std::uint64_t ticket, std::string failed) {
      ingest.post([this, ticket, failed = std::move(failed)] {
        core->receiver().on_held_durable(ticket, failed);
        of.check_receiver(core->receiver());
      });
    };
    outputs.send = [this](const link::peer_id& to, const link::message& message) { answer(to, message); };
    outputs.clock = [this](edge_id user, std::int64_t wall_ns) {
      of.said_[user] = wall_ns - of.env_.time.now();
      trust->heard(user, wall_ns);
    };
    outputs.streams = [this](const std::shared_ptr<const cloud::stream_news_list>& news) {
      hosts_box.post([this, news] { hosts->apply(*news); });
    };
    core.emplace(config, store, store, of.authority, of.clock, random, std::move(outputs));
    hosts_box.every(static_cast<sim_time>(random.below(keep_interval)), keep_interval,
                    [this] { keeper.keep(); });
    ingest.every(static_cast<sim_time>(random.below(ingest_tick)), ingest_tick, [this] { tick(); });
    if (settings.journal_interval != 0)
      ingest.every(settings.journal_interval, settings.journal_interval, [this] { write_journal(); });
  }

  struct shard_process {
    shard_process(scheduler& time, seeded_random& random) : box(time, random) {}
    mailbox box;
    std::optional<cloud::shard_core> core;
  };

  shard_process& shard(shard_id id) {
    auto& found = shards[id];
    if (!found) {
      found = std::make_unique<shard_process>(of.env_.time, random);
      cloud::shard_config config;
      config.id = id;
      config.store = store;
      config.state = store;
      config.places = places;
      config.subscribers.push_back([this](const std::shared_ptr<const cloud::committed_effects>& what) {
        hosts_box.post([this, what] { hosts->apply(*what); });
      });
      config.counters = counters;
      config.clock = &held;
      config.trust = trust;
      config.future_max = std::chrono::nanoseconds{future_max_ns};
      config.planted = of.env_.planted;
      found->core.emplace(std::move(config), [to = found.get()](std::uint64_t ticket, std::string failed) {
        to->box.post([to, ticket, failed = std::move(failed)] { to->core->on_stored(ticket, failed); });
      });
    }
    return *found;
  }

  void tick() {
    while (core->advance_completeness()) {
    }
    of.latest_ns_ = std::max(of.latest_ns_, held.wall_ns());
    of.check_completeness();
    if (++ticks == 1)
      core->put_quietly({held.note()});
  }

  void write_journal() {
    const auto sending = [this](const link::peer_id& to, const link::message& message) { send(to, message); };
    if (of.journal_away())
      of.journal_.cannot_write(sending);
    else
      of.journal_.write(of.disk, core->receiver().held(), sending);
  }

  void answer(const link::peer_id& to, const link::message& message) {
    const bool promises = std::holds_alternative<link::ack>(message.body)
                          || std::holds_alternative<link::welcome>(message.body);
    if (const auto* ack = std::get_if<link::ack>(&message.body))
      of.check_acknowledged(ack->ranges);
    else if (const auto* welcome = std::get_if<link::welcome>(&message.body))
      of.check_acknowledged(welcome->durable);
    if (of.env_.settings.journal_interval == 0 || !promises) {
      send(to, message);
      return;
    }
    of.journal_.answer(to, message, of.journal_away(),
                       [this](const link::peer_id& peer, const link::message& one) { send(peer, one); });
  }

  void send(const link::peer_id& to, const link::message& message) {
    for (auto* from : of.downstream_)
      if (from->up_link.server_send(to, message))
        return;
  }

  cloud_node& of;
  seeded_random random;
  std::shared_ptr<cloud::host_admission> places = std::make_shared<cloud::host_admission>();
  std::shared_ptr<cloud::host_table> hosts;
  std::shared_ptr<cloud::shard_counters> counters = std::make_shared<cloud::shard_counters>();
  std::shared_ptr<memory_engine> store;
  cloud::held_clock held;
  std::shared_ptr<cloud::clock_trust> trust;
  mailbox ingest;
  mailbox hosts_box; // what lies in it answers to ingest when it goes
  cloud::host_keeper keeper;
  std::map<shard_id, std::unique_ptr<shard_process>> shards;
  std::optional<cloud::ingest_core> core;
  int ticks = 0;
};

cloud_node::cloud_node(environment& env, std::string node_name)
    : node(env, std::move(node_name)),
      authority(disk.now.origins),
      random_(env.random.fork(300)),
      journal_(env.random.fork(301)) {}

cloud_node::~cloud_node() = default;

void cloud_node::start() {
  if (running())
    return;
  ++lives_;
  env_.trace("{} starts", name);
  claimed_.clear();
  whole_.clear();
  before_.clear();
  since_.clear();
  said_.clear();
  for (const auto& host : env_.shared_hosts)
    for (const auto& [edge, marks] : env_.truth.speakers(env_.truth.host_index(host)))
      if (!disk.now.spoken.contains({host, edge}))
        before_[{host, edge}] = stored_marks(host, edge);
  process_ = std::make_unique<process>(*this, random_.fork(lives_));
}

void cloud_node::crash(crash_kind how) {
  if (!running())
    return;
  env_.trace("{} crashes", name);
  process_->store->crash(how == crash_kind::torn);
  doubted_before_ = doubted_parts();
  ahead_before_ = ahead_records();
  process_.reset();
  journal_.on_crash();
  for (auto* from : downstream_)
    from->up_link.server_gone(random_.chance(70));
  if (how != crash_kind::killed && lose_unsynced(disk, random_, env_.truth))
    journal_.on_rollback(disk.now);
}

void cloud_node::restore() {
  env_.trace("{} gets an older copy of its disk", name);
  restore_image(disk, image_, env_.truth);
  journal_.on_rollback(disk.now);
}

void cloud_node::take_over() {
  crash(crash_kind::killed);
  if (env_.settings.journal_interval == 0)
    return;
  const auto gone = journal_.take_over(disk);
  env_.trace("{} is lost, with {} records that were not safe", name, gone);
}

bool cloud_node::journal_away() const { return env_.time.now() < journal_away_until_; }

bool cloud_node::syncing() const { return process_ && process_->store->committing(); }

cloud_node::answer cloud_node::dial(edge_id user) {
  if (!running())
    return answer::none;
  return authority.may_speak(user, user) ? answer::accepted : answer::refused;
}

void cloud_node::on_client_message(const link::peer_id& from, edge_id user, link::message message) {
  if (!running())
    return;
  process_->ingest.post([this, from, user, message = std::move(message)]() mutable {
    receive(process_->core->receiver(), from, user, std::move(message));
  });
}

void cloud_node::revoke(edge_id user) {
  authority.revoked.insert(user);
  if (running())
    process_->ingest.post([this, user] { process_->core->receiver().on_revoked(user); });
}

std::vector<cloud::host_view> cloud_node::hosts() const {
  return process_ ? process_->hosts->hosts() : std::vector<cloud::host_view>{};
}

std::vector<cloud::host_coverage> cloud_node::coverage(std::int64_t from_ns, std::int64_t to_ns) const {
  return cloud::make_ledger(process_->store, process_->hosts, nullptr, env_.planted)
      ->completeness({{}, {}, {}, from_ns, to_ns})
      .value();
}

std::vector<std::string> cloud_node::warnings(const std::string& site, const std::string& host,
                                              std::int64_t time_ns) const {
  const auto ledger = cloud::make_ledger(process_->store, process_->hosts, nullptr, env_.planted);
  cloud::noting_source source{*process_->store};
  source.note(site, host, time_ns / millisecond, time_ns / millisecond + 1);
  return source.warnings(*ledger, clock.wall_ns());
}

std::vector<cloud::loss_entry> cloud_node::own_damage() const {
  return cloud::make_ledger(process_->store, process_->hosts, nullptr, env_.planted)
      ->own_damage(INT64_MIN, INT64_MAX);
}

std::uint64_t cloud_node::doubted_parts() const {
  return doubted_before_ + (process_ ? process_->counters->doubted_parts.load() : 0);
}

std::uint64_t cloud_node::ahead_records() const {
  return ahead_before_ + (process_ ? process_->counters->ahead_records.load() : 0);
}

std::uint64_t cloud_node::scrubbed() const { return process_ ? process_->store->scrubber().passes() : 0; }

const delivery::receiver* cloud_node::receiver() const {
  return process_ ? &process_->core->receiver() : nullptr;
}

void cloud_node::check_acknowledged(const std::vector<link::stream_held>& claimed) {
  for (const auto& [key, ranges] : claimed) {
    const auto it = disk.now.streams.find(key);
    for (const auto& range : ranges.ranges())
      for (auto seq = range.first; seq <= range.last; ++seq)
        if (it == disk.now.streams.end() || !it->second.has(seq)) {
          env_.truth.violated("{} acknowledged {} of {} before it was on its disk", name, seq,
                              to_string(key));
          return;
        }
  }
}

// What a tombstone of the cloud's own stands for was ahead of its clock, and no more edges contradicted that than did not.
void cloud_node::check_ahead(const cloud::append_request& request, std::int64_t wall_ns) {
  latest_ns_ = std::max(latest_ns_, wall_ns);
  for (const auto& record : request.records) {
    if (record.kind != record_kind::tombstone)
      continue;
    const auto stone = decode_tombstone(record.payload).value();
    if (stone.cause != loss_cause::clock_ahead)
      continue;
    const auto contradict =
        static_cast<std::size_t>(std::count_if(said_.begin(), said_.end(), [&](const auto& one) {
          return one.second + env_.time.now() - wall_ns > future_max_ns;
        }));
    if (contradict > said_.size() - contradict)
      env_.truth.violated("{} calls {} of {} lost as ahead of its clock, which {} of {} edges contradict",
                          name, record.seq, to_string(request.origin), contradict, said_.size());
    if (stone.from_ns <= wall_ns + future_max_ns)
      env_.truth.violated("{} calls {} of {} lost as ahead of its clock, and it is not", name, record.seq,
                          to_string(request.origin));
  }
}

// The first that is neither stored nor named as lost of what was numbered up to there, older epochs too; empty: nothing.
std::string cloud_node::missing_before(const record_identity& mark) const {
  const auto hole_in = [&](const stream_key& key, sequence through) {
    const auto it = disk.now.streams.find(key);
    const auto& truth = env_.truth.streams()[key];
    for (sequence seq = 1; seq <= through; ++seq) {
      const auto* record = seq <= truth.records.size() ? &truth.records[seq - 1] : nullptr;
      if (record != nullptr && record->returned && !record->beyond_knowing
          && (it == disk.now.streams.end() || !it->second.has(seq)))
        return seq;
    }
    return sequence{0};
  };
  if (const auto hole = hole_in(mark.key, mark.seq); hole != 0)
    return fmt::format("{} of {}", hole, to_string(mark.key));
  for (const auto& [key, last] : env_.truth.streams()[mark.key].older)
    if (const auto hole = hole_in(key, last); hole != 0)
      return fmt::format("{} of the older {}", hole, to_string(key));
  return {};
}

// Where a host is called complete up to a watermark, everything before that watermark is stored or named as lost.
void cloud_node::check_completeness() {
  for (const auto& host : process_->hosts->hosts()) {
    auto& checked = claimed_[{host.site, host.host}];
    if (host.complete_watermark_ns == 0 || host.complete_watermark_ns == checked)
      continue;
    checked = host.complete_watermark_ns;
    if (checked > latest_ns_ + future_max_ns)
      env_.truth.violated(
          "host {} is called complete up to {} ns, and no clock that was believed has come there", host.host,
          checked - world_begins_ns);
    const auto* marks = env_.truth.watermarks(env_.truth.host_index(host.host), checked);
    if (marks == nullptr) {
      env_.truth.violated("host {} is called complete up to {}, of which there is no watermark", host.host,
                          checked);
      return;
    }
    std::string why;
    for (const auto& mark : *marks)
      if (why = missing_before(mark); why.empty())
        break;
    if (!why.empty())
      env_.truth.violated("host {} is called complete up to {} ns, and {} is not there", host.host,
                          checked - world_begins_ns, why);
    check_speakers(host);
  }
}

std::size_t cloud_node::stored_marks(const std::string& host, edge_id edge) {
  const auto& speakers = env_.truth.speakers(env_.truth.host_index(host));
  const auto marks = speakers.find(edge);
  return marks == speakers.end()
             ? 0
             : static_cast<std::size_t>(
                 std::count_if(marks->second.begin(), marks->second.end(), [&](const auto& mark) {
                   const auto it = disk.now.streams.find(mark.second.key);
                   return it != disk.now.streams.end() && it->second.has_data(mark.second.seq);
                 }));
}

// What is known of hosts is kept every few seconds: who spoke for the first time just before a crash may be forgotten,
// until it speaks again.
bool cloud_node::speaks(const std::string& host, edge_id edge) {
  if (disk.now.spoken.contains({host, edge}))
    return true;
  const auto before = before_.find({host, edge});
  if (stored_marks(host, edge) <= (before == before_.end() ? 0 : before->second))
    return false;
  const auto [since, first] = since_.try_emplace({host, edge}, env_.time.now());
  const bool healthy = !disk.health.failing && disk.health.room != 0;
  if (healthy && env_.time.now() - since->second > kept_within)
    disk.now.spoken.insert({host, edge});
  return true;
}

// Of several edges that bring the same host, each has brought what it has of the time in which that is called complete.
void cloud_node::check_speakers(const cloud::host_view& host) {
  const auto through_ns = host.complete_watermark_ns;
  const auto& speakers = env_.truth.speakers(env_.truth.host_index(host.host));
  if (speakers.size() < 2)
    return;
  for (const auto& [edge, marks] : speakers) {
    const bool ended = std::any_of(host.statements.begin(), host.statements.end(),
                                   [e = edge](const auto& one) { return one.edge == e && one.ended; });
    if (ended || !speaks(host.host, edge))
      continue;
    auto& whole = whole_[{host.host, edge}];
    for (auto mark = marks.rbegin(); mark != marks.rend() && whole < through_ns; ++mark)
      if (mark->first >= through_ns && missing_before(mark->second).empty())
        whole = mark->first;
    if (whole < through_ns)
      env_.truth.violated(
          "host {} is called complete up to {} ns, and {} has not brought all that it has of then", host.host,
          through_ns - world_begins_ns, to_string(edge));
  }
}

} // namespace skerry::sim
