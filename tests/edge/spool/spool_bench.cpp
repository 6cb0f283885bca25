// Prints what the spool costs: spool_bench [DIRECTORY] (a fresh one below it is used, on a real disk).

#include "edge/spool/spool.hpp"

#include <fmt/format.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <random>
#include <unistd.h>

using namespace skerry;
using namespace skerry::edge;
namespace fs = std::filesystem;

namespace {

double cpu_seconds() {
  timespec ts{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
  return static_cast<double>(ts.tv_sec) + static_cast<double>(ts.tv_nsec) / 1e9;
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string resident() {
  std::ifstream in{"/proc/self/status"};
  std::string line;
  std::string out;
  while (std::getline(in, line))
    if (line.starts_with("VmRSS") || line.starts_with("RssAnon"))
      out += line + "  ";
  return out;
}

std::vector<pending_record> records(std::size_t count, std::size_t bytes, std::mt19937_64& random) {
  std::vector<pending_record> out(count);
  for (auto& record : out) {
    record.kind = record_kind::event;
    record.time_ns = 1;
    record.host = "host-0001";
    record.payload.resize(bytes - record_header_bytes - record.host.size());
    for (auto& byte : record.payload)
      byte = static_cast<std::byte>(random());
  }
  return out;
}

std::unique_ptr<spool> open_at(const fs::path& directory, std::uint64_t segment_bytes = 64 << 20) {
  spool_config config;
  config.directory = directory;
  config.edge = edge_id{1};
  config.segment_bytes = segment_bytes;
  static std::vector<std::unique_ptr<prometheus::Registry>> registries;
  registries.push_back(std::make_unique<prometheus::Registry>());
  auto out = spool::open(config, system_clock(), system_random(), *registries.back());
  if (!out) {
    fmt::print(stderr, "{}\n", out.error().message);
    std::exit(1);
  }
  return std::move(out).value();
}

void measure_commits(const fs::path& directory, std::size_t count, std::size_t bytes, std::size_t commits) {
  std::mt19937_64 random{1};
  const auto given = records(count, bytes, random);
  const auto s = open_at(directory);
  const auto cpu = cpu_seconds();
  const auto wall = wall_seconds();
  for (std::size_t i = 0; i < commits; ++i)
    if (!s->commit(stream_id::telemetry, given, {}))
      std::exit(1);
  const auto cpu_used = cpu_seconds() - cpu;
  const auto wall_used = wall_seconds() - wall;
  const auto total = static_cast<double>(count * commits);
  fmt::print("{:4} x {:4} B: {:7.1f} commits/s, CPU {:8.1f} us a commit, {:6.0f} ns a record, {:.2f} ns a "
             "sample (507 "
             "each), disk {:.0f} B a record\n",
             count, bytes, static_cast<double>(commits) / wall_used,
             cpu_used / static_cast<double>(commits) * 1e6, cpu_used / total * 1e9,
             cpu_used / total / 507 * 1e9, static_cast<double>(s->usage().disk_bytes) / total);
}

void time_open(std::string_view how, const fs::path& directory) {
  const auto wall = wall_seconds();
  const auto cpu = cpu_seconds();
  const auto s = open_at(directory);
  fmt::print("open {}: {:.1f} ms ({:.1f} ms CPU), {} segments, {} records, {}\n", how,
             (wall_seconds() - wall) * 1e3, (cpu_seconds() - cpu) * 1e3, s->report().segments,
             s->report().records, resident());
  if (how == "after a stop without close")
    (void)s->close();
}

} // namespace

int main(int argc, char** argv) {
  spdlog::set_level(spdlog::level::warn);
  auto pattern = (fs::path{argc > 1 ? argv[1] : "/var/tmp"} / "skerry-spool-bench-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr)
    return 1;
  const fs::path base{pattern};
  measure_commits(base / "wide", 200, 1000, 300);
  measure_commits(base / "small", 1, 1000, 1000);
  measure_commits(base / "host", 1, 5000, 500);

  fmt::print("filling 1 GB...\n");
  {
    std::mt19937_64 random{1};
    const auto given = records(1000, 1000, random);
    const auto s = open_at(base / "large");
    for (int i = 0; i < 1050; ++i)
      if (!s->commit(stream_id::telemetry, given, {}))
        return 1;
    fmt::print("after filling: {}\n", resident());
  }
  time_open("after a stop without close", base / "large");
  time_open("after an orderly stop", base / "large");
  {
    const auto s = open_at(base / "large");
    const auto states = s->streams();
    const auto wall = wall_seconds();
    const auto cpu = cpu_seconds();
    std::uint64_t bytes = 0;
    for (const auto& state : states) {
      sequence next = 1;
      for (;;) {
        const auto got = s->read(state.key, next, 256 << 10);
        if (!got || !got.value())
          break;
        bytes += got.value()->bytes.view.size();
        next = got.value()->header.last() + 1;
        range_set done;
        done.add({got.value()->header.first, got.value()->header.last()});
        (void)s->release(state.key, done);
      }
    }
    fmt::print("drained {} MB: {:.0f} MB/s, {:.2f} CPU ns a byte, {} segments left, {}\n", bytes >> 20,
               static_cast<double>(bytes) / 1e6 / (wall_seconds() - wall),
               (cpu_seconds() - cpu) * 1e9 / static_cast<double>(bytes), s->usage().segments, resident());
  }
  std::error_code ignored;
  fs::remove_all(base, ignored);
}
