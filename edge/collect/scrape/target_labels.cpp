#include "edge/collect/scrape/target_labels.hpp"

#include "edge/collect/scrape/exposition_line.hpp"
#include "schemas/model/host.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <xxhash.h>

namespace skerry::edge {

namespace {

constexpr std::string_view address_label = "__address__";
constexpr std::string_view scheme_label = "__scheme__";
constexpr std::string_view path_label = "__metrics_path__";
constexpr std::string_view interval_label = "__scrape_interval__";
constexpr std::string_view timeout_label = "__scrape_timeout__";
constexpr std::string_view param_prefix = "__param_";

struct address_parts {
  std::string_view host;
  bool has_port = false;
};

// nullopt: neither "host", "host:port", "[v6]" nor "[v6]:port".
std::optional<address_parts> split_address(std::string_view address) {
  if (address.starts_with('[')) {
    const auto close = address.find(']');
    if (close == std::string_view::npos)
      return std::nullopt;
    const auto rest = address.substr(close + 1);
    if (!rest.empty() && rest.front() != ':')
      return std::nullopt;
    return address_parts{address.substr(1, close - 1), !rest.empty()};
  }
  const auto colon = address.find(':');
  if (colon == std::string_view::npos)
    return address_parts{address, false};
  if (address.find(':', colon + 1) != std::string_view::npos)
    return std::nullopt;
  return address_parts{address.substr(0, colon), true};
}

std::string escape(std::string_view text, std::string_view kept) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
                       || kept.find(c) != std::string_view::npos;
    if (plain)
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string make_url(const labels& all, const scrape_config& config) {
  std::map<std::string, std::vector<std::string>> params; // sorted, as Go's url.Values.Encode
  for (const auto& [name, values] : config.params)
    params[name] = values;
  for (const auto& [name, value] : all) {
    if (!name.starts_with(param_prefix))
      continue;
    auto& values = params[name.substr(param_prefix.size())];
    if (values.empty())
      values.push_back(value);
    else
      values.front() = value;
  }
  std::string query;
  for (const auto& [name, values] : params)
    for (const auto& value : values)
      query += fmt::format("{}{}={}", query.empty() ? "?" : "&", escape(name, "-_.~"), escape(value, "-_.~"));
  const auto path = value_of(all, path_label);
  return fmt::format("{}://{}{}{}{}", value_of(all, scheme_label), value_of(all, address_label),
                     path.starts_with('/') || path.empty() ? "" : "/", escape(path, "-_.~/$&+,:;=@!*'()%"),
                     query);
}

} // namespace

labels resolved_target::public_labels() const {
  labels out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out),
               [](const label& l) { return !l.name.starts_with("__"); });
  return out;
}

std::string resolved_target::host() const {
  std::string host{value_of(all, "host")};
  if (host.empty()) {
    const auto address = value_of(all, address_label);
    const auto parts = split_address(address);
    host = parts ? parts->host : address;
  }
  // Cut, but never so that two hosts become one.
  if (host.size() > host_name_bytes_max) {
    const auto rest = fmt::format("~{:016x}", XXH3_64bits(host.data(), host.size()));
    host.resize(host_name_bytes_max - rest.size());
    host += rest;
  }
  return host;
}

result<std::optional<resolved_target>> resolve_target(labels discovered, const scrape_config& config) {
  const auto refuse = [](std::string why) { return fail(errc::invalid_argument, std::move(why)); };
  auto& all = discovered;
  sort_labels(all);
  const auto set_if_absent = [&](std::string_view name, std::string_view value) {
    if (value_of(all, name).empty())
      set_label(all, name, value);
  };
  set_if_absent("job", config.job_name);
  set_if_absent(interval_label, format_duration(config.scrape_interval));
  set_if_absent(timeout_label, format_duration(config.scrape_timeout));
  set_if_absent(path_label, config.metrics_path);
  set_if_absent(scheme_label, config.scheme);
  for (const auto& [name, values] : config.params)
    if (!values.empty())
      set_label(all, std::string{param_prefix} + name, values.front());

  resolved_target out;
  out.discovered = all;
  if (!relabel(all, config.relabel_configs))
    return std::optional<resolved_target>{};
  std::string address{value_of(all, address_label)};
  if (address.empty())
    return refuse("a target has no address");
  const auto scheme = value_of(all, scheme_label);
  if (!scheme.empty() && scheme != "http" && scheme != "https")
    return refuse(fmt::format("target {}: invalid scheme '{}'", address, scheme));
  const bool secure = scheme == "https";
  if (scheme.empty())
    set_label(all, scheme_label, "http");
  if (const auto parts = split_address(address); parts && !parts->has_port)
    address += secure ? ":443" : ":80";
  if (address.find_first_of("/?#@ \t\r\n") != std::string::npos)
    return refuse(fmt::format("'{}' is no address of a target: give host:port", address));
  set_label(all, address_label, address);

  const auto interval = parse_duration(value_of(all, interval_label));
  const auto timeout = parse_duration(value_of(all, timeout_label));
  if (!interval || interval.value().count() <= 0)
    return refuse(
        fmt::format("target {}: '{}' is no scrape interval", address, value_of(all, interval_label)));
  if (!timeout || timeout.value().count() <= 0)
    return refuse(fmt::format("target {}: '{}' is no scrape timeout", address, value_of(all, timeout_label)));
  if (timeout.value() > interval.value())
    return refuse(fmt::format("target {}: the scrape timeout is longer than the scrape interval", address));
  out.interval = interval.value();
  out.timeout = timeout.value();
  std::erase_if(all, [](const label& l) { return l.name.starts_with("__meta_"); });
  set_if_absent("instance", address);
  for (const auto& [name, value] : all)
    if (!is_utf8(value))
      return refuse(fmt::format("target {}: the label '{}' is not UTF-8", address, name));
  out.url = make_url(all, config);
  out.all = std::move(all);
  return std::optional{std::move(out)};
}

} // namespace skerry::edge
