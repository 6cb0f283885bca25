#include "actors/link/address.hpp"

#include "actors/base/host_text.hpp"
#include "actors/link/limits.hpp"
#include "actors/link/text.hpp"
#include "actors/link/zmq_io.hpp"
#include "actors/node/config.hpp"

#include <fmt/format.h>

namespace skerry::link {

namespace {

constexpr std::string_view scheme = "tcp://";

bool can_be_bound(std::string_view address) {
  if (!detail::is_tcp_address(address))
    return false;
  auto host = address.substr(scheme.size(), address.rfind(':') - scheme.size());
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  return host == "*" || is_host_text(host);
}

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
  if (from.read("bind", bind) && !(bind.empty() && may_be_off) && !can_be_bound(bind))
    from.complain(
        "bind",
        fmt::format("'{}' is no address to listen on; write tcp://ADDRESS:PORT, with * for every address",
                    clip_text(bind, 80)));
  if (from.read("advertise", advertise) && !advertise.empty())
    if (const auto valid = check_advertised(advertise); !valid)
      from.complain("advertise", valid.error().message);
}

void read_message_limit(config_section& from, std::size_t& message_bytes_max, std::size_t batch_bytes_max,
                        std::string_view batch_key) {
  std::uint64_t bytes = message_bytes_max;
  from.read_bytes("message_bytes_max", bytes);
  message_bytes_max = bytes;
  if (bytes < (64 << 10) || bytes > (std::uint64_t{1} << 30))
    from.complain("message_bytes_max", "must lie between 64KiB and 1GiB");
  else if (bytes < batch_bytes_max)
    from.complain("message_bytes_max",
                  fmt::format("must be at least {}, {}: a batch would not fit into a message", batch_key,
                              format_bytes(batch_bytes_max)));
}

bool same_port(std::string_view bind, std::string_view listen) {
  const auto split = [](std::string_view text) {
    const auto colon = std::min(text.rfind(':'), text.size());
    auto host = text.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']'))
      host = host.substr(1, host.size() - 2);
    if (host == "*" || host == "::" || host == "0.0.0.0")
      host = {};
    return std::pair{host == "localhost" ? std::string_view{"127.0.0.1"} : host,
                     text.substr(std::min(colon + 1, text.size()))};
  };
  if (!bind.starts_with(scheme) || listen.empty())
    return false;
  const auto [host_a, port_a] = split(bind.substr(scheme.size()));
  const auto [host_b, port_b] = split(listen);
  return port_a == port_b && port_a.find_first_not_of('0') != std::string_view::npos && port_a != "*"
         && (host_a.empty() || host_b.empty() || host_a == host_b);
}

} // namespace skerry::link
