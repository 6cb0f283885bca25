#include "actors/base/open_files.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <sys/resource.h>

namespace skerry {

namespace {

std::size_t open_files_max() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return SIZE_MAX;
  return limit.rlim_cur;
}

std::size_t within(std::size_t wanted, std::size_t share, const char* what) noexcept {
  if (share >= wanted)
    return wanted;
  spdlog::warn("{} is {} here: the process may open {} files; raise that limit for more", what, share,
               open_files_max());
  return std::max<std::size_t>(share, 1);
}

} // namespace

std::size_t raise_open_files() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit)); // as it was, then
  }
  return open_files_max();
}

std::size_t link_connections_within(std::size_t wanted) noexcept {
  return within(wanted, open_files_max() / 2, "link.connections_max");
}

std::size_t http_connections_within(std::size_t wanted) noexcept {
  return within(wanted, open_files_max() / 4, "http.connections_max");
}

std::size_t http_streams_within(std::size_t wanted) noexcept {
  return within(wanted, open_files_max() / 8, "http.streams_max");
}

} // namespace skerry
