#include "cloud/operations_part.hpp"

namespace skerry::cloud {

namespace {

operations_settings settings_of(const cloud_config& config, const link::curve_keypair& keys,
                                const store_part& store, const sites_part& sites, const ingest_part& ingest,
                                config_reload& reload) {
  operations_settings settings;
  settings.registry = sites.registry();
  settings.sites = sites.all();
  settings.server_key = keys.public_key;
  settings.advertise = config.link.advertise;
  settings.link_address = ingest.address();
  settings.on_revoked = [to = ingest.actor(), hosts = ingest.hosts_owner()](edge_id edge) {
    caf::anon_send(to, revoked_atom_v, static_cast<std::uint64_t>(edge));
    caf::anon_send(hosts, revoked_atom_v, static_cast<std::uint64_t>(edge));
  };
  settings.takes_data = [store = store.data(), trust = ingest.trust()]() -> result<void> {
    if (auto doubt = doubt_of(trust->judge()); !doubt.empty())
      return fail(errc::unavailable, std::move(doubt));
    return store->takes_data();
  };
  settings.reload = [&reload] { return reload(); };
  return settings;
}

} // namespace

operations_part::operations_part(const cloud_config& config, const link::curve_keypair& keys,
                                 const store_part& store, const sites_part& sites, const ingest_part& ingest,
                                 config_reload& reload, random_source& random)
    : operations_(settings_of(config, keys, store, sites, ingest, reload), system_clock(), random),
      feed_(operations_, system_clock().wall_ns()) {}

} // namespace skerry::cloud
