#pragma once

// What an edge collects, as its user has it: the sections `collect` and `scrape_configs`, and the name of this machine.

#include "edge/collect/host/host_config.hpp"
#include "edge/collect/scrape/page_budget.hpp"
#include "edge/collect/scrape/scrape_config.hpp"

#include <chrono>
#include <string>

namespace skerry::edge {

struct collect_settings {
  std::string host; // of the local collectors; empty: the operating system's host name
  bool host_metrics = true;
  std::chrono::nanoseconds interval = std::chrono::seconds{15}; // of the machine's own values
  std::string job = "node";                                     // likewise
  host_config collectors;
  scrape_settings scrape;
  std::size_t pages_bytes_max = pages_bytes_max_default;
};

} // namespace skerry::edge
