#pragma once

// The store of a cloud node, and what is kept in it besides data: which node this is, what was deleted, what was taken back
// from the ledger. The first part of the node, and the last to stop: everything hands work to it.

#include "actors/link/messages.hpp"
#include "actors/node/part.hpp"
#include "cloud/ledger/retractions.hpp"
#include "cloud/query/deletions.hpp"
#include "cloud/store/embedded.hpp"

#include <memory>

namespace skerry {
class random_source;
}

namespace skerry::cloud {

class store_part final : public node_part {
public:
  [[nodiscard]] static result<std::unique_ptr<store_part>>
  open(const embedded_config& config, random_source& random, prometheus::Registry& metrics);

  [[nodiscard]] const std::shared_ptr<engine>& data() const noexcept { return engine_; }
  [[nodiscard]] deletions& deleted() noexcept {
    return *deletions_;
  } // reads what is stored without what was deleted
  [[nodiscard]] const std::shared_ptr<retractions>& taken_back() const noexcept { return retractions_; }
  // Made once with the store and kept in it: an edge sees from it whether it talks to the same receiver as before.
  [[nodiscard]] const link::nonce& incarnation() const noexcept { return incarnation_; }

private:
  store_part() = default;

  std::shared_ptr<engine> engine_;
  std::unique_ptr<deletions> deletions_; // it and the next read and write the engine
  std::shared_ptr<retractions> retractions_;
  link::nonce incarnation_{};
};

} // namespace skerry::cloud
