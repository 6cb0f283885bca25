#pragma once

// Named values beside the data: what ingest, shards and others know and need again after a restart.

#include "schemas/error.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::cloud {

// Small named values that are stored in the same transaction as an append and survive the log's rotation.
// Ingest keeps held ranges and watermarks in them. Keys are text like "held/<edge>/<epoch>/<stream>".
struct state_update {
  std::string key;
  std::string value;    // empty: delete
  bool appends = false; // `value` goes behind what is there, once more where the append is repeated
};

class state_store {
public:
  virtual ~state_store() = default;
  // State alone, ordered after every append before it. `done` is called once, on the engine's thread.
  virtual void put_state(std::vector<state_update> updates, std::function<void(result<void>)> done) = 0;
  // As of the last commit; sorted by key.
  virtual result<void>
  scan_state(std::string_view prefix,
             const std::function<void(std::string_view key, std::string_view value)>& each) = 0;
};

} // namespace skerry::cloud
