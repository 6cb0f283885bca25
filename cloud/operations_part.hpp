#pragma once

// How sites stand, for people: what operators ask and may do (operations.hpp), and the feed of it that lasts.

#include "actors/node/part.hpp"
#include "actors/node/reload.hpp"
#include "cloud/api/site_feed.hpp"
#include "cloud/ingest_part.hpp"
#include "cloud/operations.hpp"

namespace skerry::cloud {

class operations_part final : public node_part {
public:
  operations_part(const cloud_config& config, const link::curve_keypair& keys, const store_part& store,
                  const sites_part& sites, const ingest_part& ingest, config_reload& reload,
                  random_source& random);

  [[nodiscard]] operations& all() noexcept { return operations_; }
  [[nodiscard]] site_feed& feed() noexcept { return feed_; }
  void on_tick() override { feed_.on_tick(); }

private:
  operations operations_;
  site_feed feed_; // asks them
};

} // namespace skerry::cloud
