#pragma once

// The HTTP server as the last part of a node: it answers for all parts before it, on TCP and on the operator's socket in the
// data directory, and is the first to stop.

#include "actors/http/server.hpp"
#include "actors/node/part.hpp"

#include <filesystem>

namespace skerry::http {

class http_part final : public node_part {
public:
  // Takes no more connections than the process's limit of open files leaves to it. As server::start.
  [[nodiscard]] static result<std::unique_ptr<http_part>> open(server_config config,
                                                               const std::filesystem::path& data,
                                                               std::vector<route> routes,
                                                               prometheus::Registry& metrics);
  [[nodiscard]] std::string address() const { return server_->address(); }

private:
  explicit http_part(std::unique_ptr<server> running) : server_(std::move(running)) {}

  std::unique_ptr<server> server_;
};

} // namespace skerry::http
