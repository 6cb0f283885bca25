#pragma once

// The join token: one printable line that lets one node join. It holds a secret (a one-time key): print it to
// whom it is for, read it from a file or standard input, never log it and never take it from argv.
//
// Format: "skerry-join-1." and then base64url (no padding) of, little-endian: server key (32), one-time
// public (32), one-time secret (32), expiry in unix seconds (i64), site and then each address as text with a
// varint length, the addresses behind their count; last the first 8 bytes of BLAKE2b-256 over all before.

#include "actors/link/transport.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::link {

inline constexpr std::size_t token_addresses_max = 8;
inline constexpr std::size_t token_text_max = 4096;

struct join_token {
  std::vector<std::string> addresses; // "tcp://host:7481", tried in turn
  curve_key server_key;
  curve_keypair one_time;
  std::int64_t expiry_s = 0; // unix seconds
  std::string site;          // for display; the receiver's registry decides
};

// Precondition: 1 to token_addresses_max addresses; texts of at most name_bytes_max.
[[nodiscard]] std::string encode_token(const join_token& from);

// White space around it is ignored. malformed: no token, cut or altered; unsupported_version: of a newer
// version; timeout: expired by `now_s`.
[[nodiscard]] result<join_token> decode_token(std::string_view text, std::int64_t now_s);

} // namespace skerry::link
