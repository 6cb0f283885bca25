#pragma once

// Finds the route of a request. Immutable after construction; any thread may ask.

#include "actors/http/server.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace skerry::http {

class router {
public:
  explicit router(std::vector<route> routes) : routes_(std::move(routes)) {}

  struct match {
    const route* found = nullptr; // null: 404 where `allow` is empty, else 405
    std::string capture;
    std::string allow;                    // the methods that this path has: "GET, HEAD, POST"
    std::string_view pattern = "unknown"; // a route's path; bounded, hence fit for a metric label
  };
  // `raw_path` still encoded. HEAD finds what GET does. malformed: a bad escape.
  [[nodiscard]] result<match> find(std::string_view method, std::string_view raw_path) const;

private:
  std::vector<route> routes_;
};

} // namespace skerry::http
