#pragma once

// What the edge scrapes and how that goes, as Prometheus' /api/v1/targets says it.

#include "edge/collect/scrape/target_manager.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string_view>
#include <vector>

namespace skerry::edge {

// `state`: "active", "dropped", or anything else for both. `pool`: a job's name; empty: of all. Targets that relabelling
// dropped are not remembered: their list is empty.
[[nodiscard]] nlohmann::json targets_json(const std::vector<scrape_target_ptr>& targets,
                                          std::string_view state, std::string_view pool);

} // namespace skerry::edge
