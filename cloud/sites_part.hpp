#pragma once

// What a cloud node knows of edges and hosts: who may connect, what was heard of whom, and how each edge stands.

#include "actors/link/registry.hpp"
#include "actors/node/part.hpp"
#include "cloud/sites/site_directory.hpp"
#include "cloud/store_part.hpp"

#include <filesystem>
#include <memory>

namespace skerry::cloud {

class sites_part final : public node_part {
public:
  // Opens the registry below `data`, and restores what the store has kept of hosts.
  [[nodiscard]] static result<std::unique_ptr<sites_part>>
  open(const std::filesystem::path& data, const host_limits& limits, const store_part& store);

  [[nodiscard]] const std::shared_ptr<link::registry>& registry() const noexcept { return registry_; }
  [[nodiscard]] const std::shared_ptr<host_admission>& places() const noexcept { return places_; }
  [[nodiscard]] const std::shared_ptr<host_table>& hosts() const noexcept { return hosts_; }
  [[nodiscard]] const std::shared_ptr<edge_board>& board() const noexcept { return board_; }
  [[nodiscard]] const std::shared_ptr<site_directory>& all() const noexcept { return sites_; }
  void on_tick() override { sites_->on_tick(); }

private:
  explicit sites_part(const host_limits& limits) : places_(std::make_shared<host_admission>(limits)) {}

  std::shared_ptr<link::registry> registry_;
  std::shared_ptr<host_admission> places_;
  std::shared_ptr<host_table> hosts_ = std::make_shared<host_table>(places_); // the hosts actor writes it
  std::shared_ptr<edge_board> board_ = std::make_shared<edge_board>();
  std::shared_ptr<site_directory> sites_; // over all of these
};

} // namespace skerry::cloud
