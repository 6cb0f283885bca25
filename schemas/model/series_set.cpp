// The layout of an encoded series set: docs/formats.md#series-set.

#include "schemas/model/series.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <unordered_map>

namespace skerry {

namespace {

constexpr std::uint8_t set_version = 1;

// Strings are written once, in order of first use, and named by their index.
class string_table {
public:
  std::uint64_t index_of(std::string_view text) {
    const auto [it, fresh] = index_.try_emplace(text, all_.size());
    if (fresh)
      all_.push_back(text);
    return it->second;
  }
  [[nodiscard]] const std::vector<std::string_view>& all() const noexcept { return all_; }

private:
  std::unordered_map<std::string_view, std::uint64_t> index_;
  std::vector<std::string_view> all_;
};

} // namespace

series_set_ptr make_series_set(std::vector<metric_family> families, std::vector<series> members) {
  assert(!members.empty() && members.size() <= set_series_max);
  auto set = std::make_shared<series_set>();
  set->families = std::move(families);
  set->members = std::move(members);

  byte_buffer body;
  string_table strings;
  byte_writer w{body};
  w.varint(set->families.size());
  for (const auto& family : set->families) {
    w.fixed(static_cast<std::uint8_t>(family.type));
    w.varint(strings.index_of(family.name));
    w.varint(strings.index_of(family.help));
    w.varint(strings.index_of(family.unit));
  }
  w.varint(set->members.size());
  for (const auto& member : set->members) {
    assert(member.family < set->families.size());
    w.varint(member.family);
    w.varint(member.all.size());
    for (const auto& [name, value] : member.all) {
      w.varint(strings.index_of(name));
      w.varint(strings.index_of(value));
    }
  }
  byte_buffer encoded;
  byte_writer head{encoded};
  head.fixed(set_version);
  head.varint(strings.all().size());
  for (const auto text : strings.all())
    head.text(text);
  head.bytes(body);
  set->hash = hash_set(encoded);
  set->encoded = shared_bytes::take(std::move(encoded));
  return set;
}

result<series_set_ptr> decode_series_set(shared_bytes encoded) {
  if (encoded.view.size() > set_bytes_max)
    return fail(errc::malformed, fmt::format("a series set of {} bytes is over the limit of {}",
                                             encoded.view.size(), set_bytes_max));
  byte_reader r{encoded.view};
  if (const auto version = r.fixed<std::uint8_t>(); !r.failed() && version != set_version)
    return fail(errc::unsupported_version, fmt::format("series set format {} is unknown", version));
  const auto damaged = [] { return fail(errc::malformed, "a series set does not decode"); };

  const auto string_count = r.varint();
  if (string_count > r.remaining())
    return damaged();
  std::vector<std::string_view> strings(string_count);
  for (auto& text : strings) {
    text = r.text();
    if (text.size() > label_value_bytes_max)
      return damaged();
  }
  const auto text_at = [&](std::uint64_t i) -> std::string_view {
    return i < strings.size() ? strings[i] : std::string_view{};
  };

  // A string is written once and may be named by every label: a small set could grow to gigabytes.
  std::size_t expanded = 0;
  auto set = std::make_shared<series_set>();
  const auto family_count = r.varint();
  if (r.failed() || family_count > set_series_max)
    return damaged();
  for (std::uint64_t i = 0; i < family_count; ++i) {
    metric_family family;
    const auto type = r.fixed<std::uint8_t>();
    family.type =
        type <= static_cast<std::uint8_t>(metric_type::stateset) ? metric_type{type} : metric_type::unknown;
    family.name = text_at(r.varint());
    family.help = text_at(r.varint());
    family.unit = text_at(r.varint());
    expanded += family.name.size() + family.help.size() + family.unit.size();
    set->families.push_back(std::move(family));
  }
  const auto member_count = r.varint();
  if (r.failed() || member_count == 0 || member_count > set_series_max)
    return damaged();
  for (std::uint64_t i = 0; i < member_count; ++i) {
    series member;
    const auto family = r.varint();
    const auto label_count = r.varint();
    if (r.failed() || family >= family_count || label_count > labels_max || label_count > r.remaining())
      return damaged();
    member.family = static_cast<std::uint32_t>(family);
    member.all.reserve(std::min<std::size_t>(label_count, r.remaining() / 2)); // two bytes each, at least
    for (std::uint64_t k = 0; k < label_count; ++k) {
      const auto name = r.varint();
      const auto value = r.varint();
      if (r.failed() || name >= strings.size() || value >= strings.size() || strings[value].empty())
        return damaged();
      expanded += strings[name].size() + strings[value].size() + sizeof(label);
      if (expanded > set_expanded_bytes_max)
        return damaged();
      member.all.push_back({std::string{strings[name]}, std::string{strings[value]}});
    }
    const auto unordered =
        std::adjacent_find(member.all.begin(), member.all.end(),
                           [](const label& a, const label& b) { return a.name >= b.name; });
    if (unordered != member.all.end())
      return damaged();
    set->members.push_back(std::move(member));
  }
  if (r.failed() || r.remaining() != 0)
    return damaged();
  set->hash = hash_set(encoded.view);
  set->encoded = std::move(encoded);
  return series_set_ptr{std::move(set)};
}

} // namespace skerry
