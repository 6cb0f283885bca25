#pragma once

// What a shard keeps of each stream in the store: which ranges it has stored, with the data. A shard alone writes and
// deletes what is its own, under "shard/<tenant>/<shard>/<edge>/<epoch>/<stream>"; ingest reads once, at its start, which
// shards have something of a stream.

#include "cloud/store/state.hpp"
#include "schemas/model/host.hpp"
#include "schemas/model/range_set.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace skerry::cloud {

struct shard_ranges {
  range_set stored; // of whole jobs: what of them is this shard's is stored
  // That tombstones of this shard stand for. One may come for records of a job that other shards failed to store: then
  // `stored` says nothing of it. Kept only of what the cloud does not hold as a whole.
  range_set stones;
};

// What ingest says once nothing of a stream comes any more: these of it count as held by the cloud as a whole.
struct stream_release {
  stream_key key;
  range_set held;
};

[[nodiscard]] std::string shard_state_key(shard_id shard, const stream_key& stream);
// Of all streams of this shard.
[[nodiscard]] std::string shard_state_prefix(shard_id shard);

// The value there: one part, or several, whose union it is. malformed: not such a value.
void encode_shard_ranges(const shard_ranges& from, byte_buffer& out);
[[nodiscard]] result<shard_ranges> decode_shard_ranges(bytes_view from);

// Every stream of which a shard keeps something; `stream` as to_string() writes it.
[[nodiscard]] result<void>
each_kept_stream(state_store& store,
                 const std::function<void(shard_id shard, std::string_view stream)>& each);

} // namespace skerry::cloud
