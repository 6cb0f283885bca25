#pragma once

// What is known of hosts, as the store keeps it: read back at the start, and written now and then where it has changed.
// Not thread-safe.

#include "actors/base/log_limiter.hpp"
#include "cloud/sites/host_table.hpp"
#include "cloud/store/state.hpp"

#include <functional>
#include <memory>

namespace skerry::cloud {

class host_keeper {
public:
  // `also` goes along with what has changed.
  host_keeper(std::shared_ptr<host_table> table, std::shared_ptr<state_store> store,
              std::function<state_update()> also)
      : table_(std::move(table)), store_(std::move(store)), also_(std::move(also)) {}

  void keep(); // a failure is logged: what changes later is kept again

private:
  std::shared_ptr<host_table> table_;
  std::shared_ptr<state_store> store_;
  std::function<state_update()> also_;
  // The store's writer says it.
  std::shared_ptr<log_limiter> unkept_lines_ = std::make_shared<log_limiter>(1, std::chrono::minutes{10});
};

// Reads the table back: once, before anything is told of hosts.
[[nodiscard]] result<void> restore_hosts(host_table& table, state_store& store);

} // namespace skerry::cloud
