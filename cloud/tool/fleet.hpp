#pragma once

// Sites and hosts as the tables show them.

#include "cloud/tool/table.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace skerry::cloud {

// From /api/v1/sites and /api/v1/hosts. `now` in seconds since 1970, for ages.
[[nodiscard]] table sites_table(const nlohmann::json& sites, double now);
[[nodiscard]] table loss_table(const nlohmann::json& losses, double now);
[[nodiscard]] table completeness_table(const nlohmann::json& hosts, double now);
[[nodiscard]] table hosts_table(const nlohmann::json& hosts, double now);
// What `skerry status` and the quickstart show: one row a site.
[[nodiscard]] table status_table(const nlohmann::json& sites);
// A line for each edge of which something is not taken.
[[nodiscard]] std::string refused_lines(const nlohmann::json& sites);
// The same at an edge node, from /api/v1/status: what its receiver does not take.
[[nodiscard]] std::string set_aside_lines(const nlohmann::json& status);
// The same as status_table() as one line a site, for logs.
[[nodiscard]] std::string status_lines(const nlohmann::json& sites, double now);

[[nodiscard]] double wall_seconds();

} // namespace skerry::cloud
