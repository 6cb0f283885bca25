#pragma once

// How a site stands and what is known of it, in the words that the API, the feed of sites and, next, alerts use.

#include "schemas/model/identity.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skerry::cloud {

enum class link_state : std::uint8_t {
  connected,
  unreachable, // was heard of, is not now
  never,       // invited or joined, not heard of since
  revoked,
  duplicate, // a second node with the same key tries to connect
  quota,     // its metered link is used up so far that less goes, or nothing
  stopped,   // it said goodbye
  refused,   // it is there, and what it brings is not taken
  pushed,    // no edge: data of this site is pushed to this node
};
[[nodiscard]] std::string_view to_string(link_state state) noexcept;

// Times are wall clock, nanoseconds since 1970; 0: never, or not known.
struct site_status {
  std::string site;
  edge_id edge = edge_id::none;
  link_state state = link_state::never;
  std::string cause; // of the state, where the word alone does not say it
  std::int64_t since_ns = 0;
  edge_id behind = edge_id::none; // the gateway that it is heard through
  std::int64_t last_heard_ns = 0;
  std::optional<std::int64_t>
      clock_offset_ns; // by how much its clock is ahead of ours; none: not heard of since start
  std::uint64_t hosts = 0;
  std::uint64_t series = 0;
  std::uint64_t samples_total = 0;   // since this node started
  double samples_per_second = 0;     // over the last seconds
  std::uint64_t pending_records = 0; // in the edge's spool, as it last said
  std::uint64_t pending_bytes = 0;
  std::int64_t live_watermark_ns = 0;
  std::int64_t complete_watermark_ns = 0;
  std::string completeness; // a word or few for people: "complete", "pending since …", "unknown since …"
  std::uint64_t bytes_on_link_today = 0;
  std::vector<std::string> key_fingerprints;
  // Edges of which its edge brings something that is not taken, and why.
  std::vector<std::pair<edge_id, std::string>> refused;
};

struct host_status {
  std::string site;
  std::string host;
  std::uint64_t series = 0;
  std::int64_t last_sample_ns = 0;
  std::int64_t live_watermark_ns = 0;
  std::int64_t complete_watermark_ns = 0;
  // Of the edge that it was heard of last: as of its row in sites().
  edge_id edge = edge_id::none;
  link_state state = link_state::never;
  std::string cause;
};

} // namespace skerry::cloud
