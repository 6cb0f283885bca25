#pragma once

// Finds the route of a request. Immutable after construction; any thread may ask.
//
// A path is matched by one kind of route: exact ones go before those with a "{}", and these before prefixes; of prefixes the
// longest. The methods are those of that path alone: 405 for others, whatever a shorter prefix would take.

#include "actors/http/server.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace skerry::http {

class router {
public:
  explicit router(std::vector<route> routes);

  struct match {
    const route* found = nullptr; // null: 404 where `allow` is empty, else 405
    std::string capture;
    std::string allow;                    // the methods that this path has: "GET, HEAD, POST"
    std::string_view pattern = "unknown"; // a route's path; bounded, hence fit for a metric label
  };
  // `raw_path` still encoded. HEAD finds what GET does. malformed: a bad escape; or, below a prefix, what could mean
  // another place than it says: an empty segment but at the end, ".", "..", an escaped '/', '\\' or control character.
  [[nodiscard]] result<match> find(std::string_view method, std::string_view raw_path) const;

private:
  std::vector<route> routes_; // in the order in which they are tried
};

} // namespace skerry::http
