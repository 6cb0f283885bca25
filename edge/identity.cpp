#include "edge/identity.hpp"

#include "actors/base/files.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <sodium.h>

namespace skerry::edge {

namespace {

constexpr std::string_view file_name = "identity.json";
constexpr std::string_view damaged_name = "identity.json.damaged";
constexpr std::size_t file_bytes_max = 64 << 10;
constexpr int format_version = 1;

// Over everything else in the file: a flipped bit in a name or an address would still be JSON.
std::string check_of(nlohmann::json json) {
  json.erase("check");
  const auto text = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::array<unsigned char, 16> hash{};
  (void)crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(text.data()),
                           text.size(), nullptr, 0);
  return fmt::format("{:02x}", fmt::join(hash, ""));
}

} // namespace

result<edge_identity> load_identity(const std::filesystem::path& data) {
  const auto file = data / file_name;
  auto text = read_file(file, file_bytes_max);
  if (!text) {
    if (text.error().code == errc::not_found)
      return fail(
          errc::not_found,
          fmt::format(
              "the edge in {} has not joined a cloud yet: make a token there with `skerry invite --site "
              "NAME`, then run `skerry-edge join --token-file FILE --data {}`",
              data.string(), data.string()));
    return std::move(text).error();
  }
  const auto damaged = [&](std::string_view what) {
    return fail(
        errc::malformed,
        fmt::format(
            "{} is damaged ({}): restore it, or join again: `skerry sites` there shows this edge's id, "
            "`skerry invite --edge ID` makes the token, `skerry-edge join --token-file FILE --data {}` "
            "puts it right",
            file.string(), what, data.string()));
  };
  const auto json = nlohmann::json::parse(text.value(), nullptr, false);
  if (!json.is_object() || !json.contains("format") || !json["format"].is_number_integer())
    return damaged("not JSON with a format number");
  if (json["format"].get<int>() > format_version)
    return fail(errc::unsupported_version,
                fmt::format("{} was written by a newer version of Skerry: upgrade this one", file.string()));
  const auto text_of = [&](const char* key) {
    return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : std::string{};
  };
  // The first builds wrote none.
  if (json.contains("check") && text_of("check") != check_of(json))
    return damaged("its content does not match its check; after a change by hand delete the line \"check\"");
  edge_identity identity;
  const auto edge = parse_edge_id(text_of("edge"));
  const auto server_key = link::from_hex(text_of("server_key"));
  if (!edge || !server_key)
    return damaged("no edge id or no server key");
  identity.edge = edge.value();
  identity.server_key = server_key.value();
  identity.site = text_of("site");
  if (json.contains("addresses") && json["addresses"].is_array())
    for (const auto& address : json["addresses"])
      if (address.is_string())
        identity.addresses.push_back(address.get<std::string>());
  if (identity.addresses.empty())
    return damaged("no address");
  if (const auto token = link::from_hex(text_of("joined_with")))
    identity.joined_with = token.value();
  return identity;
}

result<void> save_identity(const std::filesystem::path& data, const edge_identity& identity) {
  nlohmann::json json{{"format", format_version},
                      {"edge", to_string(identity.edge)},
                      {"site", identity.site},
                      {"server_key", link::to_hex(identity.server_key)},
                      {"addresses", identity.addresses}};
  if (identity.joined_with)
    json["joined_with"] = link::to_hex(*identity.joined_with);
  json["check"] = check_of(json);
  if (const auto there = load_identity(data); !there && there.error().code == errc::malformed) {
    std::error_code code;
    std::filesystem::rename(data / file_name, data / damaged_name, code);
    if (code)
      return fail(errc::io, fmt::format("can't move the damaged {} away: {}", (data / file_name).string(),
                                        code.message()));
  }
  return write_file_durably(data / file_name, json.dump(2) + "\n");
}

} // namespace skerry::edge
