#include "actors/node/http_part.hpp"

#include "actors/base/open_files.hpp"

namespace skerry::http {

result<std::unique_ptr<http_part>> http_part::open(server_config config, const std::filesystem::path& data,
                                                   std::vector<route> routes, prometheus::Registry& metrics) {
  config.connections_max = http_connections_within(config.connections_max);
  config.streams_max = http_streams_within(config.streams_max);
  config.unix_socket = (data / "operator.sock").string();
  BOOST_OUTCOME_TRY(running, server::start(std::move(config), std::move(routes), metrics));
  return std::unique_ptr<http_part>{new http_part{std::move(running)}};
}

} // namespace skerry::http
