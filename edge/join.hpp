#pragma once

// Joining: presents the one-time key of a token to the node that made it, hands over this edge's own public key, and
// keeps the edge id that comes back. Safe to repeat until the token expires.

#include "actors/link/token.hpp"
#include "edge/identity.hpp"

#include <chrono>
#include <filesystem>

namespace skerry::edge {

// Blocks for at most `timeout` per address. The spool, if there is one, is kept: an edge that joins again with a token
// for its id goes on as before, and with the token that it joined with it does nothing. A damaged identity is replaced.
// conflict: the receiver refused (its words: used, expired, for another edge); forbidden: the token's own key was not let
// in; unavailable: no address answered.
[[nodiscard]] result<edge_identity> join(const std::filesystem::path& data, const link::join_token& token,
                                         std::chrono::milliseconds timeout);

} // namespace skerry::edge
