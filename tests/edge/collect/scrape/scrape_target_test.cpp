#include "edge/collect/scrape/scrape_target.hpp"
#include "edge/collect/scrape/target_manager.hpp"

#include <catch2/catch.hpp>
#include <prometheus/counter.h>
#include <prometheus/registry.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

using namespace skerry;
using namespace skerry::edge;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t second = 1'000'000'000;

struct world {
  prometheus::Registry registry;
  scrape_metrics metrics{registry};
  scrape_config config;
  std::unique_ptr<scrape_target> target;
  std::int64_t now = 1'700'000'000 * second;
  std::string host;

  world() {
    config.job_name = "j";
    config.scrape_interval = 15s;
    config.scrape_timeout = 10s;
  }
  void make(labels discovered = {{"__address__", "h:1"}}) {
    auto resolved = resolve_target(std::move(discovered), config);
    REQUIRE(resolved);
    target = std::make_unique<scrape_target>(std::make_shared<const scrape_config>(config), *resolved.value(),
                                             7, metrics);
  }
  // Series without job and instance, where these are the target's, and the value at the time of this scrape.
  std::map<std::string, double> read(const collection& made) {
    std::map<std::string, double> out;
    std::map<set_hash, series_set_ptr> sets;
    for (const auto& set : made.sets)
      sets[set->hash] = decode_series_set(set->encoded).value();
    value_decoder decoder;
    for (const auto& record : made.records) {
      host = record.host;
      frame f;
      REQUIRE(decode_frame(record.payload, decoder, f));
      REQUIRE(f.time_ns == now);
      std::size_t at = 0;
      for (const auto& section : f.sections)
        for (std::size_t i = 0; i < section.series_count; ++i)
          if (section.present.empty() || ((section.present[i / 64] >> (i % 64)) & 1) != 0) {
            auto all = sets[section.set]->members[i].all;
            if (value_of(all, "job") == "j")
              set_label(all, "job", "");
            if (value_of(all, "instance") == "h:1")
              set_label(all, "instance", "");
            out[to_string(all)] = f.values[at++];
          }
    }
    return out;
  }
  std::map<std::string, double> page(std::string body, std::string type = "text/plain") {
    now += 15 * second;
    fetch_response response;
    response.status = 200;
    response.body = std::move(body);
    response.content_type = std::move(type);
    response.duration = 250ms;
    return read(target->process(response, now, 1));
  }
  std::map<std::string, double> broken(fetch_failure failure = fetch_failure::connect) {
    now += 15 * second;
    fetch_response response;
    response.failure = failure;
    response.error = "no route";
    return read(target->process(response, now, 1));
  }
};

} // namespace

TEST_CASE("a scrape tells about itself") {
  world w;
  w.config.metric_relabel_configs = {
      relabel_rule::make({{"__name__"}, ";", "go_.*", 0, "", "$1", relabel_action::drop}).value()};
  w.make();
  const auto v = w.page("a 1\nb{x=\"y\"} 2\ngo_x 3\n");
  CHECK(w.host == "h");
  CHECK(v
        == std::map<std::string, double>{{"a", 1},
                                         {"b{x=\"y\"}", 2},
                                         {"up", 1},
                                         {"scrape_duration_seconds", .25},
                                         {"scrape_samples_scraped", 3},
                                         {"scrape_samples_post_metric_relabeling", 2},
                                         {"scrape_series_added", 2}});
  CHECK(w.page("a 1\nb{x=\"y\"} 2\nc 3\n").at("scrape_series_added") == 1);
  CHECK(w.target->status().health == target_health::up);
}

TEST_CASE("a failed scrape ends every series but those about the scrape") {
  world w;
  w.make();
  w.page("a 1\nb 2\n");
  const auto v = w.broken();
  CHECK(v.at("up") == 0);
  CHECK(v.at("scrape_samples_scraped") == 0);
  CHECK(is_stale(v.at("a")));
  CHECK(is_stale(v.at("b")));
  CHECK(w.target->status().last_error == "no route");
  CHECK(w.broken().size() == 5);
  const auto back = w.page("a 1\nc 2\n");
  CHECK(back.at("up") == 1);
  CHECK(back.at("a") == 1);
  CHECK(back.at("scrape_series_added") == 1); // a was known
  const auto ended = w.read(w.target->end(w.now, 1));
  CHECK(ended.size() == 7);
  for (const auto& [name, value] : ended)
    CHECK(is_stale(value));
  CHECK(w.metrics.failed_connect.Value() == 2);
  CHECK(w.metrics.stale_markers.Value() == 2 + 7);
}

TEST_CASE("malformed lines: the rest is kept, up tells") {
  world w;
  w.make();
  const auto v = w.page("a 1\nb x\nc 3\n");
  CHECK(v.at("up") == 0);
  CHECK(v.at("a") == 1);
  CHECK(v.at("c") == 3);
  CHECK(v.at("scrape_samples_scraped") == 2);
  CHECK(w.target->status().last_error == "line 2: the value is not a number: 'b x'");
  CHECK(w.metrics.lines_refused.Value() == 1);
  CHECK(w.metrics.failed_page.Value() == 1);
  CHECK(w.page("a 1\n", "application/openmetrics-text").at("up") == 0);
  CHECK(w.page("a 1\n# EOF\n", "application/openmetrics-text").at("up") == 1);
}

TEST_CASE("series over a bound: the rest is kept, counts are of what was kept, and each scrape says so") {
  world w;
  w.make();
  for (int round = 1; round <= 2; ++round) {
    const auto v = w.page("a 1\nb{x=\"" + std::string(label_value_bytes_max + 1, 'y') + "\"} 2\n");
    CHECK(v.at("up") == 0);
    CHECK(v.at("a") == 1);
    CHECK(v.at("scrape_samples_scraped") == 2);
    CHECK(v.at("scrape_samples_post_metric_relabeling") == 1);
    CHECK(w.target->status().last_error
          == "1 of 2 samples are not kept, as their series are over a bound: series b: label x has 65537 "
             "bytes, "
             "over 65536");
    CHECK(w.target->status().last_samples == 1);
    CHECK(w.metrics.series_refused.Value() == round);
    CHECK(w.metrics.failed_limit.Value() == round);
    CHECK(w.metrics.relabel_dropped.Value() == 0);
  }
  CHECK(w.page("a 1\n").at("up") == 1);
}

TEST_CASE("more timestamps than a scrape takes: the newest are kept, and it says so") {
  world w;
  w.make();
  std::string page;
  for (std::size_t i = 0; i <= stamped_times_max; ++i)
    page += "a{i=\"" + std::to_string(i) + "\"} 1 " + std::to_string(1'700'000'000'000 + i) + "\n";
  fetch_response response;
  response.status = 200;
  response.body = page;
  response.content_type = "text/plain";
  const auto made = w.target->process(response, w.now, 1);
  CHECK(made.samples == stamped_times_max + 5);
  CHECK(w.target->status().last_samples == stamped_times_max);
  CHECK(w.target->status().health == target_health::down);
  CHECK(w.target->status().last_error.find("1 of 8193 samples are not kept, the oldest") == 0);
  CHECK(w.metrics.samples_refused.Value() == 1);
}

TEST_CASE("the names of two hosts stay two where they are cut") {
  world w;
  std::vector<std::string> hosts;
  for (const char* end : {"a", "b"}) {
    w.make({{"__address__", "h:1"}, {"host", std::string(300, 'x') + end}});
    hosts.push_back(w.target->host());
    CHECK(hosts.back().size() == 255);
  }
  CHECK(hosts[0] != hosts[1]);
}

TEST_CASE("lines about targets are bounded, and say how many were withheld") {
  target_log log;
  std::uint64_t withheld = 0;
  constexpr std::int64_t start = 1'700'000'000 * second;
  for (std::uint64_t i = 0; i < target_log::lines_max; ++i)
    REQUIRE(log.take(start + 1, withheld));
  CHECK_FALSE(log.take(start + second, withheld));
  CHECK_FALSE(log.take(start + 2 * second, withheld));
  CHECK(withheld == 0);
  CHECK(log.take(start + 61 * second, withheld));
  CHECK(withheld == 2);
  CHECK(log.take(start + 62 * second, withheld));
  CHECK(withheld == 0);
}

TEST_CASE("a refused line is shown cut, without what could disturb a log") {
  world w;
  w.make();
  static_cast<void>(w.page("a \x1b[31m" + std::string(500, 'x') + "\n"));
  const auto error = w.target->status().last_error;
  CHECK(error.size() < 200);
  CHECK(error.find('\x1b') == std::string::npos);
  CHECK(error.find("?[31mxxx") != std::string::npos);
}

TEST_CASE("no page can hold a stale marker") {
  world w;
  w.make();
  CHECK(std::bit_cast<std::uint64_t>(w.page("a NaN\n").at("a")) == 0x7ff8000000000001);
}

TEST_CASE("labels of page and target") {
  world w;
  w.make({{"__address__", "h:1"}, {"rack", "r"}, {"host", "box"}, {"site", "s"}});
  auto v = w.page("a{job=\"x\",instance=\"y\",exported_job=\"z\",rack=\"\",host=\"other\",site=\"t\"} 1\n");
  CHECK(w.host == "box");
  // As Prometheus has them. "job" and "instance" come with every target.
  REQUIRE(v.size() == 6);
  CHECK(v.contains(R"(a{exported_exported_job="x",exported_host="other",exported_instance="y",)"
                   R"(exported_job="z",exported_site="t",host="box",rack="r",site="s"})"));
  CHECK(v.contains(R"(up{host="box",rack="r",site="s"})"));

  w.make({{"__address__", "h:1"}, {"rack", "r"}});
  v = w.page("a{host=\"other\",site=\"t\"} 1\n");
  CHECK(w.host == "h");
  CHECK(v.contains(R"(a{host="other",rack="r",site="t"})"));
  CHECK(v.contains(R"(up{rack="r"})"));

  w.config.honor_labels = true;
  w.make({{"__address__", "h:1"}, {"rack", "r"}, {"host", "box"}});
  v = w.page("a{job=\"x\",instance=\"\",host=\"other\",rack=\"q\"} 1\nb{site=\"s\"} 1\n");
  CHECK(v.contains(R"(a{host="other",job="x",rack="q"})"));
  CHECK(v.contains(R"(b{host="box",rack="r",site="s"})"));
  CHECK(v.contains(R"(up{host="box",rack="r"})"));
}

TEST_CASE("limits fail the scrape as a whole") {
  const auto fails = [](auto change, const std::string& page, const std::string& why) {
    world w;
    change(w.config);
    w.make();
    w.page("ok 1\n");
    for (int i = 0; i < 2; ++i) {
      const auto v = w.page(page);
      INFO(why << " " << i << " " << w.target->status().last_error);
      CHECK(v.at("up") == 0);
      CHECK(w.target->status().last_error.starts_with(why));
      CHECK(v.size() == (i == 0 ? 6 : 5));
      if (i == 0)
        CHECK(is_stale(v.at("ok")));
    }
    CHECK(w.page("ok 1\n").at("ok") == 1);
    CHECK(w.metrics.failed_limit.Value() == 2);
  };
  fails([](auto& c) { c.sample_limit = 2; }, "ok 1\nb 2\nc 3\n", "sample_limit exceeded");
  fails([](auto& c) { c.label_limit = 4; }, "ok 1\na{x=\"1\",y=\"2\"} 2\n", "label_limit exceeded");
  fails([](auto& c) { c.label_name_length_limit = 8; }, "ok 1\na{very_long=\"1\"} 2\n",
        "label_name_length_limit exceeded");
  fails([](auto& c) { c.label_value_length_limit = 5; }, "ok 1\na{b=\"123456\"} 2\n",
        "label_value_length_limit exceeded");
  fails(
      [](auto& c) {
        c.metric_relabel_configs = {
            relabel_rule::make({{"kill"}, ";", "1", 0, "__name__", "", relabel_action::replace}).value()};
      },
      "ok 1\na{kill=\"1\"} 2\n", "metric_relabel_configs left");
}

TEST_CASE("timestamps of the page are kept, or not") {
  world w;
  w.make();
  w.now += 15 * second;
  fetch_response response;
  response.body = "a 1 1000\nb 2\n";
  const auto made = w.target->process(response, w.now, 1);
  REQUIRE(made.records.size() == 2);
  CHECK(made.records[1].time_ns == second);
  w.config.honor_timestamps = false;
  w.target->reconfigure(std::make_shared<const scrape_config>(w.config));
  CHECK(w.page("a 1 1000\nb 2\n").at("a") == 1);
  CHECK(is_stale(w.page("b 2\n").at("a")));
}

TEST_CASE("targets are spread over the interval and due at the same moments after a restart") {
  world w;
  std::map<std::int64_t, int> offsets;
  for (int i = 0; i < 200; ++i) {
    w.make({{"__address__", "h" + std::to_string(i) + ":1"}});
    const auto due = w.target->next_scrape_time(w.now);
    CHECK(due > w.now);
    CHECK(due <= w.now + 15 * second);
    CHECK(due % 1'000'000 == 0);
    CHECK(w.target->next_scrape_time(due) == due + 15 * second);
    CHECK(w.target->next_scrape_time(due - 1) == due);
    ++offsets[(due - w.now) / second];
  }
  CHECK(offsets.size() == 15);
  const auto due = w.target->next_scrape_time(w.now);
  CHECK(w.target->sample_time(due, due + 1'999'999) == due);
  CHECK(w.target->sample_time(due, due + 2'500'000) == due + 2'000'000);
}

TEST_CASE("reloading keeps the targets that stay") {
  prometheus::Registry registry;
  scrape_metrics metrics{registry};
  target_manager manager{1, metrics};
  const auto settings_of = [](const std::string& text) {
    auto document = config_document::parse(text, "edge.yml").value();
    scrape_settings out;
    read_scrape_settings(document->root(), "/", out);
    REQUIRE(document->errors() == std::vector<std::string>{});
    return out;
  };
  auto changes =
      manager.apply(settings_of("scrape_configs: [{job_name: a, static_configs: [{targets: [x, y, x]}]}]"));
  CHECK(changes.added == 2);
  REQUIRE(manager.targets().size() == 2);
  const auto x = manager.targets()[0].target;
  const auto version = manager.targets()[0].options_version;
  changes = manager.apply(
      settings_of("scrape_configs: [{job_name: a, sample_limit: 5, static_configs: [{targets: [x, z]}]}]"));
  CHECK(changes.added == 1);
  REQUIRE(changes.removed.size() == 1);
  CHECK(changes.removed[0]->host() == "y");
  CHECK(manager.targets()[0].target == x);
  CHECK(manager.targets()[0].config->sample_limit == 5);
  CHECK(manager.targets()[0].options_version == version);
  manager.apply(
      settings_of("scrape_configs: [{job_name: a, target_limit: 1, basic_auth: {username: u, password: p}, "
                  "static_configs: [{targets: [x, z]}]}]"));
  CHECK(manager.targets()[0].options_version != version);
  CHECK(std::string{x->forced_error} == "target_limit exceeded (number of targets: 2, limit: 1)");
  CHECK(manager.apply(settings_of("{}")).removed.size() == 2);
}

TEST_CASE("target files are read again when they change") {
  auto text = (std::filesystem::temp_directory_path() / "skerry_sd_XXXXXX").string();
  REQUIRE(mkdtemp(text.data()) != nullptr);
  const std::filesystem::path folder{text};
  const auto write = [&](const char* name, std::string_view content) {
    std::ofstream{folder / "new"} << content;
    std::filesystem::rename(folder / "new", folder / name); // as tools do; a new inode
  };
  prometheus::Registry registry;
  scrape_metrics metrics{registry};
  target_manager manager{1, metrics};
  scrape_settings settings;
  settings.jobs.emplace_back();
  auto& job = settings.jobs[0];
  job.job_name = "f";
  job.scrape_interval = job.scrape_timeout = 1s;
  job.file_sd_configs.push_back({{folder / "*.json", folder / "t.yml"}, 5s});
  job.http.has_basic_auth = true;
  job.http.password_file = folder / "secret";
  write("a.json", R"([{"targets":["x"],"labels":{"l":"1"}}])");
  manager.apply(settings);
  REQUIRE(manager.targets().size() == 1);
  const auto x = manager.targets()[0].target;
  CHECK(value_of(x->resolved().all, "l") == "1");
  CHECK_FALSE(manager.targets()[0].options);

  std::int64_t now = 1;
  const auto turn = [&] { return manager.refresh(now += 5 * second); };
  write("t.yml", "- targets: [y]\n");
  write("secret", "hush\n");
  CHECK(turn().added == 1);
  CHECK(manager.targets().size() == 2);
  CHECK(manager.targets()[0].options.value().password == "hush");
  const auto version = manager.targets()[0].options_version;
  write("secret", "hush2\n");
  CHECK(manager.refresh(now + 1).added == 0); // not due
  turn();
  CHECK(manager.targets()[0].options_version != version);
  write("a.json", "[{"); // broken: stays as it was
  CHECK(turn().removed.empty());
  CHECK(metrics.file_errors.Value() == 1);
  CHECK(manager.targets()[0].target == x);
  std::filesystem::remove(folder / "a.json");
  CHECK(turn().removed.size() == 1);
  CHECK(turn().removed.empty());
  std::filesystem::remove_all(folder);
}
