#pragma once

// Which series sets the store holds.

#include "schemas/model/identity.hpp"
#include "schemas/model/series.hpp"

#include <cstddef>
#include <optional>

namespace skerry::cloud {

class set_catalog {
public:
  virtual ~set_catalog() = default;
  // A set that this edge has given and that the store still holds; null when unknown: ask the edge.
  virtual series_set_ptr find_set(edge_id edge, const set_hash& hash) = 0;
  // How many series it has; nullopt when unknown. Cheap: asked for every frame.
  virtual std::optional<std::size_t> series_in_set(edge_id edge, const set_hash& hash) = 0;
};

} // namespace skerry::cloud
