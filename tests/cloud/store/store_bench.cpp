// What the store costs. Recorded scrapes (text exposition, one file each, given as a directory) are appended
// as many hosts with their own labels and offsets; then sealed; then a full log is opened again.
//   store_bench DIRECTORY [hosts]

#include "cloud/store/embedded_engine.hpp"
#include "schemas/model/frame.hpp"

#include <fmt/format.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <future>
#include <map>

using namespace skerry;
using namespace skerry::cloud;

namespace {

constexpr std::int64_t second = 1'000'000'000;

struct recording {
  std::vector<labels> series;
  std::vector<std::string> names;
  std::vector<std::vector<double>> scrapes;
};

labels parse_labels(const std::string& text) {
  labels all;
  const auto brace = text.find('{');
  all.push_back({"__name__", text.substr(0, brace)});
  for (auto at = brace; at != std::string::npos && text[at] != '}';) {
    const auto equals = text.find("=\"", at + 1);
    const auto end = text.find('"', equals + 2);
    all.push_back({text.substr(at + 1, equals - at - 1), text.substr(equals + 2, end - equals - 2)});
    at = end + 1;
  }
  return all;
}

recording load(const std::filesystem::path& directory) {
  recording r;
  std::vector<std::filesystem::path> files;
  for (const auto& f : std::filesystem::directory_iterator{directory})
    files.push_back(f.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    std::ifstream in{file};
    std::string line;
    r.scrapes.emplace_back();
    while (std::getline(in, line)) {
      if (line.empty() || line[0] == '#')
        continue;
      const auto space = line.rfind(' ');
      if (r.scrapes.size() == 1)
        r.series.push_back(parse_labels(line.substr(0, space)));
      r.scrapes.back().push_back(std::strtod(line.c_str() + space + 1, nullptr));
    }
    if (r.scrapes.back().size() != r.series.size())
      r.scrapes.pop_back();
  }
  return r;
}

std::vector<series_set_ptr> sets_of(const recording& r, const std::string& host) {
  std::vector<series_set_ptr> sets;
  for (std::size_t from = 0; from < r.series.size(); from += set_series_max) {
    std::vector<metric_family> families;
    std::vector<series> members;
    for (auto i = from; i < std::min(r.series.size(), from + set_series_max); ++i) {
      auto all = r.series[i];
      const auto name = all.front().value;
      if (families.empty() || families.back().name != name)
        families.push_back({name, metric_type::gauge, "What " + name + " means, in a sentence.", ""});
      all.push_back({"instance", host + ":9100"});
      all.push_back({"job", "node"});
      sort_labels(all);
      members.push_back({static_cast<std::uint32_t>(families.size() - 1), std::move(all)});
    }
    sets.push_back(make_series_set(std::move(families), std::move(members)));
  }
  return sets;
}

double cpu_s(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}
double wall_s() { return cpu_s(CLOCK_MONOTONIC); }
double process_s() { return cpu_s(CLOCK_PROCESS_CPUTIME_ID); }

std::string memory() {
  std::ifstream in{"/proc/self/status"};
  std::string line;
  std::string out;
  while (std::getline(in, line))
    if (line.starts_with("RssAnon") || line.starts_with("RssFile"))
      out += line + "  ";
  return out;
}

std::unique_ptr<embedded_store> open(const embedded_config& config, prometheus::Registry& registry,
                                     std::atomic<bool>* sealing = nullptr) {
  embedded_hooks hooks;
  if (sealing != nullptr)
    hooks.seal_step = [sealing](const char*) { sealing->wait(false); };
  auto opened = open_embedded_engine(config, registry, std::move(hooks));
  if (!opened) {
    fmt::print("{}\n", opened.error().message);
    std::exit(1);
  }
  return std::move(opened.value());
}

// One scrape of all hosts: encoded before the clock runs.
std::vector<append_request> scrape(const recording& r, std::size_t n, std::int64_t time_ns, std::size_t hosts,
                                   const std::vector<std::vector<series_set_ptr>>& sets, sequence seq) {
  std::vector<append_request> all;
  value_encoder encoder;
  for (std::size_t h = 0; h < hosts; ++h) {
    frame f;
    f.time_ns = time_ns + static_cast<std::int64_t>((h * 7919 + n * 104'729) % 5) * 1'000'000;
    f.values = r.scrapes[n % r.scrapes.size()];
    const auto loops = static_cast<double>(n / r.scrapes.size());
    for (std::size_t i = 0; i < f.values.size(); ++i)
      if (f.values[i] != 0) // counters go on over the recording's end
        f.values[i] += static_cast<double>(h * 131 % 977)
                       + (r.scrapes.back()[i] > r.scrapes.front()[i] ? loops * 100 : 0);
    for (const auto& s : sets[h])
      f.sections.push_back({s->hash, static_cast<std::uint16_t>(s->members.size()), {}});
    byte_buffer payload;
    encode_frame(f, encoder, payload);
    const stream_key key{edge_id{h + 1}, {1, {}}, stream_id::telemetry};
    run_builder b{key, seq};
    b.append(record_kind::frame, f.time_ns, fmt::format("host{}", h), payload);
    const auto made = std::move(b).finish();
    append_request request;
    request.site = fmt::format("site{}", h / 10);
    request.origin = key;
    request.ranges.add({seq, seq});
    request.records = decode_records(made).value();
    request.owner = made.bytes.owner;
    request.sets = sets[h];
    request.state.push_back({fmt::format("held/{}/1/telemetry", h + 1), std::to_string(seq)});
    all.push_back(std::move(request));
  }
  return all;
}

// Returns the CPU seconds of the process between append and commit.
double commit(engine& db, std::vector<append_request> requests) {
  const auto began = process_s();
  std::atomic<std::size_t> left = requests.size();
  std::promise<void> done;
  for (auto& request : requests)
    db.append(std::move(request), [&](const result<void>& how) {
      if (!how)
        fmt::print("{}\n", how.error().message);
      if (--left == 0)
        done.set_value();
    });
  done.get_future().wait();
  return process_s() - began;
}

void query(engine& db, const char* what, std::int64_t to_ns, std::int64_t span_s, const std::string& host) {
  promql::select_request request;
  request.to_ms = to_ns / 1'000'000 + 1000;
  request.from_ms = request.to_ms - span_s * 1000;
  request.matchers.push_back(
      promql::matcher::make(promql::match_op::equal, "__name__", "node_load1").value());
  if (!host.empty())
    request.matchers.push_back(
        promql::matcher::make(promql::match_op::equal, "instance", host + ":9100").value());
  std::size_t series = 0;
  std::size_t samples = 0;
  const auto began = wall_s();
  if (const auto done = db.select(request,
                                  [&](const promql::series_view& s) {
                                    ++series;
                                    samples += s.values.size();
                                  });
      !done)
    fmt::print("{}\n", done.error().message);
  fmt::print("query {}: {} series, {} samples in {:.1f} ms\n", what, series, samples,
             (wall_s() - began) * 1000);
}

int reopen(const embedded_config& config, std::int64_t newest_ns) {
  prometheus::Registry registry;
  std::atomic<bool> sealing = false;
  fmt::print("restart: before {}\n", memory());
  const auto began = wall_s();
  auto db = open(config, registry, &sealing);
  fmt::print("restart with a full log: open {:.3f} s, {}\n", wall_s() - began, memory());
  query(*db, "after restart, all hosts, 1 min", newest_ns, 60, "");
  fmt::print("first answer after {:.3f} s, {}\n", wall_s() - began, memory());
  sealing = true;
  sealing.notify_all();
  db->flush();
  fmt::print("sealed: {:.3f} B/sample with index, {}\n",
             static_cast<double>(db->usage().disk_bytes - db->usage().log_bytes)
                 / static_cast<double>(db->usage().samples),
             memory());
  query(*db, "sealed, all hosts, 1 min", newest_ns, 60, "");
  query(*db, "sealed, one host, 1 h", newest_ns, 3600, "host7");
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view{argv[1]} == "--open") {
    embedded_config config;
    config.directory = argv[2];
    return reopen(config, std::stoll(argv[3]));
  }
  if (argc < 2) {
    fmt::print("usage: store_bench DIRECTORY-OF-SCRAPES [hosts]\n");
    return 2;
  }
  spdlog::set_level(spdlog::level::warn);
  const auto r = load(argv[1]);
  const std::size_t hosts = argc > 2 ? std::stoul(argv[2]) : 200;
  std::vector<std::vector<series_set_ptr>> sets;
  for (std::size_t h = 0; h < hosts; ++h)
    sets.push_back(sets_of(r, fmt::format("host{}", h)));
  std::string name = (std::filesystem::current_path() / "store-bench-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr)
    return 1;
  embedded_config config;
  config.directory = name;
  prometheus::Registry registry;
  const auto start_ns = system_clock().wall_ns() / second * second - 7200 * second;
  const auto per_scrape = static_cast<double>(hosts * r.series.size());
  fmt::print("{} hosts x {} series, {} scrapes; before: {}\n", hosts, r.series.size(), r.scrapes.size(),
             memory());

  sequence seq = 0;
  std::size_t n = 0;
  std::atomic<bool> sealing = false;
  {
    auto db = open(config, registry, &sealing);
    double cpu = 0;
    const auto began = wall_s();
    for (; n < r.scrapes.size(); ++n)
      cpu += commit(*db, scrape(r, n, start_ns + static_cast<std::int64_t>(n) * second, hosts, sets, ++seq));
    const auto samples = per_scrape * static_cast<double>(n);
    fmt::print("append: {:.1f} ns CPU/sample ({:.2f} M samples/s per core), {:.1f} s with encoding; log "
               "{:.2f} B/sample\n",
               cpu / samples * 1e9, samples / cpu / 1e6, wall_s() - began,
               static_cast<double>(db->usage().log_bytes) / samples);
    fmt::print("with the log: {}\n", memory());
    const auto newest = start_ns + static_cast<std::int64_t>(n) * second;
    query(*db, "log, all hosts, 1 min", newest, 60, "");
    query(*db, "log, one host, 2 min", newest, 120, "host7");
    sealing = true;
    sealing.notify_all();
    const auto seal_cpu = process_s();
    db->flush();
    const auto u = db->usage();
    fmt::print("seal: {:.1f} ns CPU/sample; {} samples; disk {:.3f} B/sample with index\n",
               (process_s() - seal_cpu) / samples * 1e9, u.samples,
               static_cast<double>(u.disk_bytes - u.log_bytes) / samples);
    query(*db, "sealed, all hosts, 1 min", newest, 60, "");
    query(*db, "sealed, one host, 2 min", newest, 120, "host7");
    fmt::print("sealed: {}\n", memory());
  }
  sealing = false;
  {
    auto db = open(config, registry, &sealing);
    while (db->usage().log_bytes < config.log_bytes_max * 15 / 16) {
      commit(*db, scrape(r, n, start_ns + static_cast<std::int64_t>(n) * second, hosts, sets, ++seq));
      ++n;
    }
    fmt::print("full log: {} MiB, {}\n", db->usage().log_bytes >> 20, memory());
    std::filesystem::copy(name, name + "-copy", std::filesystem::copy_options::recursive);
    sealing = true;
    sealing.notify_all();
  }
  std::filesystem::remove_all(name);
  config.directory = name + "-copy";
  // In a process of its own, so that memory is the store's alone.
  const auto newest = start_ns + static_cast<std::int64_t>(n) * second;
  const auto failed =
      std::system(fmt::format("{} --open {} {}", argv[0], config.directory.string(), newest).c_str());
  std::filesystem::remove_all(config.directory);
  return failed;
}
