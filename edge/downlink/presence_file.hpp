#pragma once

// How edges further out stand, kept over restarts of their gateway in one text file: a line "skerry-presence 1", then one
// of each edge (delivery::to_text; docs/formats.md).

#include "actors/delivery/presence.hpp"

#include <filesystem>
#include <map>
#include <vector>

namespace skerry::edge {

// A file that is missing counts as empty, as does what is damaged or written by a newer version; that is logged.
[[nodiscard]] std::vector<delivery::edge_presence> load_presences(const std::filesystem::path& file);
[[nodiscard]] result<void> store_presences(const std::filesystem::path& file,
                                           const std::map<edge_id, delivery::edge_presence>& from);

} // namespace skerry::edge
