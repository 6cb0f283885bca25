#pragma once

// A store in a temporary directory, records to put into it, and a model of what it must answer.

#include "cloud/store/embedded_engine.hpp"
#include "cloud/store/sealer.hpp"
#include "schemas/model/frame.hpp"
#include "schemas/model/payload.hpp"

#include <catch2/catch.hpp>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>
#include <random>
#include <set>
#include <unistd.h>

namespace skerry::cloud::test {

namespace fs = std::filesystem;

class temporary_directory {
public:
  temporary_directory() {
    // In memory where that goes: the tests sync thousands of times.
    const fs::path memory{"/dev/shm"};
    const bool usable = ::access(memory.c_str(), W_OK) == 0;
    std::string name = ((usable ? memory : fs::temp_directory_path()) / "skerry-store-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~temporary_directory() {
    std::error_code ec;
    fs::remove_all(path_, ec);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

private:
  fs::path path_;
};

class fixed_clock final : public clock_source {
public:
  std::atomic<std::int64_t> wall{1'700'000'000'000'000'000};
  std::atomic<std::int64_t> monotonic{0};
  [[nodiscard]] std::int64_t wall_ns() const noexcept override { return wall; }
  [[nodiscard]] std::int64_t monotonic_ns() const noexcept override {
    return system_clock().monotonic_ns() + monotonic;
  }
};

inline fixed_clock& test_clock() {
  static fixed_clock clock;
  return clock;
}

struct store {
  std::unique_ptr<prometheus::Registry> registry = std::make_unique<prometheus::Registry>();
  std::unique_ptr<embedded_store> db;

  embedded_store* operator->() const { return db.get(); }

  [[nodiscard]] double metric(const std::string& name) const {
    double sum = 0;
    for (const auto& family : registry->Collect())
      if (family.name == name)
        for (const auto& m : family.metric)
          sum += m.counter.value + m.gauge.value;
    return sum;
  }
};

inline embedded_config small_config(const fs::path& directory) {
  embedded_config config;
  config.directory = directory;
  config.log_segment_bytes = 256 << 10;
  config.log_bytes_max = 16 << 20;
  config.retention = std::chrono::nanoseconds{0};
  config.scrub_bytes_per_second = 0; // what is read is the test's own doing
  return config;
}

inline store open_store(const embedded_config& config, std::function<void(const char*)> step = {},
                        std::size_t seal_step_pages = cloud::seal_step_pages) {
  store s;
  embedded_hooks hooks;
  hooks.clock = &test_clock();
  hooks.seal_step = std::move(step);
  hooks.seal_step_pages = seal_step_pages;
  auto opened = open_embedded_engine(config, *s.registry, std::move(hooks));
  if (!opened)
    FAIL(opened.error().message);
  s.db = std::move(opened.value());
  return s;
}

inline result<void> append(engine& db, append_request request) {
  std::promise<result<void>> done;
  auto future = done.get_future();
  db.append(std::move(request), [&](result<void> how) { done.set_value(std::move(how)); });
  return future.get();
}

inline result<void> put_state(engine& db, std::vector<state_update> updates) {
  std::promise<result<void>> done;
  auto future = done.get_future();
  db.put_state(std::move(updates), [&](result<void> how) { done.set_value(std::move(how)); });
  return future.get();
}

inline std::map<std::string, std::string> all_state(engine& db, std::string_view prefix = "") {
  std::map<std::string, std::string> all;
  REQUIRE(db.scan_state(prefix, [&](auto key, auto value) { all.emplace(key, value); }));
  return all;
}

// A set of `count` gauges m0, m1, … with a label each, and those of `more`.
inline series_set_ptr make_set(const std::string& job, std::size_t count, std::size_t first = 0,
                               const labels& more = {}) {
  std::vector<metric_family> families;
  std::vector<series> members;
  for (std::size_t i = 0; i < count; ++i) {
    const auto name = "m" + std::to_string((first + i) / 2);
    if (families.empty() || families.back().name != name)
      families.push_back({name, metric_type::gauge, "help of " + name, ""});
    labels all{{std::string{label_name}, name}, {"job", job}, {"n", std::to_string(first + i)}};
    all.insert(all.end(), more.begin(), more.end());
    sort_labels(all);
    members.push_back({static_cast<std::uint32_t>(families.size() - 1), std::move(all)});
  }
  return make_series_set(std::move(families), std::move(members));
}

// Collects records of one run and makes a request of it.
class request_builder {
public:
  request_builder(edge_id edge, std::string site, sequence first = 1, std::uint64_t boot = 1)
      : key_{edge, {boot, {9, 9}}, stream_id::telemetry},
        site_(std::move(site)),
        builder_(key_, first),
        next_(first) {}

  request_builder& frame_of(std::string_view host, const frame& f, const std::vector<series_set_ptr>& sets) {
    byte_buffer payload;
    encode_frame(f, encoder_, payload);
    next_ = builder_.append(record_kind::frame, f.time_ns, host, payload) + 1;
    for (const auto& s : sets)
      if (std::find(sets_.begin(), sets_.end(), s) == sets_.end())
        sets_.push_back(s);
    return *this;
  }
  // All values of one set at one time.
  request_builder& values(std::string_view host, const series_set_ptr& set, std::int64_t time_ns,
                          std::vector<double> values) {
    frame f;
    f.time_ns = time_ns;
    f.sections.push_back({set->hash, static_cast<std::uint16_t>(set->members.size()), {}});
    f.values = std::move(values);
    return frame_of(host, f, {set});
  }
  request_builder& note(record_kind kind, std::string_view host, std::int64_t time_ns, bytes_view payload,
                        std::uint64_t sequences = 1) {
    next_ = builder_.append(kind, time_ns, host, payload, sequences) + sequences;
    return *this;
  }
  request_builder& state(std::string key, std::string value, bool appends = false) {
    state_.push_back({std::move(key), std::move(value), appends});
    return *this;
  }
  [[nodiscard]] const stream_key& key() const { return key_; }
  [[nodiscard]] sequence next() const { return next_; }
  [[nodiscard]] append_request take() {
    append_request r;
    r.site = site_;
    r.origin = key_;
    r.sets = sets_;
    r.state = state_;
    if (!builder_.empty()) {
      const auto made = std::move(builder_).finish();
      r.ranges.add({made.header.first, made.header.last()});
      r.records = decode_records(made).value();
      r.owner = made.bytes.owner;
    }
    return r;
  }

private:
  stream_key key_;
  std::string site_;
  run_builder builder_;
  sequence next_;
  value_encoder encoder_;
  std::vector<series_set_ptr> sets_;
  std::vector<state_update> state_;
};

using samples_by_time = std::map<std::int64_t, std::uint64_t>; // ms -> bits
using answer = std::map<std::string, samples_by_time>;         // labels -> samples

inline promql::matcher match(promql::match_op op, std::string name, std::string value) {
  return promql::matcher::make(op, std::move(name), std::move(value)).value();
}

inline promql::select_request everything() {
  promql::select_request r;
  r.from_ms = INT64_MIN;
  r.to_ms = INT64_MAX;
  return r;
}

inline answer select(engine& db, const promql::select_request& request) {
  answer all;
  const auto done = db.select(request, [&](const promql::series_view& s) {
    REQUIRE(s.times_ms.size() == s.values.size());
    REQUIRE(std::is_sorted(s.times_ms.begin(), s.times_ms.end()));
    auto& series = all[to_string(s.all)];
    REQUIRE(series.empty()); // each series once
    for (std::size_t i = 0; i < s.times_ms.size(); ++i)
      REQUIRE(series.emplace(s.times_ms[i], std::bit_cast<std::uint64_t>(s.values[i])).second);
  });
  if (!done)
    FAIL(done.error().message);
  return all;
}

inline std::uint64_t seed_from_environment(std::uint64_t otherwise) {
  const char* text = std::getenv("SKERRY_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// What a store must answer, by the rules and without its machinery.
class model {
public:
  // `site` is that of the edge that it came from; empty of what was pushed to the cloud.
  void add(std::string_view site, const labels& of, std::int64_t time_ns, double value) {
    auto all = of;
    if (value_of(all, "site").empty())
      all.push_back({"site", std::string{site}});
    sort_labels(all);
    auto& times = series_[to_string(all)];
    const auto [it, fresh] = times.try_emplace(time_ns, value);
    if (!fresh)
      it->second = better(it->second, value);
  }
  [[nodiscard]] answer expected(std::int64_t from_ms = INT64_MIN, std::int64_t to_ms = INT64_MAX) const {
    answer all;
    for (const auto& [name, times] : series_) {
      samples_by_time one;
      for (const auto& [ns, value] : times) {
        const auto ms = ns >= 0 ? ns / 1'000'000 : -((-ns + 999'999) / 1'000'000);
        if (ms >= from_ms && ms <= to_ms)
          one[ms] = std::bit_cast<std::uint64_t>(value); // the last within a millisecond
      }
      if (!one.empty())
        all.emplace(name, std::move(one));
    }
    return all;
  }

private:
  static double better(double a, double b) {
    if (is_stale(a) || is_stale(b))
      return is_stale(a) ? b : a;
    const auto rank = [](double v) { // sign and magnitude as one ascending number
      const auto bits = std::bit_cast<std::uint64_t>(v);
      return (bits >> 63) != 0 ? ~bits : bits | std::uint64_t{1} << 63;
    };
    return rank(a) >= rank(b) ? a : b;
  }
  std::map<std::string, std::map<std::int64_t, double>> series_;
};

inline double random_value(std::mt19937_64& rng) {
  switch (rng() % 10) {
  case 0: return std::bit_cast<double>(rng());
  case 1: return stale_marker();
  case 2: return -0.0;
  case 3: return std::numeric_limits<double>::infinity();
  case 4: return std::bit_cast<double>(0x7ff8000000000000 | (rng() & 0xffff));
  case 5: return 0;
  default: return static_cast<double>(rng() % 100'000) / 100.0;
  }
}

} // namespace skerry::cloud::test
