#include "tests/cloud/api/test_cloud.hpp"

#include <fmt/format.h>

#include <chrono>
#include <future>
#include <thread>

using namespace skerry;
using namespace skerry::cloud;
using nlohmann::json;
using skerry::cloud::test::test_cloud;

namespace {

struct row {
  std::string target;
  int status;
  std::string body; // what stands in it
};

std::string bad(std::string_view message) {
  return R"({"status":"error","errorType":"bad_data","error":)" + json(message).dump() + "}";
}

constexpr std::chrono::seconds patience{20};

// In the place of a long query: until it is cancelled, which it returns; false when that takes too long.
bool wait_cancelled(const promql::test::memory_source& source) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (!source.last.cancelled->load() && std::chrono::steady_clock::now() < give_up)
    std::this_thread::yield();
  return source.last.cancelled->load();
}

} // namespace

TEST_CASE("answers are Prometheus' byte for byte") {
  test_cloud cloud;
  const std::string up_a = R"({"__name__":"up","host":"a","job":"p","site":"s"})";
  const std::string up_b = R"({"__name__":"up","host":"b","job":"p","site":"s"})";
  const std::string points =
      "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
      "resolution (?step=XX)";
  const std::vector<row> table{
      {"query?query=up", 200,
       R"({"status":"success","data":{"resultType":"vector","result":[{"metric":)" + up_a
           + R"(,"value":[1700000000,"1"]},{"metric":)" + up_b + R"(,"value":[1700000000,"1"]}]}})"},
      {"query?query=up&time=1699999990.5", 200,
       R"({"status":"success","data":{"resultType":"vector","result":[{"metric":)" + up_a
           + R"(,"value":[1699999990.500,"0"]},{"metric":)" + up_b + R"(,"value":[1699999990.500,"1"]}]}})"},
      {"query?query=up&time=2023-11-14T22:13:19Z&lookback_delta=1s", 200,
       R"({"status":"success","data":{"resultType":"vector","result":[]}})"},
      {"query?query=up%7Bhost%3D%22a%22%7D%5B1m%5D", 200,
       R"({"status":"success","data":{"resultType":"matrix","result":[{"metric":)" + up_a
           + R"(,"values":[[1699999985,"0"],[1700000000,"1"]]}]}})"},
      {"query?query=1e21&time=1.5", 200,
       R"({"status":"success","data":{"resultType":"scalar","result":[1.5,"1000000000000000000000"]}})"},
      {"query?query=%22x%22&time=1", 200,
       R"({"status":"success","data":{"resultType":"string","result":[1,"x"]}})"},
      {"query_range?query=up%7Bhost%3D%22a%22%7D&start=1699999980&end=1700000001&step=10", 200,
       R"({"status":"success","data":{"resultType":"matrix","result":[{"metric":)" + up_a
           + R"(,"values":[[1699999990,"0"],[1700000000,"1"]]}]}})"},
      {"query", 400, bad("invalid parameter \"query\": 1:1: parse error: no expression found in input")},
      {"query?query=up%7B", 400,
       bad("invalid parameter \"query\": 1:4: parse error: unexpected end of input inside braces")},
      {"query_range?query=up%7B&start=1&end=2&step=1", 400,
       bad("1:4: parse error: unexpected end of input inside braces")},
      {"query?query=up&time=x", 400,
       bad("invalid parameter \"time\": Invalid time value for 'time': cannot parse \"x\" to a valid "
           "timestamp")},
      {"query?query=up&timeout=x", 400,
       bad("invalid parameter \"timeout\": cannot parse \"x\" to a valid duration")},
      {"query?query=up&lookback_delta=x", 400,
       bad("error parsing lookback delta duration: cannot parse \"x\" to a valid duration")},
      {"query_range?query=up", 400,
       bad("invalid parameter \"start\": cannot parse \"\" to a valid timestamp")},
      {"series?match[]=up&start=2&end=1", 200, R"({"status":"success","data":[]})"},
      {"labels?start=2&end=1", 200, R"({"status":"success","data":[]})"},
      {"label/job/values?start=2&end=1", 200, R"({"status":"success","data":[]})"},
      {"query_range?query=up&start=1&end=0&step=1", 400,
       bad("invalid parameter \"end\": end timestamp must not be before start time")},
      {"query_range?query=up&start=1&end=2&step=0", 400,
       bad("invalid parameter \"step\": zero or negative query resolution step widths are not accepted. Try "
           "a positive "
           "integer")},
      {"query_range?query=up&start=1&end=2&step=x", 400,
       bad("invalid parameter \"step\": cannot parse \"x\" to a valid duration")},
      {"query_range?query=up&start=1&end=11002&step=1", 400, bad(points)},
      {"query_range?query=up&start=1&end=11001&step=1", 200,
       R"({"status":"success","data":{"resultType":"matrix","result":[]}})"},
      {"query_range?query=up%5B5m%5D&start=1&end=2&step=1", 400,
       bad("invalid expression type \"range vector\" for range query, must be Scalar or instant Vector")},
      {"series", 400, bad("no match[] parameter provided")},
      {"series?match[]=up%7Bhost=%22a%22%7D", 200, R"({"status":"success","data":[)" + up_a + "]}"},
      {"series?match[]=up&match[]=%7Bhost=%22b%22%7D", 200,
       R"({"status":"success","data":[)" + up_a + "," + up_b + "]}"},
      {"series?match[]=up&limit=1", 200,
       R"({"status":"success","data":[)" + up_a + R"(],"warnings":["results truncated due to limit"]})"},
      {"series?match[]=sum(up)", 400,
       bad("invalid parameter \"match[]\": 1:4: parse error: unexpected \"(\"")},
      {"series?match[]=up&start=x", 400,
       bad("invalid parameter \"start\": Invalid time value for 'start': cannot parse \"x\" to a valid "
           "timestamp")},
      {"labels", 200, R"({"status":"success","data":["__name__","host","job","site"]})"},
      {"labels?match[]=load", 200, R"({"status":"success","data":["__name__","host"]})"},
      {"labels?start=1&end=2", 200, R"({"status":"success","data":[]})"},
      {"label/host/values", 200, R"({"status":"success","data":["a","a\u003c\u001b[31m","b"]})"},
      {"label/host/values?match[]=up", 200, R"({"status":"success","data":["a","b"]})"},
      {"label/nope/values", 200, R"({"status":"success","data":[]})"},
      {"label/a-b/values", 400, bad("invalid label name: \"a-b\"")},
      {"metadata", 200,
       R"({"status":"success","data":{"load":[{"type":"gauge","help":"Load \"average\".","unit":""}],)"
       R"("up":[{"type":"gauge","help":"One.","unit":""},{"type":"unknown","help":"Two.","unit":"s"}]}})"},
      {"metadata?metric=load", 200,
       R"({"status":"success","data":{"load":[{"type":"gauge","help":"Load \"average\".","unit":""}]}})"},
      {"metadata?limit=1", 200,
       R"({"status":"success","data":{"load":[{"type":"gauge","help":"Load \"average\".","unit":""}]}})"},
      {"metadata?metric=nope", 200, R"({"status":"success","data":{}})"},
      {"metadata?metric=load&limit=-1", 200,
       R"({"status":"success","data":{"load":[{"type":"gauge","help":"Load \"average\".","unit":""}]}})"},
      {"metadata?limit=x", 400, bad("limit must be a number")},
  };
  for (const auto& r : table) {
    INFO(r.target);
    const auto got = cloud.ask("/api/v1/" + r.target);
    CHECK(got.status == r.status);
    CHECK(got.body == r.body);
    CHECK(got.has("application/json"));
  }
}

TEST_CASE("queries come as form bodies too") {
  test_cloud cloud;
  const auto got = cloud.ask("/api/v1/query", "POST", "query=up%7Bhost%3D%22b%22%7D&time=1700000000");
  CHECK(got.status == 200);
  CHECK(json::parse(got.body)["data"]["result"][0]["metric"]["host"] == "b");
  CHECK(cloud.ask("/api/v1/query", "POST", "query=up&time=5").status == 200);
  CHECK(cloud.ask("/api/v1/query", "DELETE").status == 405);
  CHECK(cloud.ask("/api/v1/labels", "POST", "match[]=load").body
        == R"({"status":"success","data":["__name__","host"]})");
}

TEST_CASE("a query that loads too many samples is refused") {
  query_limits limits;
  limits.samples_max = 1;
  test_cloud cloud{{}, limits};
  const auto got = cloud.ask("/api/v1/query?query=up");
  CHECK(got.status == 422);
  CHECK(json::parse(got.body)["errorType"] == "execution");
}

TEST_CASE("an answer that finds no room while it is built is counted") {
  test_cloud cloud{{}, {}, 100 << 10};
  CHECK(cloud.counted("skerry_http_refused_total", "answers_bytes_max") == 0);
  const auto large =
      "query=label_replace(vector(1),\"x\",\"" + std::string(30'000, '<') + "\",\"\",\"\")[9m:1m]";
  CHECK(cloud.ask("/api/v1/query", "POST", large).status == 422);
  CHECK(cloud.counted("skerry_http_refused_total", "answers_bytes_max") == 1);
}

TEST_CASE("a query that holds too much memory is refused, and so is an answer") {
  query_limits limits;
  limits.memory_each_bytes_max = 4 << 20;
  test_cloud cloud{{}, limits, 1 << 20};
  const auto refused = cloud.ask("/api/v1/query?query=max_over_time(vector(1)[1d:10ms])");
  CHECK(refused.status == 422);
  CHECK(json::parse(refused.body)["errorType"] == "execution");
  CHECK(json::parse(refused.body)["error"]
        == "query processing would hold more than 4194304 bytes in memory in query execution "
           "(query.memory_each_bytes_max)");
  CHECK(cloud.ask("/api/v1/query?query=up").status == 200);
  // Regular expressions count before they match, in lists as in queries.
  std::string selector = "{job=\"p\"";
  for (int i = 0; i < 100; ++i)
    selector += ",job=~\"p%7C.{" + std::to_string(300 + i) + "}\"";
  for (const auto* path : {"query", "parse_query", "format_query", "query_exemplars"})
    CHECK(cloud.ask(fmt::format("/api/v1/{}", path), "POST", "query=" + selector + "}").status == 422);
  CHECK(cloud.ask("/api/v1/series", "POST", "match[]=" + selector + "}").status == 422);
  CHECK(cloud.ask("/api/v1/labels", "POST", "match[]=" + selector + "}").status == 422);
  // A large answer from little memory: `<` is six characters in JSON.
  const auto large =
      "query=label_replace(vector(1),\"x\",\"" + std::string(30'000, '<') + "\",\"\",\"\")[9m:1m]";
  const auto escaped = cloud.ask("/api/v1/query", "POST", large);
  CHECK(escaped.status == 200);
  CHECK(escaped.body.size() > 180'000);
  // A query gives back what it held after its answer.
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{20};
  while (cloud.memory->taken() != 0 && std::chrono::steady_clock::now() < until)
    std::this_thread::yield();
  CHECK(cloud.memory->taken() == 0);
}

TEST_CASE("a query beyond the queue is refused; what needs no place in it is answered") {
  query_pool_config one;
  one.threads = 1;
  one.queue_max = 0;
  test_cloud cloud{one};
  std::promise<void> started;
  std::promise<void> release;
  const auto released = release.get_future().share();
  std::atomic<bool> first{true};
  cloud.source.before_select = [&, released] {
    if (first.exchange(false)) {
      started.set_value();
      released.wait_for(patience);
    }
  };
  // Without a limit of its own: one that runs out before a thread is free is answered without being run.
  auto slow = std::async(std::launch::async, [&] { return cloud.try_ask("/api/v1/query?query=up"); });
  REQUIRE(started.get_future().wait_for(patience) == std::future_status::ready);
  const auto refused = cloud.ask("/api/v1/query?query=up");
  CHECK(refused.status == 503);
  CHECK(json::parse(refused.body)["errorType"] == "unavailable");
  CHECK(refused.has("Retry-After"));
  CHECK(cloud.ask("/api/v1/sites").status == 200);
  for (const auto* lookup : {"labels", "label/job/values", "series?match[]=up", "metadata", "status/tsdb"})
    CHECK(cloud.ask("/api/v1/" + std::string{lookup}).status == 200);
  release.set_value();
  const auto late = slow.get();
  REQUIRE(late);
  CHECK(late->status == 200);
}

TEST_CASE("a query over its time is told so, whether it ran or still waited") {
  test_cloud cloud;
  cloud.source.before_select = [&] { wait_cancelled(cloud.source); };
  const std::string timed_out =
      R"({"status":"error","errorType":"timeout","error":"query timed out in query execution"})";
  const auto running = cloud.ask("/api/v1/query?query=up&timeout=20ms");
  CHECK(running.status == 503);
  CHECK(running.body == timed_out);
  const auto waiting = cloud.ask("/api/v1/query?query=up&timeout=0");
  CHECK(waiting.status == 503);
  CHECK(waiting.body == timed_out);
  // Also one that is done before anybody looked at the clock.
  for (int i = 0; i < 20; ++i)
    CHECK(cloud.ask("/api/v1/query?query=1&timeout=1e-9").body == timed_out);
}

TEST_CASE("a query whose client went away is stopped") {
  query_pool_config quick;
  quick.client_check_interval = std::chrono::milliseconds{1};
  test_cloud cloud{quick};
  std::promise<void> started;
  std::promise<bool> stopped;
  std::atomic<bool> first{true};
  cloud.source.before_select = [&] {
    if (!first.exchange(false))
      return;
    started.set_value();
    stopped.set_value(wait_cancelled(cloud.source));
  };
  http::test::client client{cloud.server->address()};
  REQUIRE(client.send("GET /api/v1/query?query=up HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  REQUIRE(started.get_future().wait_for(patience) == std::future_status::ready);
  client.close();
  auto outcome = stopped.get_future();
  REQUIRE(outcome.wait_for(patience) == std::future_status::ready);
  CHECK(outcome.get());
}

TEST_CASE("expressions are formatted and taken apart") {
  test_cloud cloud;
  auto got = cloud.ask("/api/v1/format_query?query=sum%20%20by(job)(up)");
  CHECK(got.status == 200);
  CHECK(json::parse(got.body)["data"] == "sum by (job) (up)");
  CHECK(cloud.ask("/api/v1/parse_query", "POST", "query=up%5B").status == 400);
  got = cloud.ask("/api/v1/parse_query", "POST",
                  "query=rate(up%7Bjob=~%22p%22%7D%5B5m%5D%20@%2010)%20%2B%20on(job)%20group_left%20m");
  REQUIRE(got.status == 200);
  const auto tree = json::parse(got.body)["data"];
  CHECK(tree["type"] == "binaryExpr");
  CHECK(tree["matching"]["card"] == "many-to-one");
  CHECK(tree["lhs"]["func"]["name"] == "rate");
  const auto& selector = tree["lhs"]["args"][0];
  CHECK(selector["type"] == "matrixSelector");
  CHECK(selector["range"] == 300'000);
  CHECK(selector["timestamp"] == 10'000);
  CHECK(selector["matchers"][0] == json{{"name", "job"}, {"type", "=~"}, {"value", "p"}});
}

TEST_CASE("answers are cut at limit, and say how they came about where that is asked for") {
  test_cloud cloud;
  const auto cut = json::parse(cloud.ask("/api/v1/query?query=up&limit=1").body);
  CHECK(cut["data"]["result"].size() == 1);
  CHECK(cut["warnings"] == json::array({"results truncated due to limit"}));
  const auto all = json::parse(cloud.ask("/api/v1/query?query=up%5B1m%5D&limit=2&stats=all").body);
  CHECK(all["data"]["result"].size() == 2);
  CHECK_FALSE(all.contains("warnings"));
  CHECK(all["data"]["stats"]["samples"]["totalQueryableSamples"] == 3);
  CHECK(all["data"]["stats"]["timings"].size() == 6);
  CHECK_FALSE(all.contains("infos"));
  const auto odd =
      json::parse(cloud.ask("/api/v1/query?query=count(increase(up%5B1h%5D))%20or%20vector(0)").body);
  REQUIRE(odd.contains("infos"));
  CHECK(odd["infos"].size() == 1);
  CHECK(odd["infos"][0].get<std::string>().ends_with("\"up\" (1:16)"));
  CHECK_FALSE(json::parse(cloud.ask("/api/v1/query?query=rate(nothing%5B1h%5D)").body).contains("infos"));
}

TEST_CASE("a Prometheus can scrape /federate") {
  test_cloud cloud;
  CHECK(cloud.ask("/federate").body.empty());
  CHECK(cloud.ask("/federate?match[]=up%7B").status == 400);
  const auto everything = cloud.ask("/federate?match[]=%7B%7D").body;
  CHECK(everything.find("load{") != std::string::npos);
  CHECK(cloud.ask("/federate?match[]=%7B__name__=~%22.*%22%7D").body == everything);
  const auto got = cloud.ask("/federate?match[]=up&match[]=load&match[]=up");
  CHECK(got.status == 200);
  CHECK(got.body
        == "# TYPE load untyped\n"
           "load{host=\"a<\x1b[31m\",instance=\"\"} 0.25 1700000000000\n"
           "# TYPE up untyped\n"
           "up{host=\"a\",job=\"p\",site=\"s\",instance=\"\"} 1 1700000000000\n"
           "up{host=\"b\",job=\"p\",site=\"s\",instance=\"\"} 1 1699999985000\n");
}

TEST_CASE("targets are what an up says of them; rules and alerts are empty") {
  test_cloud cloud;
  const auto targets = json::parse(cloud.ask("/api/v1/targets").body)["data"]["activeTargets"];
  REQUIRE(targets.size() == 2);
  CHECK(targets[0]["labels"]["host"] == "a");
  CHECK(targets[0]["health"] == "up");
  CHECK(targets[1]["lastScrape"] == "2023-11-14T22:13:05.000Z");
  CHECK(cloud.ask("/api/v1/rules").body == R"({"status":"success","data":{"groups":[]}})");
  CHECK(cloud.ask("/api/v1/alerts").body == R"({"status":"success","data":{"alerts":[]}})");
  CHECK(cloud.ask("/api/v1/query_exemplars?query=up&start=1700000000.123&end=1700000001.456").body
        == R"({"status":"success","data":[]})");
  CHECK(cloud.ask("/api/v1/query_exemplars?query=up%7B&start=1&end=2").status == 400);
  const auto tsdb = json::parse(cloud.ask("/api/v1/status/tsdb?limit=1").body)["data"];
  CHECK(tsdb["headStats"]["numSeries"] == 3);
  CHECK(tsdb["seriesCountByMetricName"] == json::array({json{{"name", "up"}, {"value", 2}}}));
}
