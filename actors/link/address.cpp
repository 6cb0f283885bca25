#include "actors/link/address.hpp"

#include "actors/link/limits.hpp"
#include "actors/link/text.hpp"
#include "actors/link/zmq_io.hpp"
#include "actors/node/config.hpp"

#include <fmt/format.h>

namespace skerry::link {

namespace {

constexpr std::string_view scheme = "tcp://";

} // namespace

std::string with_scheme(std::string_view address) {
  return address.starts_with(scheme) ? std::string{address} : fmt::format("{}{}", scheme, address);
}

result<void> check_advertised(std::string_view address) {
  const auto full = with_scheme(address);
  const auto colon = full.rfind(':');
  const auto host =
      std::string_view{full}.substr(scheme.size(), std::max(colon, scheme.size()) - scheme.size());
  const auto port = std::string_view{full}.substr(colon + 1);
  const bool v6 = host.starts_with('[') && host.ends_with(']');
  if (!detail::is_tcp_address(full) || full.size() > name_bytes_max || !is_clean_text(full) || host == "*"
      || port == "*" || port.find_first_not_of('0') == std::string_view::npos
      || host.find_first_of("/ \t@?#") != std::string_view::npos
      || (!v6 && host.find(':') != std::string_view::npos))
    return fail(
        errc::invalid_argument,
        fmt::format(
            "'{}' is no address that an edge could connect to; write HOST:PORT, with the name or address "
            "that edges reach this node by ([v6]:PORT)",
            clip_text(address, 80)));
  return ok();
}

void read_addresses(config_section& from, std::string& bind, std::string& advertise, bool may_be_off) {
  if (from.read("bind", bind) && !(bind.empty() && may_be_off) && !detail::is_tcp_address(bind))
    from.complain(
        "bind",
        fmt::format("'{}' is no address to listen on; write tcp://ADDRESS:PORT, with * for every address",
                    clip_text(bind, 80)));
  if (from.read("advertise", advertise) && !advertise.empty())
    if (const auto valid = check_advertised(advertise); !valid)
      from.complain("advertise", valid.error().message);
}

} // namespace skerry::link
