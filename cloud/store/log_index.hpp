#pragma once

// What is in one log environment and where: the head that queries read. Values stay in the log; a frame costs
// 16 bytes here, a set of a source 8 and a metric of a set 8. Not synchronised: its log environment guards it.

#include "cloud/store/log_format.hpp"
#include "cloud/store/symbols.hpp"
#include "schemas/model/frame.hpp"

#include <compare>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace skerry::cloud {

// Where something starts: a byte of a chunk.
struct log_place {
  std::uint32_t chunk = 0; // its key
  std::uint32_t offset = 0;
};

struct frame_ref {
  std::int64_t time_ns = 0;
  log_place record;
};

// A record of the loss ledger, or one that is kept whole.
struct note_ref {
  std::int64_t time_ns = 0;
  log_place entry;          // the append, for its envelope
  std::uint32_t record = 0; // offset in the chunk
  record_kind kind = record_kind::tombstone;
};

// All frames of one host and edge that name the same sets in the same order.
struct head_source {
  tenant_id tenant = tenant_default;
  std::string site;
  std::string host;
  edge_id edge = edge_id::none;
  std::vector<compact_set_ptr> sets;
  std::vector<std::uint32_t> bases; // of each set the first column
  std::uint32_t width = 0;          // columns: of all sets, one after the other
  std::vector<frame_ref> frames;    // in order of arrival
  std::int64_t time_min = INT64_MAX;
  std::int64_t time_max = INT64_MIN;
  bool ascending = true; // frames by time
};

struct set_key {
  edge_id edge = edge_id::none;
  set_hash hash;
  bool operator==(const set_key&) const = default;
};
struct set_key_hash {
  std::size_t operator()(const set_key& k) const noexcept {
    return std::hash<set_hash>{}(k.hash) ^ (static_cast<std::size_t>(k.edge) * 0x9e3779b97f4a7c15);
  }
};

struct log_set {
  log_place entry;
  compact_set_ptr compact;
};

// A set of a source: numbers of both.
struct set_place {
  std::uint32_t source = 0;
  std::uint32_t section = 0;
  auto operator<=>(const set_place&) const = default;
};

class log_index {
public:
  // The source of a frame; made when it is new. Null when a set that the frame names is not here.
  // `pending` holds sets that stand in the batch being written.
  [[nodiscard]] head_source*
  source_of(tenant_id tenant, std::string_view site, std::string_view host, edge_id edge,
            const frame& sections,
            const std::unordered_map<set_key, log_set, set_key_hash>* pending = nullptr);
  void add(head_source& to, const frame_ref& ref);
  void add_set(const set_key& key, log_set set);

  [[nodiscard]] const std::vector<std::unique_ptr<head_source>>& sources() const noexcept { return sources_; }
  // Where sets are that have this metric, by source and section.
  [[nodiscard]] std::vector<set_place> having(symbol metric) const;

  std::unordered_map<set_key, log_set, set_key_hash> sets;
  std::vector<note_ref> notes;
  std::map<stream_key, range_set> stored; // records but tombstones: data that comes later beats those
  std::uint64_t frames = 0;
  // What sources take, and each set with its strings as if no other log had it. What limits are about.
  std::size_t source_bytes = 0;
  std::size_t set_bytes = 0;
  std::int64_t time_min = INT64_MAX;
  std::int64_t time_max = INT64_MIN;

private:
  std::vector<std::unique_ptr<head_source>> sources_;
  std::unordered_multimap<std::uint64_t, head_source*> by_hash_;
  // By set, as many sources have the same; the sources hold the sets, and these their symbols.
  std::unordered_map<const compact_set*, std::vector<set_place>> places_;
  std::unordered_map<symbol, std::vector<const compact_set*>> by_metric_;
};

} // namespace skerry::cloud
