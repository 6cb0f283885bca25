#include "cloud/sites_part.hpp"

#include "cloud/sites/host_keeper.hpp"

namespace skerry::cloud {

result<std::unique_ptr<sites_part>> sites_part::open(const std::filesystem::path& data,
                                                     const host_limits& limits, const store_part& store) {
  std::unique_ptr<sites_part> made{new sites_part{limits}};
  BOOST_OUTCOME_TRY(registry, link::registry::open(data / "registry"));
  made->registry_ = std::move(registry);
  BOOST_OUTCOME_TRYV(restore_hosts(*made->hosts_, *store.data()));
  BOOST_OUTCOME_TRY(edges, made->registry_->list_edges());
  for (const auto& edge : edges)
    if (edge.revoked_s != 0)
      made->hosts_->end(edge.edge, edge.revoked_s * 1'000'000'000);
  made->sites_ =
      std::make_shared<site_directory>(made->registry_, made->hosts_, made->board_, system_clock());
  return made;
}

} // namespace skerry::cloud
