#pragma once

// The `http:` section that every node's configuration has.

#include "actors/http/server.hpp"
#include "actors/node/config.hpp"

namespace skerry::http {

// Reads `listen`, `token_file`, `allow_remote_unauthenticated`, `hosts_allowed`, `threads`, `connections_max`,
// `request_timeout`, `body_bytes_max`, `bodies_bytes_max`, `answers_bytes_max`, `streams_max` and `stream_bytes_max` into
// `to`.
void read_settings(config_section& from, server_config& to);

} // namespace skerry::http
