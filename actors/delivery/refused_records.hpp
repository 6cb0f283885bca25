#pragma once

// What a receiver does not take for what it is: a person has to change something before it goes. A spool that is full
// gives it up before what can be delivered.

#include "schemas/model/range_set.hpp"

#include <map>
#include <set>

namespace skerry::delivery {

struct refused_records {
  std::set<edge_id> edges;                 // everything of them
  std::map<stream_key, range_set> records; // of others: each was refused when it came alone

  [[nodiscard]] bool empty() const noexcept { return edges.empty() && records.empty(); }
  [[nodiscard]] bool covers(const stream_key& key, const range_set& all) const {
    if (edges.contains(key.edge))
      return true;
    const auto of = records.find(key);
    if (of == records.end())
      return false;
    auto rest = all;
    rest.remove(of->second);
    return rest.empty();
  }
};

} // namespace skerry::delivery
