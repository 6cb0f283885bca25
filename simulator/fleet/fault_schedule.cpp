#include "simulator/fleet/fault_schedule.hpp"

#include "actors/node/config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

namespace skerry::sim {

namespace {

using std::chrono::nanoseconds;

constexpr std::size_t flaps_max = 100'000; // of one fault
constexpr std::array<std::string_view, 5> fault_names{"site-outage", "region-outage", "fleet-outage",
                                                      "flapping", "clock-skew"};

using words = std::map<std::string, std::string, std::less<>>;

auto wrong(std::string text) { return fail(errc::invalid_argument, std::move(text)); }

result<nanoseconds> signed_duration(std::string_view text) {
  const bool negative = text.starts_with('-');
  BOOST_OUTCOME_TRY(value, parse_duration(negative ? text.substr(1) : text));
  return negative ? -value : value;
}

class fault_reader {
public:
  fault_reader(std::string_view kind, words given) : kind_(kind), given_(std::move(given)) {}

  result<fleet_fault> read() {
    const auto found = std::find(fault_names.begin(), fault_names.end(), kind_);
    if (found == fault_names.end())
      return wrong(fmt::format("there is no fault '{}'; there are: {}", kind_, fmt::join(fault_names, ", ")));
    fleet_fault out;
    out.kind = static_cast<fleet_fault_kind>(found - fault_names.begin());
    BOOST_OUTCOME_TRYV(time("at", out.at, true));
    BOOST_OUTCOME_TRYV(time("for", out.length, true));
    if (out.at < nanoseconds::zero() || out.length <= nanoseconds::zero())
      return wrong(fmt::format("{}: 'at' must not be negative, and 'for' above 0", kind_));
    const bool outage = out.kind <= fleet_fault_kind::fleet_outage;
    BOOST_OUTCOME_TRYV(place(out, outage));
    if (out.kind == fleet_fault_kind::flapping) {
      BOOST_OUTCOME_TRYV(time("every", out.every, true));
      BOOST_OUTCOME_TRYV(time("down", out.down, true));
      if (out.down <= nanoseconds::zero() || out.every <= out.down
          || out.length / out.every > static_cast<std::int64_t>(flaps_max))
        return wrong("flapping: 'down' must be above 0 and below 'every', as in every=1m down=10s");
    }
    if (out.kind == fleet_fault_kind::clock_skew) {
      BOOST_OUTCOME_TRYV(time("by", out.by, true));
    }
    if (const auto back = take("return"); out.kind != fleet_fault_kind::clock_skew && !back.empty()) {
      if (back != "at-once" && back != "backoff")
        return wrong(fmt::format("{}: 'return' is at-once or backoff", kind_));
      out.return_at_once = back == "at-once";
    }
    if (!given_.empty())
      return wrong(fmt::format("{} knows no '{}'", kind_, given_.begin()->first));
    return out;
  }

private:
  std::string take(std::string_view key) {
    const auto it = given_.find(key);
    if (it == given_.end())
      return {};
    auto value = std::move(it->second);
    given_.erase(it);
    return value;
  }

  result<void> time(std::string_view key, nanoseconds& into, bool needed) {
    const auto text = take(key);
    if (text.empty())
      return needed ? result<void>{wrong(fmt::format("{} needs '{}', as in {}=1m", kind_, key, key))} : ok();
    const auto value = signed_duration(text);
    if (!value)
      return wrong(fmt::format("{}: {}={}: {}", kind_, key, text, value.error().message));
    into = value.value();
    return ok();
  }

  result<void> place(fleet_fault& to, bool outage) {
    to.site = take("site");
    if (const auto region = take("region"); !region.empty()) {
      const auto [end, code] = std::from_chars(region.data(), region.data() + region.size(), to.region);
      if (code != std::errc{} || end != region.data() + region.size() || to.region == 0)
        return wrong(fmt::format("{}: region={}: regions are numbered from 1", kind_, region));
    }
    if (to.region != 0 && !to.site.empty())
      return wrong(fmt::format("{}: name a site or a region, not both", kind_));
    if (to.kind == fleet_fault_kind::site_outage && to.site.empty())
      return wrong("site-outage needs the site's name, as in site=site-001");
    if (to.kind == fleet_fault_kind::region_outage && to.region == 0)
      return wrong("region-outage needs the region's number, as in region=1");
    if (outage
        && ((to.kind != fleet_fault_kind::site_outage && !to.site.empty())
            || (to.kind != fleet_fault_kind::region_outage && to.region != 0)))
      return wrong(fmt::format("{} does not take 'site' or 'region' like that", kind_));
    return ok();
  }

  std::string kind_;
  words given_;
};

} // namespace

std::string_view to_string(fleet_fault_kind kind) noexcept {
  return fault_names[static_cast<std::size_t>(kind)];
}

std::string fleet_fault::text() const {
  auto out = fmt::format("{} at={} for={}", to_string(kind), format_duration(at), format_duration(length));
  if (!site.empty())
    out += " site=" + site;
  if (region != 0)
    out += fmt::format(" region={}", region);
  if (kind == fleet_fault_kind::flapping)
    out += fmt::format(" every={} down={}", format_duration(every), format_duration(down));
  if (kind == fleet_fault_kind::clock_skew)
    out += fmt::format(" by={}{}", by < nanoseconds::zero() ? "-" : "",
                       format_duration(by < nanoseconds::zero() ? -by : by));
  if (return_at_once)
    out += " return=at-once";
  return out;
}

result<fleet_fault> parse_fault(std::string_view text) {
  std::string kind;
  words given;
  while (!text.empty()) {
    const auto word = text.substr(0, text.find_first_of(" \t"));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (word.empty())
      continue;
    const auto equals = word.find('=');
    if (kind.empty() && equals == std::string_view::npos) {
      kind = word;
      continue;
    }
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == word.size())
      return wrong(fmt::format(
          "'{}' is no key=value; a fault is written as 'region-outage at=2m for=5m region=1'", word));
    if (!given.emplace(word.substr(0, equals), word.substr(equals + 1)).second)
      return wrong(fmt::format("'{}' is given twice", word.substr(0, equals)));
  }
  return fault_reader{kind, std::move(given)}.read();
}

result<std::vector<fleet_fault>> load_faults(const std::filesystem::path& file) {
  BOOST_OUTCOME_TRY(document, config_document::load(file));
  std::vector<fleet_fault> out;
  auto& root = document->root();
  root.list("faults", [&](config_section& s) {
    std::string kind;
    words given;
    if (!s.read("kind", kind))
      s.complain("", fmt::format("a fault needs its kind: {}", fmt::join(fault_names, ", ")));
    for (const auto* key : {"at", "for", "site", "region", "every", "down", "by", "return"})
      if (std::string value; s.read(key, value))
        given.emplace(key, std::move(value));
    if (kind.empty())
      return;
    auto fault = fault_reader{kind, std::move(given)}.read();
    if (fault)
      out.push_back(std::move(fault).value());
    else
      s.complain("kind", fault.error().message);
  });
  root.finish();
  if (!document->errors().empty())
    return wrong(fmt::format("{}", fmt::join(document->errors(), "\n")));
  return out;
}

std::vector<fault_event> events_of(const std::vector<fleet_fault>& schedule) {
  using action = fault_event::action;
  std::vector<fault_event> out;
  for (std::size_t i = 0; i < schedule.size(); ++i) {
    const auto& fault = schedule[i];
    const auto end = fault.at + fault.length;
    if (fault.kind == fleet_fault_kind::clock_skew) {
      out.push_back({action::skew, fault.at, i, false});
      out.push_back({action::unskew, end, i, true});
    } else if (fault.kind == fleet_fault_kind::flapping) {
      for (auto at = fault.at; at < end; at += fault.every) {
        const auto up = std::min(at + fault.down, end);
        out.push_back({action::cut, at, i, false});
        out.push_back({action::restore, up, i, at + fault.every >= end});
      }
    } else {
      out.push_back({action::cut, fault.at, i, false});
      out.push_back({action::restore, end, i, true});
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
  return out;
}

} // namespace skerry::sim
