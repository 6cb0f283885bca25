#pragma once

// A host is the unit of sharding: (tenant, site, host name). The site comes from the key of the edge that spoke,
// so an edge cannot name a host outside its site.

#include "schemas/model/identity.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace skerry {

inline constexpr std::size_t host_name_bytes_max = 255;

enum class host_id : std::uint64_t {};
using shard_id = std::uint16_t;
inline constexpr shard_id shard_count = 1024; // virtual shards; fixed for good, as data is stored by them

// XXH3-64 (seed 0) over: tenant as u32 little-endian, site, one zero byte, host.
[[nodiscard]] host_id make_host_id(tenant_id tenant, std::string_view site, std::string_view host);
[[nodiscard]] constexpr shard_id shard_of(host_id host) noexcept {
  return static_cast<shard_id>(static_cast<std::uint64_t>(host) % shard_count);
}

} // namespace skerry
