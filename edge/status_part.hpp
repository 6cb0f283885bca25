#pragma once

// What the node tells of itself over HTTP, and what its operators may do (status.hpp).

#include "actors/node/metrics.hpp"
#include "actors/node/part.hpp"
#include "actors/node/reload.hpp"
#include "edge/config.hpp"
#include "edge/downlink_part.hpp"
#include "edge/pipeline.hpp"
#include "edge/status.hpp"

namespace skerry::edge {

class status_part final : public node_part {
public:
  // `downlink`: null where no edges are further out.
  status_part(const edge_config& config, const edge_identity& identity, const link::curve_keypair& keys,
              const pipeline& records, const downlink_part* downlink, std::shared_ptr<status_board> board,
              config_reload& reload, const node_metrics& metrics);

  [[nodiscard]] std::vector<http::route> routes() override;

private:
  status_context context_;
  const node_metrics& metrics_;
};

} // namespace skerry::edge
