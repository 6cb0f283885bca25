#include "schemas/model/host.hpp"

#include "schemas/bytes.hpp"

#include <xxhash.h>

namespace skerry {

host_id make_host_id(tenant_id tenant, std::string_view site, std::string_view host) {
  byte_buffer key;
  key.reserve(sizeof tenant + site.size() + 1 + host.size());
  byte_writer w{key};
  w.fixed(tenant);
  w.bytes(as_bytes(site));
  w.fixed(std::uint8_t{0});
  w.bytes(as_bytes(host));
  return host_id{XXH3_64bits(key.data(), key.size())};
}

} // namespace skerry
