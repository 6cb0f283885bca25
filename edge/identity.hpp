#pragma once

// Who this edge is, once it has joined: `identity.json` in its data directory. Its key pair is in `link.key`.

#include "actors/link/transport.hpp"
#include "schemas/model/identity.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace skerry::edge {

struct edge_identity {
  edge_id edge = edge_id::none;
  std::string site;
  link::curve_key server_key;         // of the receiver that it joined
  std::vector<std::string> addresses; // "tcp://host:port"; the first is used
  std::optional<link::curve_key>
      joined_with; // the public one-time key of the token; none: written before it was kept
};

// not_found: this data directory has not joined yet (the message says how); malformed: the file is damaged, and joining
// again replaces it.
[[nodiscard]] result<edge_identity> load_identity(const std::filesystem::path& data);
// What was there and is damaged stays as identity.json.damaged.
[[nodiscard]] result<void> save_identity(const std::filesystem::path& data, const edge_identity& identity);

} // namespace skerry::edge
