#include "tests/bench/replay_hosts.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

namespace skerry::bench {

namespace {

constexpr std::uint32_t extra_targets = 100'000; // their numbers begin here

// name{a="b",…}: the recording's values have no escapes but \\ and \".
labels parse_series(std::string_view text) {
  labels all;
  const auto brace = text.find('{');
  all.push_back({std::string{label_name}, std::string{text.substr(0, brace)}});
  std::size_t at = brace == std::string_view::npos ? text.size() : brace + 1;
  while (at < text.size() && text[at] != '}') {
    const auto equal = text.find('=', at);
    label l{std::string{text.substr(at, equal - at)}, {}};
    for (at = equal + 2; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\')
        ++at;
      l.value += text[at];
    }
    all.push_back(std::move(l));
    at += at + 1 < text.size() && text[at + 1] == ',' ? 2 : 1;
  }
  return all;
}

void add_series(replay_host& to, replay_target& source, std::size_t count, std::string_view job) {
  for (std::size_t i = 0; i < count; ++i) {
    auto all = parse_series(source.series_text(i));
    all.push_back({"instance", to.name + ":9100"});
    all.push_back({"job", std::string{job}});
    all.push_back({"site", "bench"});
    sort_labels(all);
    to.members.push_back({&source, i, std::move(all)});
  }
}

bool is_counter(std::string_view name) {
  for (const auto* suffix : {"_total", "_bucket", "_count", "_sum"})
    if (name.ends_with(suffix))
      return true;
  return false;
}

void make_sets(replay_host& to) {
  std::vector<metric_family> families;
  std::vector<series> members;
  const auto finish = [&] {
    if (!members.empty())
      to.sets.push_back(make_series_set(std::move(families), std::move(members)));
    families.clear();
    members.clear();
  };
  for (const auto& one : to.members) {
    if (members.size() == set_series_max)
      finish();
    const auto name = value_of(one.all, label_name);
    if (families.empty() || families.back().name != name)
      families.push_back(
          {std::string{name}, is_counter(name) ? metric_type::counter : metric_type::gauge, "", ""});
    auto all = one.all;
    std::erase_if(all, [](const label& l) { return l.name == "site"; }); // the cloud puts it there
    members.push_back({static_cast<std::uint32_t>(families.size() - 1), std::move(all)});
  }
  finish();
}

double number(std::string_view text) {
  double v = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (code == std::errc{} && end == text.data() + text.size())
    return v;
  return std::strtod(std::string{text}.c_str(), nullptr); // +Inf
}

} // namespace

void replay_host::values(std::uint64_t step, std::vector<double>& out) {
  out.clear();
  for (const auto& m : members)
    out.push_back(number(m.source->value(m.index, step)));
}

std::vector<replay_host> make_replay_hosts(const std::shared_ptr<const recording>& from, std::size_t hosts,
                                           std::size_t series) {
  std::vector<replay_host> all(hosts);
  const auto recorded = from->series().size();
  for (std::size_t h = 0; h < hosts; ++h) {
    auto& to = all[h];
    to.name = fmt::format("host-{:03}", h);
    to.target = std::make_unique<replay_target>(from, 1, static_cast<std::uint32_t>(h));
    add_series(to, *to.target, std::min(series, recorded), "node");
    if (series > recorded) {
      to.extra = std::make_unique<replay_target>(from, 1, extra_targets + static_cast<std::uint32_t>(h));
      add_series(to, *to.extra, std::min(series - recorded, recorded), "extra");
    }
    make_sets(to);
  }
  return all;
}

void encode_replay_frame(const replay_host& of, std::int64_t time_ns, const std::vector<double>& values,
                         value_encoder& encoder, byte_buffer& out) {
  frame f;
  f.time_ns = time_ns;
  for (const auto& set : of.sets)
    f.sections.push_back({set->hash, static_cast<std::uint16_t>(set->members.size()), {}});
  f.values = values;
  encode_frame(f, encoder, out);
}

} // namespace skerry::bench
