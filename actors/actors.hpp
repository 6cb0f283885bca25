#pragma once

// The typed interfaces of all actors, one comment per message, and the types that travel between them.
//
// Everything here stays within one process: payloads are shared pointers and are never serialised. What crosses
// processes is encoded bytes (schemas/). Shutdown runs producers first, store last: the order of a
// node's parts, from its end (docs/architecture.md).

#include "actors/link/listener.hpp"
#include "schemas/model/identity.hpp"
#include "schemas/model/range_set.hpp"

#include <caf/all.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace skerry {
struct run;
namespace edge {
struct scrape_answer;
struct scrape_work;
struct target_assignment;
struct collect_settings;
} // namespace edge
namespace delivery {
struct committed_runs;
struct delivery_job;
} // namespace delivery
namespace link {
struct message;
} // namespace link
namespace cloud {
struct committed_effects;
struct shard_part;
struct stream_news;
struct stream_release;
struct push_job;
} // namespace cloud
} // namespace skerry

namespace skerry {

using committed_ptr = std::shared_ptr<const delivery::committed_runs>;
using scrape_answer_ptr = std::shared_ptr<edge::scrape_answer>;
using scrape_work_ptr = std::shared_ptr<edge::scrape_work>;
using target_assignment_ptr = std::shared_ptr<const edge::target_assignment>;
using collect_settings_ptr = std::shared_ptr<const edge::collect_settings>;
using job_ptr = std::shared_ptr<delivery::delivery_job>;
using shard_part_ptr = std::shared_ptr<cloud::shard_part>;
using push_job_ptr = std::shared_ptr<cloud::push_job>;
using effects_ptr = std::shared_ptr<const cloud::committed_effects>;
using stream_release_ptr = std::shared_ptr<const cloud::stream_release>;
using stream_news_ptr = std::shared_ptr<const std::vector<cloud::stream_news>>;

// A message that came over a link, with its connection. Parts are decoded by whoever receives it.
struct inbound_message {
  link::peer_id from;
  std::string user_id; // as ZAP gave it
  link::message_parts parts;
  link::byte_budget::share share; // of what may wait for the actor
};
using inbound_ptr = std::shared_ptr<inbound_message>;

struct release_request {
  stream_key key;
  range_set ranges;
};
using release_ptr = std::shared_ptr<const release_request>;

} // namespace skerry

CAF_BEGIN_TYPE_ID_BLOCK(skerry, first_custom_type_id)

CAF_ADD_TYPE_ID(skerry, (skerry::committed_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::scrape_answer_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::scrape_work_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::target_assignment_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::collect_settings_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::job_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::shard_part_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::push_job_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::effects_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::stream_news_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::stream_release_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::inbound_ptr))
CAF_ADD_TYPE_ID(skerry, (skerry::release_ptr))

CAF_ADD_ATOM(skerry, skerry, tick_atom, "tick")
CAF_ADD_ATOM(skerry, skerry, commit_atom, "commit")
CAF_ADD_ATOM(skerry, skerry, stop_atom, "stop")
CAF_ADD_ATOM(skerry, skerry, gateway_atom, "gateway")
CAF_ADD_ATOM(skerry, skerry, up_atom, "up")
CAF_ADD_ATOM(skerry, skerry, down_atom, "down")
CAF_ADD_ATOM(skerry, skerry, refused_atom, "refused")
CAF_ADD_ATOM(skerry, skerry, stored_atom, "stored")
CAF_ADD_ATOM(skerry, skerry, held_atom, "held")
CAF_ADD_ATOM(skerry, skerry, released_atom, "released")
CAF_ADD_ATOM(skerry, skerry, revoked_atom, "revoked")
CAF_ADD_ATOM(skerry, skerry, status_atom, "status")
CAF_ADD_ATOM(skerry, skerry, pause_atom, "pause")
CAF_ADD_ATOM(skerry, skerry, turn_atom, "turn")

CAF_END_TYPE_ID_BLOCK(skerry)

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::committed_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::scrape_answer_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::scrape_work_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::target_assignment_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::collect_settings_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::job_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::shard_part_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::push_job_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::effects_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::stream_news_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::stream_release_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::inbound_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(skerry::release_ptr)

namespace skerry {

// Runs one host's collectors and scrapes.
using agent_actor = caf::typed_actor<
    // One of its sources may be due.
    caf::reacts_to<tick_atom>,
    // A target answered, or did not.
    caf::reacts_to<scrape_work_ptr>,
    // What the page reader made of that.
    caf::reacts_to<scrape_answer_ptr>,
    // From now on these are its targets; those that are gone end with stale markers.
    caf::reacts_to<target_assignment_ptr>,
    // Collect nothing more and quit. A stop is no end of a series: no stale markers.
    caf::reacts_to<stop_atom>>;

// Makes samples of large pages. Detached: only other large pages wait behind one.
using page_reader_actor = caf::typed_actor<
    // A target answered, was not asked, or is no more.
    caf::reacts_to<scrape_work_ptr>,
    // Quit.
    caf::reacts_to<stop_atom>>;

// Knows the targets of this node and which agent has which; spawns agents and ends them.
using roster_actor = caf::typed_actor<
    // Files may have changed.
    caf::reacts_to<tick_atom>,
    // What to collect, from now on.
    caf::reacts_to<collect_settings_ptr>,
    // End every agent and quit.
    caf::reacts_to<stop_atom>>;

// Numbers what agents collect and commits it to the spool; keeps what edges further out send. Detached: it alone
// writes to the spool, and it blocks in fsync.
using gateway_actor = caf::typed_actor<
    // Commit what has gathered in its inbox.
    caf::reacts_to<commit_atom>,
    // Look for records that were damaged on disk.
    caf::reacts_to<tick_atom>,
    // Runs of an edge further out; answered with (stored, ticket, error text) to the sender.
    caf::reacts_to<job_ptr>,
    // To itself: write the runs that have come.
    caf::reacts_to<turn_atom>,
    // The receiver upstream has these.
    caf::reacts_to<release_ptr>,
    // Commit, close the spool in order, quit.
    caf::reacts_to<stop_atom>>;

// Delivers the spool upstream.
using uplink_actor = caf::typed_actor<
    // The gateway whose spool it delivers, and to which releases go. The link is started now.
    caf::reacts_to<gateway_atom, caf::strong_actor_ptr>,
    // The encrypted link is up, is down, was refused for good (key revoked or unknown).
    caf::reacts_to<up_atom>, caf::reacts_to<down_atom>, caf::reacts_to<refused_atom>,
    // A message from upstream.
    caf::reacts_to<inbound_ptr>,
    // Runs were committed.
    caf::reacts_to<committed_ptr>,
    // An operator stops the backlog (true) or lets it go on.
    caf::reacts_to<pause_atom, bool>,
    // Time passes.
    caf::reacts_to<tick_atom>,
    // Say goodbye and quit.
    caf::reacts_to<stop_atom>>;

// Receives from edges: the cloud's ingest, or a gateway's side towards edges further out.
using listener_actor = caf::typed_actor<
    // A message from an edge, or from someone who joins.
    caf::reacts_to<inbound_ptr>,
    // A job was stored (empty text) or not.
    caf::reacts_to<stored_atom, std::uint64_t, std::string>,
    // What a stream holds was made durable (empty text) or not.
    caf::reacts_to<held_atom, std::uint64_t, std::string>,
    // The connection (of this name, with this User-Id) was closed.
    caf::reacts_to<down_atom, std::string, std::string>,
    // The key of this edge was revoked.
    caf::reacts_to<revoked_atom, std::uint64_t>,
    // To itself: go on with what has arrived.
    caf::reacts_to<turn_atom>,
    // Publish counters and the state of edges.
    caf::reacts_to<tick_atom>,
    // Tell every edge and quit.
    caf::reacts_to<stop_atom>>;

// What a link hears goes to `to`.
[[nodiscard]] inline link::listener_events tell(listener_actor to) {
  return {[to](link::peer_id from, std::string user_id, link::message_parts parts,
               link::byte_budget::share share) {
            caf::anon_send(to, std::make_shared<inbound_message>(inbound_message{
                                   std::move(from), std::move(user_id), std::move(parts), std::move(share)}));
          },
          [to](link::peer_id from, std::string user_id) {
            caf::anon_send(to, down_atom_v, std::move(from), std::move(user_id));
          }};
}

// The cloud's listener: it also numbers what is pushed to the cloud itself.
using ingest_actor = listener_actor::extend<
    // Records that were pushed; answered through the job when they are stored or were refused.
    caf::reacts_to<push_job_ptr>,
    // The shard of this number keeps nothing of that stream any more (true), or there is more of it.
    caf::reacts_to<released_atom, std::uint64_t, stream_release_ptr, bool>>;

// Owns the hosts of one virtual shard: decodes, checks and appends what is theirs.
using shard_actor = caf::typed_actor<
    // Records of its hosts from one run; answered with (stored, ticket, error text) to the listener.
    caf::reacts_to<shard_part_ptr>,
    // The engine has committed (empty text) or refused this part.
    caf::reacts_to<stored_atom, std::uint64_t, std::string>,
    // Nothing of this stream comes any more, and these of it are held; answered with (released, shard, this, dropped).
    caf::reacts_to<stream_release_ptr>, caf::reacts_to<stop_atom>>;

// Owns what the cloud knows of its hosts.
using hosts_actor = caf::typed_actor<
    // A shard has stored this; the part is answered when the message goes.
    caf::reacts_to<effects_ptr>,
    // How far ingest says that streams are held.
    caf::reacts_to<stream_news_ptr>,
    // The key of this edge was revoked.
    caf::reacts_to<revoked_atom, std::uint64_t>,
    // Keep what has changed; forget hosts that are silent for the retention.
    caf::reacts_to<tick_atom>,
    // Keep what has changed and quit.
    caf::reacts_to<stop_atom>>;

} // namespace skerry
