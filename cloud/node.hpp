#pragma once

// A running cloud node: a list of parts. Made, started and stopped by main.

#include "actors/node/program.hpp"
#include "cloud/config.hpp"

#include <memory>

namespace skerry::cloud {

class node : public running_node {
public:
  // Binds and opens everything, or says what is in the way. It stops its parts, the newest first: HTTP at first, the store
  // last.
  [[nodiscard]] static result<std::unique_ptr<node>> start(cloud_config config,
                                                           config_source<cloud_config> reload);

  [[nodiscard]] virtual std::string http_address() const = 0;
  [[nodiscard]] virtual std::string link_address() const = 0;
};

} // namespace skerry::cloud
