#include "cloud/api/site_feed.hpp"

#include "cloud/api/json.hpp"

#include <fmt/format.h>

namespace skerry::cloud {

namespace {

// What is of /api/v1/sites and tells how a site stands; not its counts, which change all the time.
std::string state_of(const site_status& s) {
  return dump(
      {{"site", s.site},
       {"edge", s.edge == edge_id::none ? json{} : json(to_string(s.edge))},
       {"state", to_string(s.state)},
       {"cause", s.cause.empty() ? json{} : json(s.cause)},
       {"since", s.since_ns == 0 ? json{} : json(static_cast<double>(s.since_ns / 1'000'000) / 1'000)},
       {"behind", s.behind == edge_id::none ? json{} : json(to_string(s.behind))}});
}

} // namespace

void site_feed::follow(http::stream_ptr to, std::string_view last_event_id) {
  const std::lock_guard lock{mutex_};
  if (followers_.empty()) {
    told_ = look();
    ++messages_; // what changed meanwhile has no number
  }
  if (last_event_id != id()) {
    std::string all;
    for (const auto& [whose, state] : told_)
      all += (all.empty() ? "" : ",") + state;
    if (!to->push(std::make_shared<const http::stream_message>(
            http::stream_message{"sites", id(), "[" + all + "]"})))
      return;
  }
  followers_.push_back(std::move(to));
}

void site_feed::on_tick() {
  const std::lock_guard lock{mutex_};
  if (followers_.empty())
    return;
  auto now = look();
  for (const auto& [whose, state] : now)
    if (const auto before = told_.find(whose); before == told_.end() || before->second != state)
      tell("site", state);
  for (const auto& [whose, state] : told_)
    if (!now.contains(whose))
      tell("gone", state);
  told_ = std::move(now);
}

std::string site_feed::id() const { return fmt::format("{}-{}", started_ns_, messages_); }

std::map<site_feed::key, std::string> site_feed::look() {
  std::map<key, std::string> out;
  for (const auto& site : node_.sites())
    out[{site.site, site.edge}] = state_of(site);
  return out;
}

void site_feed::tell(std::string_view event, const std::string& data) {
  ++messages_;
  const auto message =
      std::make_shared<const http::stream_message>(http::stream_message{std::string{event}, id(), data});
  std::erase_if(followers_, [&](const http::stream_ptr& to) { return !to->push(message); });
}

} // namespace skerry::cloud
