#pragma once

// A small blocking HTTP client for the operator's tool, over TCP or a node's Unix socket. Follows no
// redirects, uses no proxies. Any thread; each call makes its own connection. Its own target
// (skerry_http_client): what does not ask anybody does not load libcurl.

#include "schemas/error.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skerry {

struct outgoing_request {
  std::string method = "GET";
  std::string url;         // "http://127.0.0.1:7480/api/v1/query"; the host counts little with a Unix socket
  std::string unix_socket; // path; empty: TCP
  std::vector<std::pair<std::string, std::string>>
      parameters; // GET: added to the URL; else: a form, if no body
  std::string body;
  std::string content_type = "application/json"; // of `body`
  std::vector<std::pair<std::string, std::string>> headers;
  std::string bearer_token; // empty: none; never in a message
  std::chrono::milliseconds timeout{30'000};
  std::size_t body_bytes_max = 256 << 20;
};

struct outgoing_response {
  unsigned status = 0;
  std::string content_type;
  std::string body; // decompressed
};

// Any status is an answer, 500 too. unavailable: nobody answers there; timeout; exhausted: a longer body than
// allowed; invalid_argument: not an http(s) URL; io: the connection or TLS failed.
[[nodiscard]] result<outgoing_response> send_request(const outgoing_request& request);

[[nodiscard]] std::string percent_encode(std::string_view text);

} // namespace skerry
