#pragma once

// What the spool's tests share: a directory that goes away, a clock that the test moves, seeded randomness,
// records.

#include "edge/spool/spool.hpp"
#include "schemas/model/frame.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <prometheus/registry.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <unistd.h>

namespace skerry::edge::testing {

namespace fs = std::filesystem;

class temporary_directory {
public:
  // In memory where that is to be had: what is tested is what was written, not how long a disk takes to sync.
  temporary_directory() {
    const fs::path memory{"/dev/shm"};
    auto pattern =
        ((::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path()) / "skerry-spool-XXXXXX")
            .string();
    if (::mkdtemp(pattern.data()) == nullptr)
      std::abort();
    path_ = pattern;
  }
  ~temporary_directory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

private:
  fs::path path_;
};

class test_clock final : public clock_source {
public:
  std::int64_t wall_ns() const noexcept override { return (now += 1'000'000) + ahead; }
  std::int64_t monotonic_ns() const noexcept override { return now; }
  mutable std::atomic<std::int64_t> now{1'700'000'000'000'000'000};
  std::atomic<std::int64_t> ahead{0}; // by so much the wall clock is wrong
};

class test_random final : public random_source {
public:
  explicit test_random(std::uint64_t seed) : engine(seed) {}
  void fill(std::span<std::uint8_t> out) noexcept override {
    for (auto& byte : out)
      byte = static_cast<std::uint8_t>(engine());
  }
  std::uint64_t below(std::uint64_t bound) { return engine() % bound; }
  std::mt19937_64 engine;
};

inline std::uint64_t seed_of(std::uint64_t fallback) {
  const char* given = std::getenv("SKERRY_SEED");
  return given == nullptr ? fallback : std::strtoull(given, nullptr, 10);
}

inline constexpr edge_id test_edge{0xc0ffee};

inline spool_config small_config(const fs::path& directory) {
  spool_config config;
  config.directory = directory;
  config.edge = test_edge;
  config.segment_bytes = 1 << 20;
  config.bytes_max = 1 << 30;
  config.reserve_bytes = 64 << 10;
  return config;
}

struct world {
  test_clock clock;
  test_random random;
  std::unique_ptr<prometheus::Registry> metrics = std::make_unique<prometheus::Registry>();

  explicit world(std::uint64_t seed = 1) : random(seed) {}
  result<std::unique_ptr<spool>> try_open(const spool_config& config) {
    metrics = std::make_unique<prometheus::Registry>();
    return spool::open(config, clock, random, *metrics);
  }
  std::unique_ptr<spool> open(const spool_config& config) {
    auto opened = try_open(config);
    INFO((opened ? "" : opened.error().message));
    REQUIRE(opened);
    return std::move(opened).value();
  }
  [[nodiscard]] double metric(const std::string& name) const {
    double out = 0;
    for (const auto& family : metrics->Collect())
      if (family.name == name)
        for (const auto& one : family.metric)
          out += one.counter.value + one.gauge.value;
    return out;
  }
};

inline series_set_ptr some_set(std::uint64_t id, std::size_t series_count = 3) {
  std::vector<series> members;
  for (std::size_t i = 0; i < series_count; ++i) {
    labels all{{"__name__", "m"}, {"id", std::to_string(id)}, {"nr", fmt::format("{:04}", i)}};
    sort_labels(all);
    members.push_back({0, std::move(all)});
  }
  return make_series_set({{"m", metric_type::gauge, "help", ""}}, std::move(members));
}

// Without a monotonic time its target claims the other one.
inline pending_record frame_record(const series_set_ptr& set, std::int64_t time_ns,
                                   std::int64_t monotonic_ns = 1) {
  frame f;
  f.time_ns = time_ns;
  f.monotonic_ns = monotonic_ns;
  f.sections.push_back({set->hash, static_cast<std::uint16_t>(set->members.size()), {}});
  for (std::size_t i = 0; i < set->members.size(); ++i)
    f.values.push_back(static_cast<double>(time_ns % 1000 + static_cast<std::int64_t>(i)));
  value_encoder encoder;
  pending_record out{record_kind::frame, time_ns, "host", {}};
  encode_frame(f, encoder, out.payload);
  return out;
}

inline pending_record event_record(test_random& random, std::size_t bytes, std::int64_t time_ns = 1000) {
  pending_record out{record_kind::event, time_ns, "host", {}};
  out.payload.resize(bytes);
  for (std::size_t at = 0; at < bytes; at += 8) {
    const auto word = random.engine();
    std::memcpy(out.payload.data() + at, &word, std::min<std::size_t>(8, bytes - at));
  }
  return out;
}

inline std::vector<pending_record> event_records(test_random& random, std::size_t count, std::size_t bytes) {
  std::vector<pending_record> out;
  for (std::size_t i = 0; i < count; ++i)
    out.push_back(event_record(random, bytes, static_cast<std::int64_t>(1000 + i)));
  return out;
}

inline range_set ranges(std::initializer_list<sequence_range> all) {
  range_set out;
  for (const auto& one : all)
    out.add(one);
  return out;
}

inline std::optional<stream_state> state_of(const spool& of, const stream_key& key) {
  for (auto& state : of.streams())
    if (state.key == key)
      return state;
  return std::nullopt;
}

// Everything that can be read of a stream, by sequence; damage found on the way is asked again, as the uplink
// does.
inline std::map<sequence, std::string> read_all(const spool& of, const stream_key& key,
                                                std::size_t bytes_max = 1 << 20) {
  std::map<sequence, std::string> out;
  sequence next = 1;
  int corrupt = 0;
  for (;;) {
    const auto read = of.read(key, next, bytes_max);
    if (!read) {
      INFO(read.error().message);
      REQUIRE(read.error().code == errc::corrupt);
      REQUIRE(++corrupt < 100);
      continue;
    }
    if (!read.value())
      return out;
    const auto& run = *read.value();
    REQUIRE(run.header.key == key);
    const auto records = decode_records(run);
    REQUIRE(records);
    for (const auto& record : records.value())
      out[record.seq] = std::string{as_text(record.bytes)};
    REQUIRE(run.header.last() >= next);
    next = run.header.last() + 1;
  }
}

// The records of a run as they would be read back.
inline void expect_run(std::map<sequence, std::string>& into, const run& made) {
  const auto records = decode_records(made);
  REQUIRE(records);
  for (const auto& record : records.value())
    into[record.seq] = std::string{as_text(record.bytes)};
}

} // namespace skerry::edge::testing
