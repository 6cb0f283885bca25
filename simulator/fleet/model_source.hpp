#pragma once

// One simulated host as a source of frames, through the same assembler as real collectors and scrapes.
// One thread at a time.

#include "edge/collect/frame_assembler.hpp"
#include "simulator/fleet/value_model.hpp"

#include <memory>
#include <string_view>
#include <vector>

namespace skerry::sim {

inline constexpr std::string_view fleet_job = "fleet";

class model_source {
public:
  // `host` and `site` are numbers of the model.
  model_source(std::shared_ptr<const value_model> model, std::uint64_t host, std::uint64_t site)
      : model_(std::move(model)), host_(host), site_(site) {}

  [[nodiscard]] edge::collection collect(std::int64_t time_ns, std::int64_t monotonic_ns,
                                         std::string_view host);

private:
  void intern_all(std::string_view host);

  std::shared_ptr<const value_model> model_;
  std::uint64_t host_;
  std::uint64_t site_;
  std::vector<edge::series_ref> refs_; // empty: not known yet
  std::uint32_t epoch_ = 0;
  edge::frame_assembler assembler_;
};

} // namespace skerry::sim
