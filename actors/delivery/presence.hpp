#pragma once

// How edges stand with this node, in a word and with the cause: derived from their sessions, from what gateways say of
// those behind them, and from what was known before a restart. The cloud and gateways share it. Not thread-safe.

#include "actors/delivery/receiver.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skerry::delivery {

struct edge_presence {
  edge_id edge = edge_id::none;
  edge_id behind = edge_id::none; // the gateway that it is heard through; none: it connects here
  link::presence now = link::presence::never;
  std::int64_t since_ns = 0; // wall clock; of what a gateway says: its own
  std::int64_t heard_ns = 0; // 0: never
  std::string cause;         // in words, where `now` alone does not say it; one line

  bool operator==(const edge_presence&) const = default;
};

// Data comes, or would come if there were any.
[[nodiscard]] constexpr bool is_there(link::presence of) noexcept {
  return of == link::presence::connected || of == link::presence::quota || of == link::presence::refused
         || of == link::presence::duplicate;
}

// How long a link with nothing to say may be silent: less than two of its pings, and more than one.
[[nodiscard]] std::int64_t silence_max_ns(std::int64_t ping_interval_ns) noexcept;

[[nodiscard]] edge_presence presence_of(const edge_view& view, std::int64_t now_ns);

// As one line of text, for a file or a store: "1 EDGE BEHIND STATE SINCE_NS HEARD_NS CAUSE".
[[nodiscard]] std::string to_text(const edge_presence& from);
[[nodiscard]] std::optional<edge_presence> presence_from_text(std::string_view text);

// What is known of every edge, kept over restarts at a bounded cost: what has changed is written by whoever holds the book
// at intervals of its own, and that an edge was heard again counts as a change once a minute.
class presence_book {
public:
  // As it was kept. Whoever was there then has not been heard of since this node started.
  void restore(edge_presence kept);
  void update(const std::vector<edge_view>& views, std::int64_t now_ns);
  // Known by other means than a session: that it joined or was revoked.
  void note(edge_id edge, link::presence now, std::int64_t since_ns);

  [[nodiscard]] const std::map<edge_id, edge_presence>& all() const noexcept { return all_; }
  // Those that are to be kept, since the last call; with `every_time` also where only the time of hearing has moved on.
  [[nodiscard]] std::vector<edge_presence> take_changes(bool every_time = false);

private:
  std::map<edge_id, edge_presence> all_; // of edges with a key here or behind one: bounded by the registry
  std::map<edge_id, edge_presence> kept_;
};

} // namespace skerry::delivery
