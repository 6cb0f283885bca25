#pragma once

// Joining: presents the one-time key of a token to the node that made it, hands over this edge's own public key, and
// keeps the edge id that comes back. Safe to repeat until the token expires.

#include "actors/link/token.hpp"
#include "edge/identity.hpp"

#include <chrono>
#include <filesystem>

namespace skerry::edge {

// Blocks for at most `timeout` per address. The spool, if there is one, is kept: an edge that joins again with a token
// for its id goes on as before. conflict: this directory has joined as another edge already; forbidden: the token was
// used or has expired (the receiver's words); unavailable: no address answered.
[[nodiscard]] result<edge_identity> join(const std::filesystem::path& data, const link::join_token& token,
                                         std::chrono::milliseconds timeout);

} // namespace skerry::edge
