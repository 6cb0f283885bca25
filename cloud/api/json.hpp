#pragma once

// JSON of the cloud's own routes. Private to the API.

#include "schemas/time.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>

namespace skerry::cloud {

using json = nlohmann::ordered_json;

// Bytes that are no UTF-8 become replacement characters: an answer never fails for what a host is called.
inline std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Seconds since 1970 with milliseconds, as everywhere in the API; null where it is not known.
inline json seconds(std::int64_t ns) {
  return ns == 0 ? json{} : json(static_cast<double>(ns / ns_per_ms) / 1'000);
}

} // namespace skerry::cloud
