#pragma once

// A running edge node: a list of parts. Made, started and stopped by main.

#include "edge/config.hpp"

#include <memory>

namespace skerry::edge {

class node {
public:
  // Opens the spool, starts collecting and the link. not_found: the data directory has not joined yet.
  [[nodiscard]] static result<std::unique_ptr<node>> start(edge_config config);
  virtual ~node() = default; // stops its parts, the newest first: HTTP at first, the pipeline last

  // Takes what can change while running: scrape configuration and log level.
  virtual void reload(const edge_config& config) = 0;
  // As POST /-/reload: config.reload, logged and counted.
  virtual result<std::string> read_again() = 0;
  [[nodiscard]] virtual std::string http_address() const = 0;
  [[nodiscard]] virtual bool failed() const noexcept = 0; // an actor that must live has ended
};

} // namespace skerry::edge
