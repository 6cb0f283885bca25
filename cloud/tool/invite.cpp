#include "cloud/tool/format.hpp"
#include "cloud/tool/options.hpp"
#include "cloud/tool/table.hpp"
#include "schemas/model/site_name.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sys/stat.h>
#include <unistd.h>

namespace skerry::cloud {

using nlohmann::json;

namespace {

constexpr std::size_t sites_max = 100'000;
constexpr std::size_t site_digits_min = 3; // of numbered sites

// The first column of each line; a heading "site", empty lines and lines that begin with # are left out.
result<std::vector<std::string>> read_sites(const std::filesystem::path& file) {
  std::ifstream opened;
  if (file != "-") {
    opened.open(file);
    if (!opened)
      return fail(errc::not_found,
                  fmt::format("cannot read {}: does it exist, and may you read it?", file.string()));
  }
  std::istream& in = file == "-" ? std::cin : opened;
  std::vector<std::string> sites;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (number == 1 && line.starts_with("\xEF\xBB\xBF"))
      line.erase(0, 3);
    auto site = line.substr(0, line.find_first_of(",;\r"));
    const auto first = site.find_first_not_of(" \t\"");
    const auto last = site.find_last_not_of(" \t\"");
    site = first == std::string::npos ? std::string{} : site.substr(first, last - first + 1);
    if (site.empty() || site.front() == '#' || (number == 1 && site == "site"))
      continue;
    if (!is_site_name(site))
      return fail(
          errc::invalid_argument,
          fmt::format("{}:{}: \"{}\" can't be a site's name; use up to {} letters, digits, '.', '_', '-'. No "
                      "invite was made",
                      file.string(), number, site, site_name_bytes_max));
    if (sites.size() == sites_max)
      return fail(errc::exhausted,
                  fmt::format("{} has more than {} sites; split it", file.string(), sites_max));
    sites.push_back(std::move(site));
  }
  if (sites.empty())
    return fail(errc::invalid_argument, fmt::format("{} names no site; one a line is wanted", file.string()));
  return sites;
}

result<json> make_invite(api_client& client, const std::string& site, const invite_options& options) {
  form parameters{{"site", site}, {"ttl", options.ttl}};
  if (!options.edge.empty())
    parameters.emplace_back("edge", options.edge);
  BOOST_OUTCOME_TRY(made, client.post("/api/v1/admin/invites", parameters));
  if (!made.is_array() || made.size() != 1 || !made[0].contains("token"))
    return fail(errc::malformed, "the cloud's answer holds no token; are tool and cloud of one version?");
  return std::move(made[0]);
}

// A token is a key to the fleet: say so when it goes to a file that others can read.
void warn_of_readable_stdout() {
  struct stat info {};
  if (::fstat(STDOUT_FILENO, &info) == 0 && S_ISREG(info.st_mode)
      && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    fmt::print(stderr,
               "The token went to a file that others can read: run `chmod 600` on it, or set `umask 077` "
               "before.\n");
}

// Tokens alone: the file is for `skerry-sim fleet`, or for a loop that copies each to its machine.
void print_many(const json& all) {
  for (const auto& made : all)
    fmt::print("{}\n", made.at("token").get<std::string>());
  std::fflush(stdout);
  warn_of_readable_stdout();
  fmt::print(stderr, "{} invites, from site {} to site {}, valid until {}. Each lets one edge node join.\n",
             all.size(), printable(all.front().at("site").get<std::string>()),
             printable(all.back().at("site").get<std::string>()),
             format_time(all.back().value("expires", 0.0)));
}

void print_one(const json& made) {
  fmt::print("{}\n", made.at("token").get<std::string>());
  std::fflush(stdout);
  warn_of_readable_stdout();
  fmt::print(stderr,
             "Invite for site {}, valid until {}. It lets one edge node join. On that machine:\n"
             "  skerry-edge join --token-file FILE\n",
             printable(made.at("site").get<std::string>()), format_time(made.value("expires", 0.0)));
}

} // namespace

std::string with_number(std::string name, std::size_t number, std::size_t digits) {
  if (const auto at = name.find("{}"); at != std::string::npos)
    name.replace(at, 2, fmt::format("{:0{}}", number, digits));
  return name;
}

int run_invite(const global_options& global, const invite_options& options) {
  std::vector<std::string> sites{options.site};
  if (options.count == 0 && options.from.empty() && options.site.find("{}") != std::string::npos)
    return report(
        {errc::invalid_argument,
         "{} in a site's name stands for a number: say how many with --count, or write the name out"});
  if (options.count != 0) {
    sites.clear();
    const auto digits = std::max<std::size_t>(site_digits_min, std::to_string(options.count).size());
    for (std::size_t i = 1; i <= options.count; ++i)
      sites.push_back(with_number(options.site, i, digits));
  }
  if (!options.from.empty()) {
    auto read = read_sites(options.from);
    if (!read)
      return report(read.error());
    sites = std::move(read.value());
  }
  auto to = global.for_changing();
  if (!to)
    return report(to.error());
  api_client client{std::move(to.value())};
  json all = json::array();
  int code = exit_ok;
  for (const auto& site : sites) {
    auto made = make_invite(client, site, options);
    if (!made) { // those made before are valid: they are printed
      code = report(made.error());
      if (!all.empty())
        fmt::print(stderr, "skerry: stopped at site {}; {} invites were made before\n", site, all.size());
      break;
    }
    all.push_back(std::move(made.value()));
  }
  if (global.json) {
    if (!all.empty() || code == exit_ok)
      fmt::print("{}\n", all.dump(2, ' ', false, json::error_handler_t::replace));
  } else if (options.count != 0) {
    if (!all.empty())
      print_many(all);
    return code;
  } else if (options.from.empty()) {
    if (!all.empty())
      print_one(all[0]);
    return code;
  } else if (!all.empty()) {
    table out{{{"SITE"}, {"EXPIRES"}, {"TOKEN"}}};
    for (const auto& made : all)
      out.add({made.at("site").get<std::string>(), format_time(made.value("expires", 0.0)),
               made.at("token").get<std::string>()});
    fmt::print("{}", out.render());
  }
  std::fflush(stdout);
  warn_of_readable_stdout();
  return code;
}

} // namespace skerry::cloud
