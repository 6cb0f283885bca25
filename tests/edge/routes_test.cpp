#include "actors/api/query_api.hpp"
#include "actors/link/registry.hpp"
#include "edge/status.hpp"
#include "tests/actors/base/temporary_folder.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace skerry;
using namespace skerry::edge;

TEST_CASE("every route of an edge needs the right that it was given on purpose") {
  skerry::test::temporary_folder folder;
  auto registry = link::registry::open(folder.path() / "registry");
  REQUIRE(registry);
  status_context status;
  status.registry = std::move(registry).value(); // a gateway has all routes
  api::query_context queries;
  queries.targets_from_up = false;
  auto routes = make_status_routes(std::move(status));
  for (auto& one : api::make_query_routes(std::move(queries)))
    routes.push_back(std::move(one));
  std::vector<std::string> found;
  for (const auto& one : routes)
    found.push_back(std::string{to_string(one.needs)} + " " + one.method + " " + one.path);
  std::sort(found.begin(), found.end());

  std::vector<std::string> wanted{"administer POST /-/reload",
                                  "administer POST /api/v1/admin/edges/{}/revoke",
                                  "administer POST /api/v1/admin/invites",
                                  "administer PUT /-/reload",
                                  "operate POST /api/v1/admin/backlog/pause",
                                  "operate POST /api/v1/admin/backlog/resume"};
  for (const auto* path : {"/-/healthy", "/-/ready", "/federate"})
    wanted.push_back(std::string{"read GET "} + path);
  for (const auto* path :
       {"query", "query_range", "query_exemplars", "series", "labels", "metadata", "label/{}/values",
        "format_query", "parse_query", "rules", "alerts", "alertmanagers", "targets", "status", "status/tsdb",
        "status/buildinfo", "status/flags", "status/config", "status/runtimeinfo"})
    wanted.push_back(std::string{"read GET /api/v1/"} + path);
  for (const auto* path :
       {"query", "query_range", "query_exemplars", "series", "labels", "format_query", "parse_query"})
    wanted.push_back(std::string{"read POST /api/v1/"} + path);
  std::sort(wanted.begin(), wanted.end());
  CHECK(found == wanted);
}
