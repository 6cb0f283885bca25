#pragma once

// The ZAP side of CURVE (RFC 27): ZeroMQ asks here whether a client key may in. Without an answer nobody may.
// Lives on the server transport's thread. Internal to actors/link.

#include "actors/link/transport.hpp"

#include <zmq.hpp>

namespace skerry::link::detail {

inline constexpr auto zap_endpoint = "inproc://zeromq.zap.01";
inline constexpr auto zap_domain = "skerry";
inline constexpr std::size_t zap_frames_max = 16;
inline constexpr std::size_t user_id_bytes_max = 255;

struct zap_verdict {
  enum class kind : std::uint8_t { none, admitted, refused, deferred, malformed } what = kind::none;
  std::string user_id;
  std::string reason;
  std::string address;
  curve_key key;
};

// Bound before the server's socket.
[[nodiscard]] zmq::socket_t make_zap_socket(zmq::context_t& context);

// Answers one request, if there is one. `admit` may throw: that refuses for now.
[[nodiscard]] zap_verdict
answer_zap(zmq::socket_t& socket,
           const std::function<admission(const curve_key&, const std::string&)>& admit);

} // namespace skerry::link::detail
