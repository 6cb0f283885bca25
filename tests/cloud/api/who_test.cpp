// For whom a query runs: whatever reads the source goes through the watch, which is told.

#include "actors/api/query_api.hpp"
#include "tests/actors/promql/memory_source.hpp"

#include <catch2/catch.hpp>
#include <prometheus/registry.h>

#include <future>
#include <mutex>

using namespace skerry;
using namespace skerry::api;

namespace {

class promised_answer final : public http::responder {
public:
  explicit promised_answer(std::promise<http::response>& to) : to_(to) {}
  void answer(http::response with) override { to_.set_value(std::move(with)); }
  http::stream_ptr open_stream() override { return nullptr; }
  bool client_gone() const noexcept override { return false; }

private:
  std::promise<http::response>& to_;
};

} // namespace

TEST_CASE("each route that reads samples or series tells the watch for whom") {
  promql::test::memory_source source;
  prometheus::Registry registry;
  query_pool pool{{}, registry};
  std::mutex mutex;
  std::vector<std::string> told;
  query_context context; // its source is null: who reads around the watch crashes
  context.queries = context.lookups = &pool;
  context.watch = [&](const principal& who) {
    const std::lock_guard lock{mutex};
    told.push_back(who.subject + (who.sees("harbour") ? " sees" : " does not see") + " harbour");
    return std::make_unique<query_watch>(source);
  };
  std::size_t asked = 0;
  for (const auto& route : make_query_routes(std::move(context))) {
    if (route.path.find("/status/") != std::string::npos && route.path.find("tsdb") == std::string::npos)
      continue; // about the node
    if (route.path.find("_query") != std::string::npos || route.path.ends_with("exemplars"))
      continue; // about the expression alone
    if (route.path == "/api/v1/rules" || route.path.find("/api/v1/alert") == 0)
      continue; // empty yet
    http::request request;
    request.method = route.method;
    request.path = route.path;
    request.capture = "job";
    request.parameters = {{"query", "up"}, {"match[]", "up"}, {"start", "1"}, {"end", "2"}, {"step", "1"}};
    request.who = {"alice", {right::read}, {{"island"}}};
    INFO(route.method << " " << route.path);
    told.clear();
    std::promise<http::response> answered;
    route.run(request, std::make_shared<promised_answer>(answered));
    CHECK(answered.get_future().get().status == 200);
    const std::lock_guard lock{mutex};
    REQUIRE(!told.empty());
    for (const auto& one : told)
      CHECK(one == "alice does not see harbour");
    ++asked;
  }
  // query, query_range, series and labels by GET and POST; values, metadata, targets, tsdb, federate
  CHECK(asked == 13);
}
