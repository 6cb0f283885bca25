#include "actors/node/config.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace skerry;
using namespace std::chrono_literals;

namespace {

std::unique_ptr<config_document> parsed(std::string_view text) {
  auto document = config_document::parse(text, "test.yml");
  if (!document)
    FAIL(document.error().message);
  return std::move(document).value();
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("every kind of value is read into its default", "[config]") {
  auto document = parsed(R"(
name: north
enabled: yes
count: 42
ratio: 0.25
hosts: [a, "b", 3]
every: 1h30m
size: 512MiB
labels: {site: x, rank: 7}
params:
  match[]: [up, down]
link:
  to: somewhere
jobs:
  - name: one
  - name: two
)");
  auto& root = document->root();
  std::string name;
  bool enabled = false;
  std::int64_t count = 0;
  double ratio = 0;
  std::vector<std::string> hosts;
  std::chrono::nanoseconds every{};
  std::uint64_t size = 0;
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<std::pair<std::string, std::vector<std::string>>> params;
  std::string to;
  std::vector<std::string> jobs;
  CHECK(root.read("name", name));
  CHECK(root.read("enabled", enabled));
  CHECK(root.read("count", count, 0, 100));
  CHECK(root.read("ratio", ratio, 0, 1));
  CHECK(root.read("hosts", hosts));
  CHECK(root.read("every", every));
  CHECK(root.read_bytes("size", size));
  CHECK(root.read("labels", labels));
  CHECK(root.read("params", params));
  root.section("link", [&](config_section& link) { link.read("to", to); });
  root.list("jobs", [&](config_section& job) { job.read("name", jobs.emplace_back()); });
  root.finish();
  CHECK(document->errors().empty());
  CHECK(name == "north");
  CHECK(enabled);
  CHECK(count == 42);
  CHECK(ratio == 0.25);
  CHECK(hosts == std::vector<std::string>{"a", "b", "3"});
  CHECK(every == 90min);
  CHECK(size == 512u << 20);
  CHECK(labels == std::vector<std::pair<std::string, std::string>>{{"site", "x"}, {"rank", "7"}});
  CHECK(params == std::vector<std::pair<std::string, std::vector<std::string>>>{{"match[]", {"up", "down"}}});
  CHECK(to == "somewhere");
  CHECK(jobs == std::vector<std::string>{"one", "two"});
  CHECK(root.has("link"));
  CHECK(!root.has("lonk"));
  CHECK(root.line("count") == 4);
  CHECK(root.line("missing") == 0);
}

TEST_CASE("an unknown key is refused at its line, with the nearest known one", "[config]") {
  auto document = parsed("scrape_configs:\n  - job_name: a\n    scrape_intervall: 15s\n    zzz: 1\n");
  auto& root = document->root();
  root.list("scrape_configs", [](config_section& job) {
    std::string name;
    std::chrono::nanoseconds interval{};
    job.read("job_name", name);
    job.read("scrape_interval", interval);
    job.refuse("proxy_url", "no proxies yet");
  });
  root.finish();
  REQUIRE(document->errors().size() == 2);
  CHECK(document->errors()[0]
        == "test.yml:3: scrape_configs[0].scrape_intervall: unknown key; did you mean 'scrape_interval'?");
  CHECK(contains(document->errors()[1], "test.yml:4: scrape_configs[0].zzz: unknown key"));
}

TEST_CASE("all mistakes are reported at once, in the order of lines", "[config]") {
  auto document = parsed(
      "a: x\nb: maybe\nc: 70000\nd: 5 s\ne: []\nf: scalar\ng: [1]\nh: {x: [1]}\ni:\nj: 10XB\nk: nan\n");
  auto& root = document->root();
  std::int64_t number = 7;
  bool flag = false;
  std::chrono::nanoseconds duration{1};
  std::string text = "kept";
  std::vector<std::string> list;
  std::vector<std::pair<std::string, std::string>> map;
  std::uint64_t bytes = 1;
  double real = 0;
  CHECK(!root.read("k", real, 0, 1));
  CHECK(!root.read_bytes("j", bytes));
  CHECK(!root.read("i", text));
  CHECK(!root.read("h", map));
  root.list("g", [](config_section&) {});
  CHECK(!root.read("f", list));
  CHECK(!root.read("e", text));
  CHECK(!root.read("d", duration));
  CHECK(!root.read("c", number, 1, 65535));
  CHECK(!root.read("b", flag));
  CHECK(!root.read("a", number, 1, 65535));
  root.finish();
  CHECK(number == 7);
  CHECK(text == "kept");
  REQUIRE(document->errors().size() == 11);
  for (int i = 0; i < 11; ++i)
    CHECK(document->errors()[i].starts_with("test.yml:" + std::to_string(i + 1) + ": "));
  CHECK(contains(document->errors()[2], "from 1 to 65535"));
  CHECK(contains(document->errors()[6], "g[0]"));
}

TEST_CASE("duplicate keys, odd keys, merge keys and refused keys are named", "[config]") {
  auto document = parsed("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n? [x]\n: 1\n<<: {}\nproxy_url: x\n");
  auto& root = document->root();
  std::string a;
  root.read("a", a);
  root.refuse("proxy_url", "this build connects directly");
  root.refuse("absent", "nobody hears this");
  root.section("b", [](config_section& b) {
    std::int64_t n = 0;
    b.read("c", n, 0, 9);
    CHECK(n == 1); // the first counts until the user has removed one
    b.read("d", n, 0, 9);
  });
  root.complain("a", "is odd");
  root.complain("none", "is required");
  root.finish();
  root.finish(); // says nothing twice
  const auto& errors = document->errors();
  REQUIRE(errors.size() == 6);
  CHECK(errors[0] == "test.yml:1: a: is odd");
  CHECK(errors[1] == "test.yml:1: none: is required");
  CHECK(contains(errors[2], "test.yml:5: b.c: the key is given twice (first in line 3)"));
  CHECK(contains(errors[3], "test.yml:6: document: a key must be a single word"));
  CHECK(contains(errors[4], "test.yml:8: <<: merge keys are not supported"));
  CHECK(errors[5] == "test.yml:9: proxy_url: not supported: this build connects directly");
}

TEST_CASE("what is not a configuration is malformed, with its line", "[config]") {
  const auto failing = [](std::string_view text) {
    auto document = config_document::parse(text, "x.yml");
    REQUIRE(!document);
    CHECK(document.error().code == errc::malformed);
    return document.error().message;
  };
  CHECK(contains(failing("a: 1\nb: [1, 2\nc: }"), "x.yml:"));
  CHECK(contains(failing("- a\n- b\n"), "must be a mapping"));
  CHECK(contains(failing("text"), "must be a mapping"));
  CHECK(contains(failing("a: 1\n---\nb: 1\n"), "x.yml:2: the first YAML document ends here"));
  CHECK(contains(failing("# c\n, x"), "the first YAML document ends here"));
  CHECK(contains(failing("a: *nowhere"), "x.yml:1: not valid YAML"));
  CHECK(contains(failing(std::string(5 << 20, '#')), "larger than"));
  CHECK(contains(failing("a: &a [*a]"), "x.yml:1:"));
  CHECK(contains(failing("a: " + std::string(100, '[') + std::string(100, ']')), "levels deep"));
  failing("a: " + std::string(200'000, '['));
  failing("a: " + std::string(200'000, '{'));
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j)
      bomb += "*a" + std::to_string(i - 1) + ",";
    bomb += "x]\n";
  }
  CHECK(contains(failing(bomb), "fewer aliases"));
}

TEST_CASE("an empty configuration and honest aliases are fine", "[config]") {
  CHECK(parsed("")->errors().empty());
  CHECK(parsed("# nothing\n")->errors().empty());
  auto document = parsed("base: &b {x: 1}\nother: *b\n");
  auto& root = document->root();
  int seen = 0;
  for (const auto* key : {"base", "other"})
    root.section(key, [&](config_section& s) {
      std::int64_t x = 0;
      s.read("x", x, 0, 9);
      seen += static_cast<int>(x);
    });
  root.finish();
  CHECK(seen == 2);
  CHECK(document->errors().empty());
}

TEST_CASE("files that can't be read say so", "[config]") {
  const auto missing = config_document::load("/nonexistent/skerry.yml");
  REQUIRE(!missing);
  CHECK(missing.error().code == errc::not_found);
  const auto folder = config_document::load("/");
  REQUIRE(!folder);
  CHECK(folder.error().code == errc::io);
}

TEST_CASE("random text never throws or crashes", "[config]") {
  const char* from_environment = std::getenv("SKERRY_SEED");
  const auto seed = from_environment != nullptr ? std::stoull(from_environment) : 20240501ULL;
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  static constexpr std::string_view alphabet = "ab:-[]{}&*!|>'\"%@`#,?\n \t~<01.\\\x01\xff";
  for (int round = 0; round < 3'000; ++round) {
    std::string text;
    for (auto length = random() % 60; length != 0; --length)
      text += alphabet[random() % alphabet.size()];
    INFO(text);
    auto document = config_document::parse(text, "r");
    if (!document) {
      CHECK(document.error().message.starts_with("r:"));
      continue;
    }
    auto& root = document.value()->root();
    std::string value;
    std::vector<std::string> list;
    root.read("a", value);
    root.read("b", list);
    root.section("ab", [](config_section&) {});
    root.list("ba", [](config_section&) {});
    root.finish();
  }
}

TEST_CASE("durations are Prometheus'", "[config]") {
  const std::vector<std::pair<std::string, std::chrono::nanoseconds>> good{{"0", 0ns},
                                                                           {"0s", 0ns},
                                                                           {"324ms", 324ms},
                                                                           {"3s", 3s},
                                                                           {"5m", 5min},
                                                                           {"1h", 1h},
                                                                           {"4d", 96h},
                                                                           {"3w", 21 * 24h},
                                                                           {"10y", 3650 * 24h},
                                                                           {"1h30m", 90min},
                                                                           {"4d1h", 97h},
                                                                           {"14d", 14 * 24h},
                                                                           {"8w5d", 61 * 24h},
                                                                           {"3w2d1h", 23 * 24h + 1h},
                                                                           {"10m3s5ms", 10min + 3s + 5ms}};
  for (const auto& [text, value] : good) {
    INFO(text);
    const auto parsed = parse_duration(text);
    REQUIRE(parsed);
    CHECK(parsed.value() == value);
    CHECK(parse_duration(format_duration(value)).value() == value);
  }
  for (const auto* bad : {"", "1", "1y1m1d", "-1w", "1.5d", "d", "1 h", "1h ", "1hm", "1s1s", "1ms1s", "294y",
                          "+1s", "99999999999999999999s", "0x1s", "1S", "5min"}) {
    INFO(bad);
    const auto parsed = parse_duration(bad);
    REQUIRE(!parsed);
    CHECK(parsed.error().code == errc::malformed);
  }
  CHECK(format_duration(0ns) == "0s");
  CHECK(format_duration(90min) == "1h30m");
  CHECK(format_duration(8 * 24h) == "8d");
  CHECK(format_duration(7 * 24h) == "1w");
  CHECK(format_duration(365 * 24h) == "1y");
  CHECK(format_duration(-15s) == "-15s");
  CHECK(format_duration(1500us) == "1ms500us");
  CHECK(format_duration(std::chrono::nanoseconds::min()).starts_with("-"));
}

TEST_CASE("sizes are powers of 1024", "[config]") {
  const std::vector<std::pair<std::string, std::uint64_t>> good{{"0", 0},
                                                                {"1024", 1024},
                                                                {"5B", 5},
                                                                {"512MiB", 512u << 20},
                                                                {"10GB", 10ull << 30},
                                                                {"1.5KiB", 1536},
                                                                {"3 MiB", 3u << 20},
                                                                {"2k", 2048},
                                                                {"2Ki", 2048},
                                                                {"1TiB", 1ull << 40},
                                                                {"15EiB", 15ull << 60}};
  for (const auto& [text, value] : good) {
    INFO(text);
    const auto parsed = parse_bytes(text);
    REQUIRE(parsed);
    CHECK(parsed.value() == value);
  }
  for (const auto* bad : {"", "B", "-1", "1.5", "1.5B", "1.KiB", ".5KiB", "1XB", "1KiBs", "16EiB", "1..2KiB",
                          "99999999999999999999", "0x10", "1e3", "1 "}) {
    INFO(bad);
    CHECK(!parse_bytes(bad));
  }
  CHECK(format_bytes(0) == "0 B");
  CHECK(format_bytes(1023) == "1023 B");
  CHECK(format_bytes(1536) == "1.5 KiB");
  CHECK(format_bytes((1 << 20) - 1) == "1 MiB");
  CHECK(format_bytes(~0ull) == "16 EiB");
}

TEST_CASE("suggestions are near or absent", "[config]") {
  const std::vector<std::string> keys{"scrape_interval", "scrape_timeout", "job_name", "data"};
  CHECK(nearest("scrape_intervall", keys) == "scrape_interval");
  CHECK(nearest("scrap_timeout", keys) == "scrape_timeout");
  CHECK(nearest("jbo_name", keys) == "job_name");
  CHECK(nearest("dtaa", keys) == "data");
  CHECK(nearest("completely", keys).empty());
  CHECK(nearest("", keys).empty());
  CHECK(nearest(std::string(10'000, 'x'), keys).empty());
}
