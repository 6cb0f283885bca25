#include "edge/collect/scrape/file_sd.hpp"
#include "edge/collect/scrape/scrape_config.hpp"
#include "edge/collect/scrape/target_labels.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::edge;
using namespace std::chrono_literals;

namespace {

struct read_back {
  scrape_settings settings;
  std::vector<std::string> errors;
};

read_back read(std::string_view text) {
  read_back out;
  auto document = config_document::parse(text, "edge.yml");
  if (!document)
    FAIL(document.error().message);
  read_scrape_settings(document.value()->root(), "/etc/skerry", out.settings);
  document.value()->root().finish();
  out.errors = document.value()->errors();
  return out;
}

bool mentions(const read_back& from, std::string_view part) {
  for (const auto& error : from.errors)
    if (error.find(part) != std::string::npos)
      return true;
  for (const auto& error : from.errors)
    UNSCOPED_INFO(error);
  return false;
}

} // namespace

TEST_CASE("a scrape configuration as Prometheus documents it") {
  const auto got = read(R"(
global: {scrape_interval: 30s, scrape_timeout: 20s}
scrape_configs:
- job_name: node
  static_configs:
  - targets: ['a:9100', 'b:9100']
    labels: {rack: r1}
- job_name: all
  scrape_interval: 5s
  scrape_timeout: 2s
  metrics_path: /m
  scheme: https
  params: {module: [http, x], q: ["a b"]}
  honor_labels: true
  honor_timestamps: false
  sample_limit: 10
  body_size_limit: 1MB
  label_limit: 3
  label_name_length_limit: 4
  label_value_length_limit: 5
  target_limit: 6
  follow_redirects: false
  proxy_url: http://proxy:3128
  enable_compression: true
  basic_auth: {username: u, password_file: secret}
  tls_config: {ca_file: ca.pem, cert_file: /c.pem, key_file: k.pem, server_name: s, insecure_skip_verify: true, min_version: TLS13}
  file_sd_configs:
  - files: ['targets/*.json', /abs/x.yml]
    refresh_interval: 1m
  relabel_configs:
  - {source_labels: [a, b], regex: '(.*);x', target_label: c, replacement: '${1}'}
  metric_relabel_configs:
  - {action: drop, source_labels: [__name__], regex: go_.*}
)");
  CHECK(got.errors == std::vector<std::string>{});
  REQUIRE(got.settings.jobs.size() == 2);
  const auto& node = got.settings.jobs[0];
  CHECK(node.scrape_interval == 30s);
  CHECK(node.scrape_timeout == 20s);
  CHECK(node.honor_timestamps);
  CHECK(node.static_configs == std::vector<target_group>{{{"a:9100", "b:9100"}, {{"rack", "r1"}}}});
  const auto& all = got.settings.jobs[1];
  CHECK(all.scrape_interval == 5s);
  CHECK(all.body_size_limit == 1 << 20);
  CHECK(all.target_limit == 6);
  CHECK(all.http.password_file == "/etc/skerry/secret");
  CHECK(all.http.tls.cert_file == "/c.pem");
  CHECK(all.http.tls.key_file == "/etc/skerry/k.pem");
  CHECK(all.http.enable_compression == true);
  CHECK_FALSE(all.http.follow_redirects);
  CHECK(all.file_sd_configs[0].files[0] == "/etc/skerry/targets/*.json");
  CHECK(all.file_sd_configs[0].files[1] == "/abs/x.yml");
  REQUIRE(all.relabel_configs.size() == 1);
  CHECK(all.relabel_configs[0].config().source_labels == std::vector<std::string>{"a", "b"});
  REQUIRE(all.metric_relabel_configs.size() == 1);
}

TEST_CASE("a timeout that is not given fits the interval") {
  const auto got = read("scrape_configs: [{job_name: a, scrape_interval: 1s}]");
  CHECK(got.errors.empty());
  CHECK(got.settings.jobs[0].scrape_timeout == 1s);
  CHECK(read("scrape_configs: [{job_name: a}]").settings.jobs[0].scrape_interval == 15s);
}

TEST_CASE("what a scrape configuration may not hold is refused with its place") {
  CHECK(mentions(read("scrape_configs:\n- {job_name: a}\n- {job_name: a}"), "edge.yml:3: "));
  CHECK(mentions(read("scrape_configs: [{scrape_interval: 1s}]"), "job_name"));
  CHECK(mentions(read("scrape_configs: [{job_name: a, scrape_interval: 1s, scrape_timeout: 2s}]"), "longer"));
  CHECK(mentions(read("scrape_configs: [{job_name: a, scrape_intervall: 1s}]"), "scrape_interval'"));
  CHECK(mentions(read("scrape_configs: [{job_name: a, scheme: ftp}]"), "http or https"));
  CHECK(mentions(read("scrape_configs: [{job_name: a, static_configs: [{targets: ['http://x/']}]}]"),
                 "host:port"));
  CHECK(mentions(read("scrape_configs: [{job_name: a, static_configs: [{labels: {a-b: x}}]}]"), "a-b"));
  CHECK(mentions(read("scrape_configs: [{job_name: a, file_sd_configs: [{files: ['x.txt']}]}]"), ".json"));
  CHECK(mentions(read("scrape_configs: [{job_name: a, relabel_configs: [{action: nope}]}]"), "nope"));
  CHECK(mentions(read("scrape_configs: [{job_name: a, relabel_configs: [{action: replce}]}]"),
                 "did you mean 'replace'?"));
  CHECK(mentions(read("scrape_configs: [{job_name: a, relabel_configs: [{target_label: a-b}]}]"),
                 "target_label"));
  const auto all = read("scrape_configs: [{job_name: a, relabel_configs: [{action: nope, regex: '(', "
                        "source_labels: [a-b, c-d]}]}]");
  for (const auto* each : {"nope", "regular expression", "a-b", "c-d"}) // every mistake at once
    CHECK(mentions(all, each));
  CHECK(mentions(read("scrape_configs: [{job_name: a, proxy_url: 'nonsense://x'}]"), "proxy_url"));
  CHECK(mentions(read("scrape_configs: [{job_name: a, tls_config: {min_version: SSL3}}]"), "TLS12"));
  CHECK(mentions(read("scrape_configs: [{job_name: a, tls_config: {cert_file: x}}]"), "key_file"));
  CHECK(mentions(read("global: {external_labels: {site: x}}"), "external_labels"));
  for (const auto* key : {"kubernetes_sd_configs", "consul_sd_configs", "http_sd_configs", "dns_sd_configs",
                          "oauth2", "enable_http2", "proxy_connect_header", "bearer_token"})
    CHECK(mentions(read(fmt::format("scrape_configs: [{{job_name: a, {}: x}}]", key)),
                   fmt::format("{}: not supported", key)));
}

TEST_CASE("secrets stay out of messages") {
  const auto got = read(
      "scrape_configs:\n- job_name: a\n  basic_auth: {username: u, password: hunter2, password_file: f}\n"
      "  authorization: {credentials: hunter2, credentials_file: f, type: Basic}\n");
  CHECK(got.errors.size() == 4);
  for (const auto& error : got.errors)
    CHECK(error.find("hunter2") == std::string::npos);
}

TEST_CASE("target files in both formats") {
  const std::vector<target_group> expected{{{"a:1", "b:2"}, {{"x", "y"}}}, {{"c:3"}, {}}};
  CHECK(parse_target_groups(
            R"([{"targets":["a:1","b:2"],"labels":{"x":"y"}},{"targets":["c:3"],"labels":null}])", true)
            .value()
        == expected);
  CHECK(parse_target_groups("- targets: [a:1, 'b:2']\n  labels: {x: y}\n- targets:\n  - c:3\n", false).value()
        == expected);
  CHECK(parse_target_groups("", false).value().empty());
  for (const char* bad :
       {"", "{", "{}", "[1]", "[{\"targets\":[1]}]", "[{\"target\":[]}]", "[{\"labels\":{\"a\":1}}]",
        "[{\"labels\":{\"a-b\":\"\"}}]", "[null]", "[{\"targets\":\"a\"}]"})
    CHECK_FALSE(parse_target_groups(bad, true));
  for (const char* bad :
       {"a: b", "- 1", "- target: []", "- targets: a", "- labels: {a-b: x}", "- [", "- targets: [[a]]"})
    CHECK_FALSE(parse_target_groups(bad, false));
}

TEST_CASE("targets get labels and URLs as Prometheus gives them") {
  scrape_config config;
  config.job_name = "job1";
  config.scrape_interval = 15s;
  config.scrape_timeout = 10s;
  const auto resolve = [&](labels discovered) {
    auto made = resolve_target(std::move(discovered), config);
    if (!made)
      FAIL(made.error().message);
    REQUIRE(made.value());
    return *made.value();
  };
  auto t = resolve({{"__address__", "db1"}, {"rack", "r"}, {"__meta_x", "y"}, {"__keep", "k"}});
  CHECK(t.url == "http://db1:80/metrics");
  CHECK(t.host() == "db1");
  CHECK(to_string(t.public_labels()) == R"({instance="db1:80",job="job1",rack="r"})");
  CHECK(value_of(t.all, "__meta_x").empty());
  CHECK(value_of(t.all, "__keep") == "k");
  CHECK(resolve({{"__address__", "[::1]:9100"}}).host() == "::1");
  CHECK(resolve({{"__address__", "[::1]"}}).url == "http://[::1]:80/metrics");
  CHECK(resolve({{"__address__", "a:1"}, {"host", "h"}}).host() == "h");

  config.scheme = "https";
  config.metrics_path = "probe x";
  config.params = {{"target", {"one", "two"}}, {"module", {"a&b"}}};
  t = resolve({{"__address__", "a"}, {"__param_extra", "é"}, {"job", "mine"}});
  CHECK(t.url == "https://a:443/probe%20x?extra=%C3%A9&module=a%26b&target=one&target=two");
  CHECK(value_of(t.all, "job") == "mine");

  // The blackbox pattern.
  config.scheme = "http";
  config.metrics_path = "/probe";
  config.params = {{"module", {"icmp"}}};
  const auto rule = [](std::vector<std::string> from, std::string to, std::string with = "$1") {
    relabel_config c;
    c.source_labels = std::move(from);
    c.target_label = std::move(to);
    c.replacement = std::move(with);
    return relabel_rule::make(c).value();
  };
  config.relabel_configs = {rule({"__address__"}, "__param_target"), rule({"__param_target"}, "instance"),
                            rule({}, "__address__", "127.0.0.1:9115")};
  t = resolve({{"__address__", "https://example.org/"}});
  CHECK(t.url == "http://127.0.0.1:9115/probe?module=icmp&target=https%3A%2F%2Fexample.org%2F");
  CHECK(value_of(t.all, "instance") == "https://example.org/");
  CHECK(t.host() == "127.0.0.1");

  config.relabel_configs = {rule({}, "__scrape_interval__", "30s"), rule({}, "__scrape_timeout__", "25s")};
  t = resolve({{"__address__", "a"}});
  CHECK(t.interval == 30s);
  CHECK(t.timeout == 25s);

  config.relabel_configs.clear();
  for (const labels& bad :
       {labels{{"x", "y"}}, labels{{"__address__", "a/b"}}, labels{{"__address__", "a?x"}},
        labels{{"__address__", "a"}, {"__scheme__", "ftp"}},
        labels{{"__address__", "a"}, {"__scrape_interval__", "0s"}},
        labels{{"__address__", "a"}, {"__scrape_interval__", "x"}},
        labels{{"__address__", "a"}, {"__scrape_timeout__", "1h"}},
        labels{{"__address__", "a"}, {"bad", "\xff"}}})
    CHECK_FALSE(resolve_target(bad, config));
  relabel_config drop;
  drop.action = relabel_action::drop;
  drop.source_labels = {"x"};
  drop.regex = "y";
  config.relabel_configs = {relabel_rule::make(drop).value()};
  CHECK_FALSE(resolve_target({{"__address__", "a"}, {"x", "y"}}, config).value());
}
