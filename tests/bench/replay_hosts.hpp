#pragma once

// Replayed targets as hosts with series sets and frames, as an edge that scrapes them makes them: for what writes
// stores and spools directly, without a scrape. One thread.

#include "schemas/codec/value_codec.hpp"
#include "schemas/model/frame.hpp"
#include "schemas/model/series.hpp"
#include "tests/bench/replay_source.hpp"

#include <memory>
#include <string>
#include <vector>

namespace skerry::bench {

struct replay_series {
  replay_target* source = nullptr;
  std::size_t index = 0;
  labels all; // with the site
};

struct replay_host {
  std::string name; // host-000, …
  std::unique_ptr<replay_target> target;
  std::unique_ptr<replay_target> extra; // of a host with more series than the recording has
  std::vector<replay_series> members;
  std::vector<series_set_ptr> sets;

  // One value for each member.
  void values(std::uint64_t step, std::vector<double>& out);
};

// A host beyond the recording's series gets more of them under job="extra", as of another target.
[[nodiscard]] std::vector<replay_host> make_replay_hosts(const std::shared_ptr<const recording>& from,
                                                         std::size_t hosts, std::size_t series);

// Appends the payload of a frame of all sets.
void encode_replay_frame(const replay_host& of, std::int64_t time_ns, const std::vector<double>& values,
                         value_encoder& encoder, byte_buffer& out);

} // namespace skerry::bench
