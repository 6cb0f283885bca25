#include "actors/delivery/presence.hpp"

#include "actors/delivery/quota.hpp"
#include "actors/link/limits.hpp"
#include "actors/link/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace skerry::delivery {

namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
constexpr std::int64_t ping_interval_default_ns = 240 * second_ns; // of peers that do not say theirs
constexpr std::int64_t ping_delay_max_ns = 10 * second_ns;
constexpr std::int64_t heard_step_ns = 60 * second_ns; // worth a write
constexpr std::string_view text_version = "1";

std::string one_line(std::string_view text) {
  if (!link::is_clean_text(text))
    return {};
  return std::string{link::clip_text(text, link::name_bytes_max)};
}

template <class T>
bool take_number(std::string_view& from, T& to, int base = 10) {
  const auto end = std::min(from.find(' '), from.size());
  const auto [stop, failed] = std::from_chars(from.data(), from.data() + end, to, base);
  if (failed != std::errc{} || stop != from.data() + end)
    return false;
  from.remove_prefix(std::min(end + 1, from.size()));
  return true;
}

} // namespace

std::int64_t silence_max_ns(std::int64_t ping_interval_ns) noexcept {
  const auto interval = ping_interval_ns > 0 ? ping_interval_ns : ping_interval_default_ns;
  return interval + std::max(interval / 4, std::min(interval, ping_delay_max_ns));
}

edge_presence presence_of(const edge_view& view, std::int64_t now_ns) {
  edge_presence out{view.edge,          edge_id::none,           link::presence::connected,
                    view.since_wall_ns, view.last_heard_wall_ns, {}};
  const auto is = [&](link::presence now, std::string cause = {}) {
    out.now = now;
    out.cause = one_line(cause);
    return out;
  };
  if (view.duplicate)
    return is(link::presence::duplicate, "a second node uses its key");
  if (!view.connected)
    return is(view.ended, view.cause);
  // A sender without any quota left says nothing more, not even that it is there.
  const bool says_nothing = view.link.quota == static_cast<std::uint16_t>(quota_level::exhausted);
  if (!says_nothing && now_ns - view.last_heard_wall_ns > silence_max_ns(view.ping_interval_ns)) {
    out.since_ns = view.last_heard_wall_ns;
    return is(link::presence::unreachable, "silent");
  }
  if (view.link.quota != 0)
    return is(link::presence::quota,
              to_string(quota_level{static_cast<std::uint8_t>(std::min<std::uint16_t>(view.link.quota, 4))}));
  if (const auto own = view.refused.find(view.edge); own != view.refused.end())
    return is(link::presence::refused, own->second.message);
  return out;
}

std::string to_text(const edge_presence& from) {
  return fmt::format("{} {} {} {} {} {} {}", text_version, to_string(from.edge), to_string(from.behind),
                     static_cast<unsigned>(from.now), from.since_ns, from.heard_ns, one_line(from.cause));
}

std::optional<edge_presence> presence_from_text(std::string_view text) {
  if (!text.starts_with(text_version) || text.substr(text_version.size(), 1) != " ")
    return std::nullopt;
  text.remove_prefix(text_version.size() + 1);
  std::uint64_t edge = 0, behind = 0;
  std::uint16_t now = 0;
  edge_presence out;
  if (!take_number(text, edge, 16) || !take_number(text, behind, 16) || !take_number(text, now)
      || !take_number(text, out.since_ns) || !take_number(text, out.heard_ns) || now >= link::presence_count)
    return std::nullopt;
  out.edge = edge_id{edge};
  out.behind = edge_id{behind};
  out.now = link::presence{now};
  out.cause = one_line(text);
  return out;
}

void presence_book::restore(edge_presence kept) {
  kept_[kept.edge] = kept;
  if (is_there(kept.now)) {
    kept.now = link::presence::unreachable;
    kept.cause = "not heard of since this node started";
    kept.since_ns = kept.heard_ns;
  }
  all_[kept.edge] = std::move(kept);
}

void presence_book::note(edge_id edge, link::presence now, std::int64_t since_ns) {
  auto& entry = all_[edge];
  entry.edge = edge;
  if (entry.now == now)
    return;
  entry.now = now;
  entry.since_ns = since_ns;
  entry.cause.clear();
}

void presence_book::update(const std::vector<edge_view>& views, std::int64_t now_ns) {
  const auto take = [this](edge_presence now) {
    auto& entry = all_[now.edge];
    now.heard_ns = std::max(now.heard_ns, entry.heard_ns);
    entry = std::move(now);
  };
  for (const auto& view : views)
    if (view.behind) {
      const auto gateway = presence_of(view, now_ns);
      const bool there = is_there(gateway.now);
      for (const auto& [edge, said] : *view.behind) {
        edge_presence of{edge, view.edge, said.now, said.since_ns, said.heard_ns, said.cause};
        if (!there && is_there(said.now)) {
          of.now = link::presence::unreachable;
          of.since_ns = gateway.since_ns;
          of.cause =
              fmt::format("behind gateway {} ({})", to_string(view.edge), link::to_string(gateway.now));
        }
        if (const auto not_taken = view.refused.find(edge); there && not_taken != view.refused.end()) {
          of.now = link::presence::refused;
          of.cause = one_line(not_taken->second.message);
        }
        take(std::move(of));
      }
    }
  for (const auto& view : views) // last: what connects here itself is known best
    if (view.connected || view.ended != link::presence::never)
      take(presence_of(view, now_ns));
}

std::vector<edge_presence> presence_book::take_changes(bool every_time) {
  std::vector<edge_presence> out;
  for (const auto& [edge, now] : all_) {
    auto& kept = kept_[edge];
    const bool same =
        kept.edge == edge && kept.now == now.now && kept.cause == now.cause && kept.behind == now.behind;
    if (same && now.heard_ns - kept.heard_ns < (every_time ? 1 : heard_step_ns))
      continue;
    kept = now;
    out.push_back(now);
  }
  return out;
}

} // namespace skerry::delivery
