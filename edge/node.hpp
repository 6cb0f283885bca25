#pragma once

// A running edge node: a list of parts. Made, started and stopped by main.

#include "actors/node/program.hpp"
#include "edge/config.hpp"

#include <memory>
#include <string>
#include <vector>

namespace skerry::edge {

class node : public running_node {
public:
  // Opens the spool, starts collecting and the link. It stops its parts, the newest first: HTTP at first, the pipeline last.
  // `examine_command`: this program, to examine damaged segments in a process of its own; empty: in this one. not_found: the
  // data directory has not joined yet.
  [[nodiscard]] static result<std::unique_ptr<node>>
  start(edge_config config, config_source<edge_config> reload, std::vector<std::string> examine_command);

  [[nodiscard]] virtual std::string http_address() const = 0;
};

} // namespace skerry::edge
