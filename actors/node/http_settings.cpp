#include "actors/node/http_settings.hpp"

#include "actors/base/files.hpp"
#include "actors/node/settings.hpp"

#include <fmt/format.h>

#include <sys/stat.h>

namespace skerry::http {

namespace {

constexpr std::size_t token_bytes_max = 4096;
constexpr std::size_t answers_bytes_min = 4 << 20;

} // namespace

void read_settings(config_section& from, server_config& to) {
  from.read("listen", to.listen);
  from.read("allow_remote_unauthenticated", to.allow_remote_unauthenticated);
  from.read("hosts_allowed", to.hosts_allowed);
  from.read("trusted_proxies", to.trusted_proxies);
  read_count(from, "threads", to.threads, 1, 64);
  read_count(from, "connections_max", to.connections_max, 1, 100'000);
  read_size(from, "body_bytes_max", to.body_bytes_max);
  read_size(from, "bodies_bytes_max", to.bodies_bytes_max);
  if (to.bodies_bytes_max < to.body_bytes_max)
    from.complain("bodies_bytes_max", "must be at least body_bytes_max");
  read_size(from, "answers_bytes_max", to.answers_bytes_max);
  if (to.answers_bytes_max < answers_bytes_min)
    from.complain("answers_bytes_max", "must be at least 4MiB");
  read_count(from, "streams_max", to.streams_max, 0, 100'000);
  read_size(from, "stream_bytes_max", to.stream_bytes_max);
  read_milliseconds(from, "request_timeout", to.request_timeout);
  std::string file;
  if (from.read("token_file", file)) {
    auto text = read_file(file, token_bytes_max);
    struct stat there {};
    if (text && ::stat(file.c_str(), &there) == 0 && (there.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
      from.complain("token_file",
                    fmt::format("the token file {} can be read by others; run `chmod 600 {}`", file, file));
    } else if (!text) {
      from.complain("token_file", text.error().message);
    } else {
      to.bearer_token = std::move(text).value();
      while (!to.bearer_token.empty() && (to.bearer_token.back() == '\n' || to.bearer_token.back() == '\r'))
        to.bearer_token.pop_back();
      if (to.bearer_token.empty())
        from.complain("token_file", "the file is empty: put the token on its first line");
    }
  }
  if (const auto valid = to.validate(); !valid)
    from.complain("listen", valid.error().message);
}

} // namespace skerry::http
