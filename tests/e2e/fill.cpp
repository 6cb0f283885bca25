// Fills a stopped node's spool or write-ahead log with frames, and ends as if it had been killed.
//
//   fill spool --data DIR --bytes N [--past]   of an edge that has joined
//   fill kinds --data DIR             the spool of an edge that has joined: records that are no samples, of host `kinds`
//   fill log --data DIR --bytes N     of a cloud; the newest samples are near Unix time 2,000,000,000
//   fill backlog --data DIR --seconds N [--ago 0] [--hosts 200] [--series 500] scrapes/*.txt
//                                     the spool of an edge that has joined: N seconds of so many hosts, up to so many
//                                     seconds ago, one frame a host and one commit a second, with values of recorded
//                                     scrapes

#include "actors/node/data_directory.hpp"
#include "cloud/store/embedded.hpp"
#include "edge/identity.hpp"
#include "edge/spool/spool.hpp"
#include "schemas/model/frame.hpp"
#include "tests/bench/replay_hosts.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <prometheus/registry.h>

#include <condition_variable>
#include <mutex>
#include <random>
#include <sodium.h>
#include <unistd.h>

namespace {

using namespace skerry;

constexpr std::size_t hosts = 200;
constexpr std::size_t series_per_host = 256;
constexpr std::int64_t newest_ns = 2'000'000'000LL * 1'000'000'000;
constexpr std::int64_t second_ns = 1'000'000'000;

[[noreturn]] void give_up(const error& why) {
  fmt::print(stderr, "fill: {}\n", why.message);
  std::exit(1);
}

std::string host_name(std::size_t i) { return fmt::format("fill-{:04}", i); }

series_set_ptr make_set(const std::string& instance) {
  std::vector<series> members;
  for (std::size_t i = 0; i < series_per_host; ++i) {
    series one;
    one.all =
        i == 0 ? labels{{"__name__", "fill_value"}, {"instance", instance}}
               : labels{{"__name__", "fill_other"}, {"instance", instance}, {"part", fmt::format("p{}", i)}};
    one.family = i == 0 ? 0 : 1;
    members.push_back(std::move(one));
  }
  return make_series_set(
      {{"fill_value", metric_type::gauge, "", ""}, {"fill_other", metric_type::gauge, "", ""}},
      std::move(members));
}

// One a host.
std::vector<series_set_ptr> make_sets() {
  std::vector<series_set_ptr> sets;
  for (std::size_t i = 0; i < hosts; ++i)
    sets.push_back(make_set(host_name(i)));
  return sets;
}

// One frame a host, at one time.
std::vector<pending_record> make_round(std::int64_t time_ns, const std::vector<series_set_ptr>& sets,
                                       value_encoder& encoder, std::mt19937_64& random) {
  std::vector<pending_record> out;
  frame f;
  f.time_ns = time_ns;
  f.values.resize(series_per_host);
  for (std::size_t i = 0; i < hosts; ++i) {
    for (auto& value : f.values)
      value = static_cast<double>(random() % 1'000'000) / 1000;
    f.values[0] = static_cast<double>(i);
    f.sections.assign(1, {sets[i]->hash, static_cast<std::uint16_t>(series_per_host), {}});
    pending_record record;
    record.host = host_name(i);
    record.time_ns = time_ns;
    encode_frame(f, encoder, record.payload);
    out.push_back(std::move(record));
  }
  return out;
}

std::unique_ptr<edge::spool> open_spool(const std::filesystem::path& data, prometheus::Registry& metrics) {
  auto identity = edge::load_identity(data);
  if (!identity)
    give_up(identity.error());
  edge::spool_config config;
  config.directory = data / "spool";
  config.edge = identity.value().edge;
  auto spool = edge::spool::open(config, system_clock(), system_random(), metrics);
  if (!spool)
    give_up(spool.error());
  return std::move(spool).value();
}

void fill_spool(const std::filesystem::path& data, std::uint64_t bytes, bool past) {
  prometheus::Registry metrics;
  const auto spool = open_spool(data, metrics);
  const auto sets = make_sets();
  value_encoder encoder;
  std::mt19937_64 random{1};
  const auto newest = past ? system_clock().wall_ns() : newest_ns;
  for (std::int64_t t = newest - 100'000 * second_ns; spool->usage().disk_bytes < bytes; t += second_ns) {
    const auto done = spool->commit(stream_id::telemetry, make_round(t, sets, encoder, random), sets);
    if (!done)
      give_up(done.error());
  }
  ::_exit(0);
}

void fill_backlog(const std::filesystem::path& data, std::size_t seconds, std::size_t ago, std::size_t hosts,
                  std::size_t series, const std::vector<std::string>& scrapes) {
  auto loaded = bench::recording::load(scrapes);
  if (!loaded)
    give_up(loaded.error());
  auto all = bench::make_replay_hosts(std::make_shared<const bench::recording>(std::move(loaded).value()),
                                      hosts, series);
  std::vector<series_set_ptr> sets;
  for (const auto& host : all)
    sets.insert(sets.end(), host.sets.begin(), host.sets.end());
  prometheus::Registry metrics;
  const auto spool = open_spool(data, metrics);
  value_encoder encoder;
  std::vector<double> values;
  std::vector<pending_record> records(hosts);
  const auto begin_ns = system_clock().wall_ns() - static_cast<std::int64_t>(seconds + ago) * second_ns;
  for (std::size_t step = 0; step < seconds; ++step) {
    for (std::size_t h = 0; h < hosts; ++h) {
      auto& record = records[h];
      record.host = all[h].name;
      // Scrapes are spread over the interval.
      record.time_ns = begin_ns + static_cast<std::int64_t>(step) * second_ns
                       + second_ns / static_cast<std::int64_t>(hosts) * static_cast<std::int64_t>(h);
      record.flags = flag_watermark;
      all[h].values(step, values);
      record.payload.clear();
      encode_replay_frame(all[h], record.time_ns, values, encoder, record.payload);
    }
    if (const auto done = spool->commit(stream_id::telemetry, records, sets); !done)
      give_up(done.error());
  }
  fmt::print("{}\n", seconds * hosts * all.front().members.size());
  std::fflush(stdout);
  ::_exit(0);
}

// One of each kind that no query reads, and two of kinds that this version does not know. Closed in order.
void fill_kinds(const std::filesystem::path& data) {
  prometheus::Registry metrics;
  const auto spool = open_spool(data, metrics);
  const auto made = [](record_kind kind) {
    pending_record record;
    record.kind = kind;
    record.time_ns = system_clock().wall_ns();
    record.host = "kinds";
    record.payload.resize(100);
    return record;
  };
  const std::vector telemetry{made(record_kind::event), made(record_kind{200}), made(record_kind::log_chunk),
                              made(record_kind{63})};
  const std::vector alerts{made(record_kind::alert_transition)};
  for (const auto& done :
       {spool->commit(stream_id::telemetry, telemetry, {}), spool->commit(stream_id::alert, alerts, {})})
    if (!done)
      give_up(done.error());
  if (const auto closed = spool->close(); !closed)
    give_up(closed.error());
}

void fill_log(const std::filesystem::path& data, std::uint64_t bytes) {
  auto directory = data_directory::open(data, node_kind::cloud);
  if (!directory)
    give_up(directory.error());
  cloud::embedded_config config;
  config.directory = data / "store";
  config.retention = {};
  config.log_segment_bytes = 2 * bytes; // one log, so that nothing is sealed
  config.log_bytes_max = 4 * bytes;
  config.log_age_max = std::chrono::hours{24};
  prometheus::Registry metrics;
  auto store = cloud::open_embedded_engine(config, metrics);
  if (!store)
    give_up(store.error());
  const auto sets = make_sets();
  value_encoder encoder;
  std::mt19937_64 random{1};
  const stream_key key{edge_id{1}, {1, {1}}, stream_id::telemetry};
  sequence next = 1;
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t under_way = 0;
  // Backwards, so that the newest sample is where the query looks, however much fits.
  for (std::int64_t t = newest_ns; store.value()->usage().log_bytes < bytes; t -= second_ns) {
    auto records = make_round(t, sets, encoder, random);
    run_builder builder{key, next};
    for (const auto& record : records)
      builder.append(record.kind, record.time_ns, record.host, record.payload);
    const auto made = std::move(builder).finish();
    next = made.header.last() + 1;
    const auto views = decode_records(made);
    cloud::append_request request;
    request.site = "fill";
    request.origin = key;
    request.ranges.add({made.header.first, made.header.last()});
    request.records = views.value();
    request.owner = made.bytes.owner;
    request.sets = sets;
    std::unique_lock lock{mutex};
    ++under_way;
    lock.unlock();
    store.value()->append(std::move(request), [&](result<void> done) {
      if (!done)
        give_up(done.error());
      const std::lock_guard guard{mutex};
      --under_way;
      changed.notify_all();
    });
    lock.lock();
    changed.wait(lock, [&] { return under_way < 16; });
  }
  std::unique_lock lock{mutex};
  changed.wait(lock, [&] { return under_way == 0; });
  ::_exit(0);
}

} // namespace

int main(int argc, char** argv) {
  std::string what, data;
  std::uint64_t bytes = 0;
  std::size_t seconds = 60, ago = 0, hosts_wanted = 200, series_wanted = 500;
  std::vector<std::string> scrapes;
  bool past = false;
  CLI::App app{"Fills a stopped node's spool or write-ahead log"};
  app.add_option("what", what, "spool, backlog, kinds or log")
      ->required()
      ->check(CLI::IsMember({"spool", "log", "backlog", "kinds"}));
  app.add_option("scrapes", scrapes, "Of a backlog: recorded scrapes, in order");
  app.add_option("--data", data, "Data directory")->required();
  app.add_option("--bytes", bytes, "How much of a spool or log");
  app.add_option("--seconds", seconds, "How much of a backlog (60)");
  app.add_option("--ago", ago, "How many seconds ago a backlog ends (0)");
  app.add_option("--hosts", hosts_wanted, "In a backlog (200)")->check(CLI::PositiveNumber);
  app.add_option("--series", series_wanted, "Of each host in a backlog (500)")->check(CLI::PositiveNumber);
  app.add_flag("--past", past, "Of a spool: samples of the last day, not of the future");
  CLI11_PARSE(app, argc, argv);
  if (sodium_init() < 0)
    return 1;
  if (what == "backlog")
    fill_backlog(data, seconds, ago, hosts_wanted, series_wanted, scrapes);
  else if (what == "kinds")
    fill_kinds(data);
  else if (what == "spool")
    fill_spool(data, bytes, past);
  else
    fill_log(data, bytes);
}
