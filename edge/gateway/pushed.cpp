#include "edge/gateway/pushed.hpp"

#include <utility>

namespace skerry::edge {

void put_pushed(gateway_inbox& inbox, const gateway_actor& gateway, std::vector<push::pushed_host> hosts,
                std::function<void(result<void>)> done) {
  std::vector<collection> made;
  std::size_t bytes = 0;
  const push::pushed_host* sets_of = nullptr; // whose sets the last one has
  for (auto& host : hosts) {
    for (auto& record : host.records) {
      if (made.empty() || bytes >= pushed_bytes_max || made.back().records.size() >= pushed_records_max) {
        made.emplace_back();
        bytes = 0;
        sets_of = nullptr;
      }
      auto& to = made.back();
      if (sets_of != &host)
        to.sets.insert(to.sets.end(), host.sets.begin(), host.sets.end());
      sets_of = &host;
      bytes += record.payload.size();
      to.records.push_back(std::move(record));
    }
    // Only the total is shown.
    made.back().samples += host.samples;
  }
  const auto one_is_done = when_all(made.size(), std::move(done));
  for (auto& one : made) {
    one.done = one_is_done;
    inbox.put(std::move(one), gateway);
  }
}

} // namespace skerry::edge
