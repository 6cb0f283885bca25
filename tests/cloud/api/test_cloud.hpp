#pragma once

// A cloud node without anything behind it but memory: the real HTTP server, the real routes, a series source
// in memory and a fake of the node's operations.

#include "cloud/api/routes.hpp"
#include "cloud/api/site_feed.hpp"
#include "cloud/ledger/ledger.hpp"
#include "tests/actors/http/client.hpp"
#include "tests/actors/promql/memory_source.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <prometheus/registry.h>

#include <cstdlib>
#include <filesystem>
#include <mutex>

namespace skerry::cloud::test {

inline constexpr std::int64_t now_s = 1'700'000'000;

class fixed_clock : public clock_source {
public:
  [[nodiscard]] std::int64_t wall_ns() const noexcept override { return now_s * 1'000'000'000; }
  [[nodiscard]] std::int64_t monotonic_ns() const noexcept override { return 1; }
};

class fake_node : public node_operations {
public:
  std::vector<site_status> sites() override {
    const std::lock_guard lock{mutex};
    return all_sites;
  }
  std::vector<host_status> hosts() override { return all_hosts; }
  result<void> healthy() override {
    if (!is_healthy)
      return fail(errc::unavailable, "nothing can be stored: No space left on device");
    return ok();
  }
  result<void> ready() override {
    if (!is_ready)
      return fail(errc::unavailable, "the log is being read");
    return ok();
  }
  result<std::string> reload() override {
    if (!reload_works)
      return fail(errc::invalid_argument, "cloud.yaml:3: unknown key");
    ++reloads;
    return std::string{"read again"};
  }
  result<invite> make_invite(const invite_request& request) override {
    const std::lock_guard lock{mutex};
    if (made.size() >= invites_max)
      return fail(errc::exhausted, "too many open invites");
    made.push_back({"i" + std::to_string(made.size()), request.site,
                    "skerry1.secret" + std::to_string(made.size()),
                    fixed_clock{}.wall_ns() + request.ttl.count(), request.edge, false});
    return made.back();
  }
  result<std::vector<invite>> invites() override {
    const std::lock_guard lock{mutex};
    return made;
  }
  result<void> revoke(edge_id edge) override {
    const std::lock_guard lock{mutex};
    for (auto& s : all_sites)
      if (s.edge == edge) {
        s.state = link_state::revoked;
        return ok();
      }
    return fail(errc::not_found, "no edge " + to_string(edge));
  }

  std::mutex mutex;
  std::vector<site_status> all_sites;
  std::vector<host_status> all_hosts;
  std::vector<invite> made;
  std::size_t invites_max = 100;
  std::atomic<bool> is_healthy{true};
  std::atomic<bool> is_ready{true};
  std::atomic<bool> reload_works{true};
  std::atomic<int> reloads{0};
};

class fake_ledger final : public ledger_reader {
public:
  result<std::vector<loss_entry>> losses(const ledger_request& request) override {
    asked = request;
    return all;
  }
  result<std::vector<host_coverage>> completeness(const ledger_request& request) override {
    asked = request;
    return hosts;
  }

  std::vector<loss_entry> own_damage(std::int64_t, std::int64_t) override { return own; }

  ledger_request asked;
  std::vector<loss_entry> all;
  std::vector<loss_entry> own;
  std::vector<host_coverage> hosts;
};

class temporary_directory {
public:
  temporary_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "skerry-api-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
};

class test_cloud {
public:
  explicit test_cloud(query_pool_config pool_config = {}, query_limits limits = {},
                      std::uint64_t answers_bytes_max = 256 << 20)
      : pool(pool_config, registry), lookups({}, registry) {
    const std::int64_t ms = now_s * 1'000;
    source.add({{"__name__", "up"}, {"job", "p"}, {"host", "a"}, {"site", "s"}}, {{ms - 15'000, 0}, {ms, 1}});
    source.add({{"__name__", "up"}, {"job", "p"}, {"host", "b"}, {"site", "s"}}, {{ms - 15'000, 1}});
    source.add({{"__name__", "load"}, {"host", "a<\x1b[31m"}}, {{ms, 0.25}});
    source.add_metadata({"load", metric_type::gauge, "Load \"average\".", ""});
    source.add_metadata({"up", metric_type::gauge, "One.", ""});
    source.add_metadata({"up", metric_type::unknown, "Two.", "s"});
    site_status first;
    first.site = "harbour";
    first.edge = edge_id{0x00c0ffee00c0ffee};
    first.state = link_state::connected;
    first.last_heard_ns = fixed_clock{}.wall_ns();
    first.hosts = 1;
    first.series = 507;
    first.samples_per_second = 33.8;
    first.completeness = "complete";
    first.bytes_on_link_today = 3 << 20;
    first.key_fingerprints = {"ab12"};
    site_status second;
    second.site = "island";
    second.edge = edge_id{2};
    second.pending_records = 12;
    second.pending_bytes = 4096;
    node.all_sites = {first, second};
    host_status host;
    host.site = "harbour";
    host.host = "a";
    host.series = 507;
    host.last_sample_ns = fixed_clock{}.wall_ns();
    node.all_hosts = {host};
    context.source = &source;
    context.queries = &pool;
    context.lookups = &lookups;
    context.node = &node;
    context.feed = &feed;
    context.ledger = &ledger;
    context.clock = &clock;
    context.metrics = [](const http::request&, http::responder_ptr to) {
      to->answer({200, "text/plain", "skerry_up 1\n", {}});
    };
    context.build = {"0.1.0", "abc"};
    context.limits = limits;
    context.memory = memory = std::make_shared<memory_budget>(limits.memory_bytes_max);
    context.answers = std::make_shared<memory_budget>(answers_bytes_max);
    http::server_config config;
    config.listen = "127.0.0.1:0";
    config.unix_socket = socket();
    config.answers = context.answers;
    auto started = http::server::start(config, make_routes(context), registry);
    if (!started)
      FAIL(started.error().message);
    server = std::move(started.value());
  }

  std::shared_ptr<memory_budget> memory; // of all queries

  // What the counter with this one label says.
  double counted(const std::string& name, const std::string& label) {
    for (const auto& family : registry.Collect())
      for (const auto& metric : family.metric)
        if (family.name == name && metric.label.size() == 1 && metric.label[0].value == label)
          return metric.counter.value;
    return -1;
  }

  [[nodiscard]] std::string socket() const { return (directory.path() / "operator.sock").string(); }
  [[nodiscard]] std::string url() const { return "http://" + server->address(); }

  // Checks nothing, hence good for other threads than the test's own.
  std::optional<http::test::reply> try_ask(std::string_view target, std::string_view method = "GET",
                                           std::string_view body = {}, bool over_socket = false) const {
    http::test::client client{over_socket ? socket() : server->address()};
    std::string text{method};
    text += ' ';
    text += target;
    text += " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    if (method != "GET") {
      text += "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ";
      text += std::to_string(body.size()) + "\r\n";
    }
    text += "\r\n";
    text += body;
    if (!client.send(text))
      return std::nullopt;
    return client.receive();
  }
  http::test::reply ask(std::string_view target, std::string_view method = "GET", std::string_view body = {},
                        bool over_socket = false) const {
    auto got = try_ask(target, method, body, over_socket);
    REQUIRE(got);
    return *got;
  }

  api_context context; // as the server has it
  temporary_directory directory;
  prometheus::Registry registry;
  fixed_clock clock;
  promql::test::memory_source source;
  fake_node node;
  site_feed feed{node, 1};
  fake_ledger ledger;
  query_pool pool; // ends before what its queries use
  query_pool lookups;
  std::unique_ptr<http::server> server; // ends first: no request comes any more
};

} // namespace skerry::cloud::test
