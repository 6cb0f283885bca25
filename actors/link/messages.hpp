#pragma once

// The messages of schemas/link.capnp as plain structs, and their one encoder and decoder.

#include "actors/link/transport.hpp"
#include "schemas/model/range_set.hpp"
#include "schemas/model/record.hpp"
#include "schemas/model/series.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace skerry::link {

inline constexpr std::uint16_t protocol_version = 1;
inline constexpr std::uint16_t protocol_version_min = 1;

using nonce = std::array<std::uint8_t, 16>;

inline constexpr std::uint64_t feature_refusals = 1; // it knows Refusal
// It keeps records of kinds that it does not know, and passes them on; not the series sets that they may name.
inline constexpr std::uint64_t feature_keeps_kinds = 2;
// Of a sender: it keeps what is durable and not safe. Of a receiver: its `durable` alone lets nothing be deleted.
inline constexpr std::uint64_t feature_ack_levels = 4;
inline constexpr std::uint64_t features_known = feature_refusals | feature_keeps_kinds | feature_ack_levels;

struct stream_held {
  stream_key key;
  range_set ranges;
};

struct hello_stream {
  stream_key key;
  range_set held;
  range_set released;
  sequence last = 0;
  bool closed = false;
  std::uint64_t last_digest = 0;
  range_set kept = {}; // of `released`: can be sent again
};

struct hello {
  std::uint16_t protocol = protocol_version;
  std::uint16_t protocol_min = protocol_version_min;
  std::uint64_t features = 0;
  edge_id edge = edge_id::none;
  nonce instance{};
  std::vector<hello_stream> streams;
  std::int64_t wall_ns = 0;
  std::int64_t monotonic_ns = 0;
  std::string software;
  nonce receiver{}; // all zero: none yet
  epoch_id current;
  std::int64_t ping_interval_ns = 0; // 0: it does not say
  kind_set kinds = 0;                // that it knows; 0: it does not say
};

struct welcome {
  std::uint16_t protocol = protocol_version;
  std::uint64_t features = 0;
  std::vector<stream_held> durable;
  std::uint64_t credit_bytes = 0;
  std::uint64_t config_version = 0;
  std::int64_t server_time_ns = 0;
  nonce incarnation{};
  std::vector<stream_held> lost_custody;
  std::uint32_t batch_bytes_max = 0;
  std::vector<edge_id> refused_edges;     // of those that Hello named: nothing of them is taken
  std::vector<stream_held> again = {};    // that Hello said is kept, and that is not here
  kind_set kinds = 0;                     // as in hello
  std::vector<stream_held> not_safe = {}; // of `durable`: may be taken back
};

enum class lane : std::uint16_t { live = 0, backlog = 1, alert = 2 };

// What a sender tells of its link: how far its quota is used up (delivery::quota_level), and what crossed today.
struct link_state {
  std::uint16_t quota = 0;
  std::uint64_t bytes_today = 0; // at the IP level, both directions, since midnight UTC

  bool operator==(const link_state&) const = default;
};

struct batch {
  std::uint64_t number = 0;
  link::lane lane = link::lane::live;
  skerry::run run; // part 2
  std::uint64_t pending_records =
      0; // that are to come, this batch included: committed below, not acknowledged, not refused for good
  link_state link;
};

// The numbers cross the link.
enum class ack_level : std::uint16_t {
  durable = 0, // not to be sent again in this session; to be kept, for the next one may not name it any more
  safe = 1,    // durable, and for good: the sender may let it go
};
struct ack {
  std::vector<stream_held> ranges;
  std::uint64_t freed_bytes = 0;
  ack_level level = ack_level::durable;
};

struct need {
  edge_id edge = edge_id::none;
  std::vector<set_hash> sets;
};

// A series set as it crosses the link. A small one may unfold to a hundred megabytes: whoever gets it unpacks only what
// it asked for, one by one.
struct packed_set {
  set_hash hash;               // as its sender names it
  shared_bytes packed;         // one zstd frame
  std::size_t plain_bytes = 0; // of the encoded set, as the frame states
};
[[nodiscard]] packed_set pack(const series_set& from);
// malformed: it does not unpack or decode; corrupt: it is not what it is named by.
[[nodiscard]] result<series_set_ptr> unpack(const packed_set& from);

struct sets {
  edge_id edge = edge_id::none;
  std::vector<packed_set> found;
  std::vector<set_hash> missing;
};

struct credit {
  std::uint64_t bytes = 0;
};
struct config {
  std::uint64_t version = 0;
  byte_buffer document;
};
struct redirect {
  std::string owner;
};
struct join {
  curve_key public_key;
  std::string software;
  edge_id edge = edge_id::none; // who the sender is already
};
struct joined {
  edge_id edge = edge_id::none;
  std::string site;
};

enum class bye_reason : std::uint16_t {
  stopping = 0,
  revoked,
  duplicate,
  superseded,
  version,
  protocol_error,
  expired,
};
struct bye {
  bye_reason reason = bye_reason::stopping;
  std::string message;
};
struct ping {
  std::int64_t wall_ns = 0;
  std::int64_t monotonic_ns = 0;
  link_state link;
};
struct pong {
  std::int64_t wall_ns = 0;
  std::int64_t monotonic_ns = 0;
};

// The edges further out for which the sender asks to speak.
struct origins {
  std::vector<edge_id> edges;
};

// What an edge further out last said of its epochs.
struct stream_end {
  stream_key key;
  sequence last = 0;

  bool operator==(const stream_end&) const = default;
};
struct origin_state {
  edge_id edge = edge_id::none;
  epoch_id current;
  std::vector<stream_end> closed;
};

// How an edge stands with whoever it delivers to. The numbers cross the link.
enum class presence : std::uint16_t {
  never = 0, // joined, and not heard of since
  connected,
  stopped,     // it said goodbye
  unreachable, // its connection was closed or is silent, or so is that of the gateway before it
  quota,       // its metered link is used up so far that less goes, or nothing
  refused,     // what it brings is not taken
  revoked,
  duplicate, // a second node with the same key tries to connect
};
inline constexpr std::uint16_t presence_count = 8;
[[nodiscard]] constexpr std::string_view to_string(presence of) noexcept {
  switch (of) {
  case presence::never: return "never";
  case presence::connected: return "connected";
  case presence::stopped: return "stopped";
  case presence::unreachable: return "unreachable";
  case presence::quota: return "quota";
  case presence::refused: return "refused";
  case presence::revoked: return "revoked";
  case presence::duplicate: return "duplicate";
  }
  return "unknown";
}

// How an edge further out stands with the sender.
struct origin_link {
  edge_id edge = edge_id::none;
  presence now = presence::never;
  std::int64_t since_ns = 0; // by the sender's clock
  std::int64_t heard_ns = 0; // 0: never
  std::string cause;         // in words, where `now` alone does not say it
};
struct origin_links {
  std::vector<origin_link> links;
};

// Why something is not taken; whether it may be later is for the reason to say: only `not_now` passes by itself.
enum class refusal_reason : std::uint16_t { not_now = 0, forbidden, malformed, over_limit };
[[nodiscard]] constexpr std::string_view to_string(refusal_reason reason) noexcept {
  switch (reason) {
  case refusal_reason::not_now: return "not now";
  case refusal_reason::forbidden: return "forbidden";
  case refusal_reason::malformed: return "malformed";
  case refusal_reason::over_limit: return "over a limit";
  }
  return "unknown";
}
// Of what nothing more is to be sent.
enum class refusal_scope : std::uint16_t { batch = 0, stream, edge, everything };

// Something of what was sent is not taken, and the session goes on.
struct refusal {
  stream_key key;
  sequence_range batch{0, 0}; // that was not taken; 0 to 0: nothing came yet
  refusal_scope scope = refusal_scope::batch;
  refusal_reason reason = refusal_reason::not_now;
  std::string message;
};

// A kind that this build does not know: skipped.
struct unknown {};

using body = std::variant<unknown, hello, welcome, batch, ack, need, sets, credit, config, redirect, join,
                          joined, bye, ping, pong, origins, origin_state, refusal, origin_links>;

struct message {
  std::uint64_t session = 0;
  link::body body;
};

[[nodiscard]] message_parts encode(const message& from);

// Bounds every size first. malformed: does not decode or a bound is exceeded; corrupt: a set does not hash to its
// name, or a run's header is damaged.
[[nodiscard]] result<message> decode(const message_parts& parts, std::size_t bytes_max);

} // namespace skerry::link
