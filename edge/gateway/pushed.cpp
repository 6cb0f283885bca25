#include "edge/gateway/pushed.hpp"

#include <optional>

namespace skerry::edge {

namespace {

// How many of a request's collections are still under way.
struct open_push {
  std::mutex mutex;
  std::size_t left = 0;
  std::optional<error> failed;
  std::function<void(result<void>)> done;

  void one_is_done(const result<void>& how) {
    bool last = false;
    {
      const std::lock_guard lock{mutex};
      if (!how)
        failed = how.error();
      last = --left == 0;
    }
    if (last)
      done(failed ? result<void>{*failed} : result<void>{ok()});
  }
};

} // namespace

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
  const auto open = std::make_shared<open_push>();
  open->left = made.size();
  open->done = std::move(done);
  for (auto& one : made) {
    one.done = [open](const result<void>& how) { open->one_is_done(how); };
    inbox.put(std::move(one), gateway);
  }
}

} // namespace skerry::edge
