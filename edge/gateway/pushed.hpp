#pragma once

// What was pushed to this node, into the gateway's inbox: in collections of a bounded size, and `done` when the last
// of them was committed or one was refused.

#include "actors/push/push_assembler.hpp"
#include "edge/gateway/inbox.hpp"

#include <functional>
#include <vector>

namespace skerry::edge {

inline constexpr std::size_t pushed_records_max = 8192; // of one collection
inline constexpr std::size_t pushed_bytes_max = 2 << 20;

// Precondition: there is a record. `done` is called once, on the gateway's thread, or from here where the inbox is
// full.
void put_pushed(gateway_inbox& inbox, const gateway_actor& gateway, std::vector<push::pushed_host> hosts,
                std::function<void(result<void>)> done);

} // namespace skerry::edge
