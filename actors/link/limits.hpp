#pragma once

// Bounds of what one link message may hold. A sender keeps within them; a receiver refuses what is beyond
// them before it allocates anything for it.

#include <cstddef>

namespace skerry::link {

inline constexpr std::size_t handshakes_per_second_default = 2000; // at a server: about a core's work
inline constexpr std::size_t handshakes_waiting_default = 16'384;  // at a server, for their turn
inline constexpr std::size_t connections_default = 16'384;         // at a server
inline constexpr std::size_t message_bytes_default = 32 << 20;     // of one message; both ends may set it
inline constexpr std::size_t envelope_bytes_max = 8 << 20;         // part 1, the Cap'n Proto message
inline constexpr std::size_t message_streams_max = 1 << 16;        // entries of one list of streams
inline constexpr std::size_t message_ranges_max = 1 << 18;         // over all streams of one message
inline constexpr std::size_t need_sets_max = 4096;                 // hashes in Need, and in Sets.missing
inline constexpr std::size_t sets_found_max = 1024;                // series sets in one Sets message
inline constexpr std::size_t sets_bytes_max = 32 << 20;            // of them together, uncompressed
inline constexpr std::size_t message_origins_max = 1 << 10;        // edges in Origins: each is looked up
inline constexpr std::size_t message_origin_links_max = 4096;      // edges in OriginLinks: likewise
inline constexpr std::size_t message_refused_edges_max = 1 << 16;  // in Welcome
inline constexpr std::size_t message_parts_max = 1 + sets_found_max;
inline constexpr std::size_t config_document_bytes_max = 1 << 20;
inline constexpr std::size_t name_bytes_max = 256; // software, site, owner
inline constexpr std::size_t bye_message_bytes_max = 1024;

} // namespace skerry::link
