#pragma once

// What a process tells about itself: it owns the registry that every part counts in, adds the process metrics
// under the names that Prometheus clients use, and serves all of it as text.
//
// Any thread may call any method. It must outlive everything that counts in its registry, the HTTP server
// included.

#include "actors/http/server.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace prometheus {
class Registry;
}

namespace skerry {

class node_metrics {
public:
  explicit node_metrics(std::string_view version);
  ~node_metrics();
  node_metrics(const node_metrics&) = delete;
  node_metrics& operator=(const node_metrics&) = delete;

  [[nodiscard]] prometheus::Registry& registry() noexcept;
  [[nodiscard]] std::string text() const;  // exposition format 0.0.4
  [[nodiscard]] http::route route() const; // GET /metrics

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

// Read from /proc/self; what can't be read is 0.
struct process_usage {
  double cpu_seconds = 0;
  double virtual_bytes = 0;
  double resident_bytes = 0;
  double resident_anonymous_bytes = 0; // without mapped files: what the process really takes from others
  double open_fds = 0;
  double max_fds = 0;
  double start_time_seconds = 0; // since the Unix epoch
};
[[nodiscard]] process_usage read_process_usage();

} // namespace skerry
