#include "cloud/sites/host_keeper.hpp"

#include <spdlog/spdlog.h>

namespace skerry::cloud {

namespace {

constexpr std::string_view state_prefix = "host/";

} // namespace

void host_keeper::keep() {
  std::vector<state_update> updates;
  for (auto& [key, value] : table_->take_changes())
    updates.push_back({std::move(key), std::move(value)});
  if (updates.empty())
    return;
  updates.push_back(also_());
  store_->put_state(std::move(updates), [lines = unkept_lines_](result<void> done) {
    if (!done && lines->allow())
      spdlog::warn("ingest: what is known of hosts was not kept: {}", done.error().message);
  });
}

result<void> restore_hosts(host_table& table, state_store& store) {
  return store.scan_state(state_prefix,
                          [&](std::string_view key, std::string_view value) { table.restore(key, value); });
}

} // namespace skerry::cloud
