#include "actors/base/host_text.hpp"

#include <arpa/inet.h>
#include <string>

namespace skerry {

bool is_host_text(std::string_view host) {
  constexpr std::size_t name_bytes_max = 253;
  if (host.empty() || host.size() > name_bytes_max)
    return false;
  in6_addr address{};
  if (host.find(':') != std::string_view::npos) {
    const auto zone = host.find('%');
    return zone != host.size() - 1
           && inet_pton(AF_INET6, std::string{host.substr(0, zone)}.c_str(), &address) == 1;
  }
  if (host.find_first_not_of("0123456789.") == std::string_view::npos)
    return inet_pton(AF_INET, std::string{host}.c_str(), &address) == 1;
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return host.find_first_not_of(letters) == std::string_view::npos && host.front() != '-'
         && host.front() != '.';
}

} // namespace skerry
