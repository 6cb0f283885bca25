#pragma once

// Who may connect to a receiver (cloud or gateway), and for whom each may speak: edges, their keys, invites,
// origins. A small LMDB environment; every change is on stable storage before it is returned, and survives
// kill -9.
//
// Invariants:
//  1. A key names at most one thing: an edge, or an invite. It never names another one later.
//  2. An invite makes one key known. Once that key has been seen at a handshake, the one-time key is refused
//  as used.
//  3. An edge has at most one key that is not revoked: joining again revokes the one before.
//  4. An origin speaks through one parent; one with a key of its own speaks for itself only.
//
// Threads: every method on any thread; admit() is called on the link's. Times are unix seconds. One process
// at a time: the caller holds the data directory's lock. io, exhausted (disk or registry_bytes_max full) and
// corrupt may come from every method.

#include "actors/base/clock.hpp"
#include "actors/link/transport.hpp"
#include "schemas/model/identity.hpp"

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <vector>

namespace skerry::link {

inline constexpr std::size_t registry_bytes_max = 256 << 20; // address space; the file takes what it needs
inline constexpr std::size_t edges_max = 1'000'000;          // origins among them
inline constexpr std::size_t invites_max = 100'000;
inline constexpr std::size_t origins_of_parent_max = 65'536;
inline constexpr std::int64_t invite_ttl_max_s = 366 * 24 * 3600;
inline constexpr std::int64_t invite_kept_s = 7 * 24 * 3600; // listed after it expired, then forgotten
inline constexpr std::chrono::hours invite_jump_wait{24}; // a clock that jumped ahead makes none older before

enum class invite_id : std::uint64_t {};
[[nodiscard]] std::string to_string(invite_id id); // 16 hexadecimal digits
[[nodiscard]] result<invite_id> parse_invite_id(std::string_view text);

// What `admission.user_id` says.
struct link_user {
  enum class kind : std::uint8_t { edge, join } what = kind::edge;
  edge_id edge = edge_id::none; // of an edge
  invite_id invite{};           // of a join
};
[[nodiscard]] std::string user_id_of(edge_id edge);     // "edge:00c0ffee00c0ffee"
[[nodiscard]] std::string user_id_of(invite_id invite); // "join:…"
[[nodiscard]] result<link_user> parse_user_id(std::string_view text);

// The only time that the secret is at hand: it is not kept.
struct invite {
  invite_id id{};
  std::string site;
  curve_keypair one_time;
  std::int64_t expiry_s = 0;
};

struct invite_info {
  enum class state : std::uint8_t { open, used, expired, cancelled };

  invite_id id{};
  std::string site;
  edge_id rejoins = edge_id::none; // made with an edge id: that edge's next key
  std::int64_t created_s = 0;
  std::int64_t expiry_s = 0;
  state now = state::open;
  edge_id joined = edge_id::none; // of a used one
};
[[nodiscard]] std::string_view to_string(invite_info::state state) noexcept;

struct edge_info {
  struct key {
    curve_key public_key;
    std::int64_t created_s = 0;
    std::int64_t revoked_s = 0; // 0: not
  };

  edge_id edge = edge_id::none;
  std::string site;
  std::vector<key> keys; // none: an origin behind `parent`
  std::int64_t created_s = 0;
  std::int64_t joined_s = 0;  // last; 0: never by itself
  std::int64_t revoked_s = 0; // 0: not
  edge_id parent = edge_id::none;
};

struct join_outcome {
  edge_id edge = edge_id::none;
  std::string site;
};

class registry {
public:
  // Makes the directory (its parent must exist). unsupported_version: written by a newer format. Of `clock` it is asked
  // how much time passes; it outlives the registry.
  [[nodiscard]] static result<std::unique_ptr<registry>> open(const std::filesystem::path& directory,
                                                              const clock_source& clock = system_clock());
  ~registry();
  registry(const registry&) = delete;
  registry& operator=(const registry&) = delete;

  // With `rejoins`, the invite is for that edge's next key; `site` may then be empty, else must be the
  // edge's. invalid_argument: a site's name or a time to live that can't be; not_found: no such edge;
  // exhausted: invites_max.
  [[nodiscard]] result<invite> create_invite(std::string site, std::int64_t ttl_s, std::int64_t now_s,
                                             random_source& random, edge_id rejoins = edge_id::none);
  result<void> cancel_invite(invite_id id, std::int64_t now_s);

  // Reasons of a refusal: "unknown", "revoked", "expired", "used", "cancelled"; "failed" (with retry) where
  // the registry itself could not answer.
  [[nodiscard]] admission admit(const curve_key& key, std::int64_t now_s) noexcept;

  // Makes `key` known. Again with the same key: the same outcome, until the invite expires. An edge that joins
  // again may keep its key. not_found: no such invite; timeout: expired; forbidden: cancelled, or the key was
  // revoked since; conflict: another key used the invite, the key belongs to someone else, or who asks is
  // `already` another edge than the invite is for: nothing is registered or used up then.
  [[nodiscard]] result<join_outcome> complete_join(invite_id id, const curve_key& key, std::int64_t now_s,
                                                   random_source& random, edge_id already = edge_id::none);

  // All keys of the edge, and its open invites. The caller ends its session. Again: no change. not_found.
  result<void> revoke(edge_id edge, std::int64_t now_s);
  // One key alone; of a one-time key: the invite. The edge that it belongs to, or none.
  result<edge_id> revoke(const curve_key& key, std::int64_t now_s);

  [[nodiscard]] result<std::vector<edge_info>> list_edges() const;   // by id
  [[nodiscard]] result<edge_info> find(edge_id edge) const;          // not_found
  [[nodiscard]] result<edge_id> edge_of(const curve_key& key) const; // not_found: nobody's, or revoked
  [[nodiscard]] result<std::vector<invite_info>> list_invites(std::int64_t now_s) const;
  [[nodiscard]] result<std::string> site_of(edge_id edge) const; // an origin's is its parent's; not_found

  // `origins` are to speak through `parent`: all that may in one transaction, and none is written where nothing is new.
  // Gives those that may not. Again: no change. An origin whose parent was revoked may move. not_found: no such parent;
  // forbidden: the parent or the origin is revoked, or the origin has a key of its own; conflict: it has another parent;
  // exhausted: a bound.
  std::map<edge_id, error> register_origins(edge_id parent, const std::vector<edge_id>& origins,
                                            std::int64_t now_s);
  result<void> register_origin(edge_id parent, edge_id origin, std::int64_t now_s); // of one
  // Whether records of `origin` are taken from a session of `user`. False too where the registry can't
  // answer.
  [[nodiscard]] bool may_speak(edge_id user, edge_id origin) const noexcept;

private:
  struct impl;
  explicit registry(std::unique_ptr<impl> with);
  std::unique_ptr<impl> impl_;
};

} // namespace skerry::link
