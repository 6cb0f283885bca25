#include "actors/http/guard.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <charconv>
#include <cstring>
#include <sodium.h>

namespace skerry::http {

std::string lower(std::string_view text) {
  std::string out{text};
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool split_host_port(std::string_view text, host_and_port& into) {
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos)
      return false;
    into.host = lower(text.substr(1, close - 1));
    text.remove_prefix(close + 1);
    if (!text.empty() && !text.starts_with(':'))
      return false;
    into.port = text.empty() ? std::string_view{} : text.substr(1);
  } else {
    const auto colon = text.find(':');
    if (colon != std::string_view::npos && text.find(':', colon + 1) != std::string_view::npos)
      return false; // an IPv6 address needs brackets
    into.host = lower(text.substr(0, colon));
    into.port = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
  }
  return std::all_of(into.port.begin(), into.port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_loopback_literal(std::string_view address) {
  const std::string text{address};
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1)
    return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1)
    return false;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

bool is_proxy_header(std::string_view name) noexcept {
  static constexpr std::string_view names[] = {"forwarded",           "via",
                                               "x-real-ip",           "x-client-ip",
                                               "x-cluster-client-ip", "true-client-ip",
                                               "forwarded-for",       "cf-connecting-ip",
                                               "fastly-client-ip",    "x-original-forwarded-for",
                                               "x-forwarded",         "x-proxyuser-ip",
                                               "x-original-host",     "x-envoy-external-address"};
  return name.starts_with("x-forwarded-")
         || std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::optional<network> parse_network(std::string_view text) {
  const auto slash = text.find('/');
  const std::string address{text.substr(0, slash)};
  network out;
  unsigned width = 128;
  if (in_addr v4{}; inet_pton(AF_INET, address.c_str(), &v4) == 1) {
    width = 32;
    out.bytes[10] = out.bytes[11] = 0xff;
    std::memcpy(&out.bytes[12], &v4, sizeof v4);
  } else if (inet_pton(AF_INET6, address.c_str(), out.bytes.data()) != 1) {
    return std::nullopt;
  }
  unsigned bits = width;
  if (slash != text.npos) {
    const auto count = text.substr(slash + 1);
    const auto read = std::from_chars(count.data(), count.data() + count.size(), bits);
    if (count.empty() || read.ec != std::errc{} || read.ptr != count.data() + count.size() || bits > width)
      return std::nullopt;
  }
  out.bits = bits + 128 - width;
  return out;
}

namespace {

bool contains(const network& in, const network& address) {
  const auto whole = in.bits / 8;
  if (std::memcmp(in.bytes.data(), address.bytes.data(), whole) != 0)
    return false;
  const auto rest = in.bits % 8;
  return rest == 0 || ((in.bytes[whole] ^ address.bytes[whole]) >> (8 - rest)) == 0;
}

} // namespace

bool guard::trusted(std::string_view text) const {
  const auto address = parse_network(text);
  return address && address->bits == 128
         && std::any_of(trusted_proxies_.begin(), trusted_proxies_.end(),
                        [&](const network& one) { return contains(one, *address); });
}

// The client is the right-most address that is no trusted proxy's; where all are, the left-most. What is no address
// is nobody's: not loopback.
bool guard::forwarded_from_loopback(std::string_view list) const {
  std::string client;
  for (bool more = true; more;) {
    const auto comma = list.rfind(',');
    auto one = comma == list.npos ? list : list.substr(comma + 1);
    more = comma != list.npos;
    list = list.substr(0, more ? comma : 0);
    const auto first = one.find_first_not_of(" \t\"");
    one =
        first == one.npos ? std::string_view{} : one.substr(first, one.find_last_not_of(" \t\"") - first + 1);
    host_and_port parts; // some proxies add the port
    client = split_host_port(one, parts) ? parts.host : std::string{one};
    if (!trusted(client))
      break;
  }
  return is_loopback_literal(client);
}

guard::guard(const server_config& config)
    : token_(config.bearer_token), remote_allowed_(config.allow_remote_unauthenticated) {
  for (const auto& text : config.trusted_proxies)
    if (const auto one = parse_network(text)) // validate() has refused the others
      trusted_proxies_.push_back(*one);
  for (const auto& host : config.hosts_allowed) {
    if (host == "*")
      any_host_ = true;
    host_and_port parts;
    hosts_.push_back(split_host_port(host, parts) ? parts.host : lower(host));
  }
  if (host_and_port parts; split_host_port(config.listen, parts) && !parts.host.empty()
                           && parts.host != "0.0.0.0" && parts.host != "::" && parts.host != "*")
    hosts_.push_back(parts.host);
}

bool guard::host_allowed(std::string_view host, const peer& from) const {
  host_and_port parts;
  if (any_host_)
    return true;
  if (!split_host_port(host, parts) || parts.host.empty())
    return false;
  if (parts.host.ends_with('.')) // a fully qualified name
    parts.host.pop_back();
  return parts.host == "localhost" || is_loopback_literal(parts.host) || parts.host == from.local_address
         || std::find(hosts_.begin(), hosts_.end(), parts.host) != hosts_.end();
}

namespace {

std::string_view lacks(right needs) noexcept {
  switch (needs) {
  case right::read: return "this needs the right `read`: send the bearer token\n";
  case right::push: return "this needs the right `push`: send the bearer token, or ask from this machine\n";
  case right::name_site: return "this needs the right `name_site`: send the bearer token\n";
  case right::operate:
    return "this needs the right `operate`: use the operator's Unix socket, or the bearer token\n";
  case right::administer: break;
  }
  return "this needs the right `administer`: use the operator's Unix socket, or the bearer token\n";
}

} // namespace

verdict guard::check(const peer& from, bool http_1_1, std::string_view host, std::string_view origin,
                     std::string_view authorization, right needs, const forwarding& by) const {
  const auto refuse = [](unsigned status, std::string_view reason, std::string_view message) {
    return verdict{status, {}, reason, message};
  };
  if (from.unix_socket) {
    if (!from.own_user)
      return refuse(403, "peer", "only root and the user that runs this process may use this socket\n");
    return {200, {"operator socket", rights::every(), {}}, {}, {}};
  }
  if (host.empty() && http_1_1)
    return refuse(400, "host", "missing Host header\n");
  if (!host.empty() && !host_allowed(host, from))
    return refuse(403, "host",
                  "this Host is not served here; add it to http.hosts_allowed if it should be\n");
  if (!origin.empty()) {
    const auto scheme = origin.find("://");
    if (scheme == std::string_view::npos || lower(origin.substr(scheme + 3)) != lower(host))
      return refuse(403, "origin", "cross-origin requests are not served\n");
  }
  constexpr std::string_view scheme = "bearer ";
  if (!token_.empty() && authorization.size() >= scheme.size()
      && lower(authorization.substr(0, scheme.size())) == scheme) {
    const auto given = authorization.substr(scheme.size());
    if (given.size() != token_.size() || sodium_memcmp(given.data(), token_.data(), token_.size()) != 0)
      return refuse(401, "token", "the bearer token is not the one of this node\n");
    return {200, {"bearer token", rights::every(), {}}, {}, {}};
  }
  const bool by_trusted = by.any && trusted(from.address);
  if (by.any && !by_trusted && from.loopback)
    return refuse(
        403, "proxy",
        "this came through a proxy on this machine that is not known: whoever asks it would count as local; "
        "add the "
        "proxy's address to http.trusted_proxies and let it set X-Forwarded-For, or send the bearer token\n");
  const bool local = by_trusted ? forwarded_from_loopback(by.forwarded_for) : from.loopback;
  if (!local && !token_.empty() && !remote_allowed_)
    return refuse(401, "token", "a bearer token is needed from other machines\n");
  principal who{local ? "this machine" : "another machine",
                local ? rights{right::read, right::push} : rights{right::read},
                {}};
  if (!who.may.has(needs))
    return refuse(403, "right", lacks(needs));
  return {200, std::move(who), {}, {}};
}

} // namespace skerry::http
