#pragma once

// The ZAP side of CURVE (RFC 27): ZeroMQ asks here whether a client key may in. Without an answer nobody may.
// A ROUTER, so that questions can be held and answered in any order, or not at all. Lives on the server transport's
// thread. Internal to actors/link.

#include "actors/link/transport.hpp"

#include <zmq.hpp>

#include <optional>
#include <vector>

namespace skerry::link::detail {

inline constexpr auto zap_endpoint = "inproc://zeromq.zap.01";
inline constexpr auto zap_domain = "skerry";
inline constexpr std::size_t zap_frames_max = 16;
inline constexpr std::size_t user_id_bytes_max = 255;

// A handshake that waits for its answer.
struct zap_request {
  zmq::message_t asker; // the ROUTER's name for it
  std::vector<zmq::message_t> frames;
};

struct zap_verdict {
  enum class kind : std::uint8_t { admitted, refused, deferred, malformed } what = kind::malformed;
  std::string user_id;
  std::string reason;
  std::string address;
  curve_key key;
};

// Bound before the server's socket.
[[nodiscard]] zmq::socket_t make_zap_socket(zmq::context_t& context);

[[nodiscard]] std::optional<zap_request> next_zap(zmq::socket_t& socket);
// `admit` may throw: that refuses for now. Whoever asked and is gone meanwhile gets nothing.
[[nodiscard]] zap_verdict
answer_zap(zmq::socket_t& socket, const zap_request& asked,
           const std::function<admission(const curve_key&, const std::string&)>& admit);

} // namespace skerry::link::detail
