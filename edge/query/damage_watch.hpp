#pragma once

// Says with an answer that a part of the spool was left out of it. One query's, on its thread.

#include "actors/api/query_api.hpp"
#include "edge/query/spooled_series.hpp"

namespace skerry::edge {

class damage_watch final : public api::query_watch {
public:
  explicit damage_watch(spooled_series& source)
      : query_watch(source), spooled_(source), before_(source.left_out()) {}

  std::vector<std::string> warnings() override {
    if (spooled_.left_out() == before_) // another query's at the same time shows here, too
      return {};
    return {
        "a part of this node's spool is damaged and was left out; what of it is readable is being saved, ask "
        "again in a moment"};
  }

private:
  spooled_series& spooled_;
  std::uint64_t before_;
};

} // namespace skerry::edge
