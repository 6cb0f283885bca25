#include "cloud/ingest/shard_state.hpp"

#include <fmt/format.h>

#include <cstdlib>

namespace skerry::cloud {

namespace {

std::string prefix_of_all() { return fmt::format("shard/{}/", tenant_default); }

} // namespace

std::string shard_state_prefix(shard_id shard) { return fmt::format("{}{:04}/", prefix_of_all(), shard); }

std::string shard_state_key(shard_id shard, const stream_key& stream) {
  return shard_state_prefix(shard) + to_string(stream);
}

void encode_shard_ranges(const shard_ranges& from, byte_buffer& out) {
  encode_ranges(from.stored, out);
  encode_ranges(from.stones, out);
}

result<shard_ranges> decode_shard_ranges(bytes_view from) {
  byte_reader r{from};
  shard_ranges out;
  do {
    BOOST_OUTCOME_TRY(stored, decode_ranges(r));
    BOOST_OUTCOME_TRY(stones, decode_ranges(r));
    out.stored.add(stored);
    out.stones.add(stones);
  } while (r.remaining() != 0);
  return out;
}

result<void> each_kept_stream(state_store& store,
                              const std::function<void(shard_id shard, std::string_view stream)>& each) {
  const auto prefix = prefix_of_all();
  return store.scan_state(prefix, [&](std::string_view key, std::string_view) {
    key.remove_prefix(prefix.size());
    const auto slash = key.find('/');
    if (slash != std::string_view::npos)
      each(static_cast<shard_id>(std::strtoul(std::string{key.substr(0, slash)}.c_str(), nullptr, 10)),
           key.substr(slash + 1));
  });
}

} // namespace skerry::cloud
