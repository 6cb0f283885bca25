#pragma once

// The spool as a sender reads it. Not thread-safe; the spool's const methods may be called while its writer works.

#include "actors/base/log_limiter.hpp"
#include "actors/delivery/sender.hpp"
#include "edge/spool/spool.hpp"

#include <functional>
#include <memory>

namespace skerry::edge {

class spool_source final : public delivery::sender_source {
public:
  // Releases go to the spool's writer.
  using release_function = std::function<void(const stream_key& key, const range_set& ranges)>;

  spool_source(std::shared_ptr<const spool> store, release_function release)
      : store_(std::move(store)), release_(std::move(release)) {}

  std::vector<link::hello_stream> streams() override;
  result<std::optional<run>> read(const stream_key& key, sequence from, std::size_t bytes_max) override;
  result<series_set_ptr> find_set(edge_id edge, const set_hash& hash) override;
  void release(const stream_key& key, const range_set& ranges) override { release_(key, ranges); }
  range_set take_back(const stream_key& key, const range_set& ranges) override {
    return store_->take_back(key, ranges);
  }

private:
  std::shared_ptr<const spool> store_;
  release_function release_;
  log_limiter lines_{20}; // about what cannot be read
};

} // namespace skerry::edge
