#pragma once

// The cloud's HTTP API: Prometheus' own (paths, parameters, envelope, error types and status codes of 2.42)
// and Skerry's: sites, hosts, invites, revoking. Handlers read parameters on the server's thread; whatever
// reads the store or the disk runs on the query pool.

#include "cloud/api/context.hpp"

#include <vector>

namespace skerry::cloud {

inline constexpr std::size_t invites_per_request_max = 1'000;
inline constexpr std::chrono::hours invite_ttl_max{24 * 365};

[[nodiscard]] std::vector<http::route> make_routes(api_context context);

} // namespace skerry::cloud
