#include "actors/push/push_assembler.hpp"

#include "actors/promql/lexer.hpp"
#include "actors/promql/utf8.hpp"
#include "schemas/model/host.hpp"
#include "schemas/model/set_memory.hpp"
#include "schemas/model/site_name.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <xxhash.h>

namespace skerry::push {

namespace {

constexpr std::size_t help_bytes_max = 4096;
constexpr std::size_t node_bytes = 32; // of a table, beside what it holds
// Families become known at any time, and their series come in any order. Type and help may be as long as they like.
constexpr intake::set_rules rules_of_sets{.whole_families = false, .text_per_series = help_bytes_max + 48};

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t at = 0, length = 0; at < text.size(); at += length)
    if (static_cast<unsigned char>(text[at]) < 0x80)
      length = 1;
    else if (promql::decode(text, at, length) == promql::rune_invalid)
      return false;
  return true;
}

bool is_metric_name(std::string_view text) noexcept {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' || (c >= '0' && c <= '9');
  };
  return !text.empty() && !(text.front() >= '0' && text.front() <= '9')
         && std::all_of(text.begin(), text.end(), fits);
}

std::string_view value_of(std::span<const label_view> all, std::string_view name) noexcept {
  for (const auto& label : all)
    if (label.name == name)
      return label.value;
  return {};
}

// For messages: at most the beginning.
std::string describe(std::span<const label_view> all) {
  auto text = fmt::format("\"{}\"", value_of(all, label_name).substr(0, 200));
  if (const auto instance = value_of(all, "instance"); !instance.empty())
    text += fmt::format(" of instance \"{}\"", instance.substr(0, 200));
  return text;
}

error refusal_of(std::span<const label_view> all, std::string_view why) {
  return {errc::invalid_argument, fmt::format("series {}: {}", describe(all), why)};
}

// Sorted by name, the empty ones gone. What is left is at the front.
std::span<label_view> tidy(std::span<label_view> all) {
  const auto end = std::remove_if(all.begin(), all.end(), [](const auto& l) { return l.value.empty(); });
  all = {all.begin(), end};
  const auto by_name = [](const label_view& a, const label_view& b) { return a.name < b.name; };
  if (!std::is_sorted(all.begin(), all.end(), by_name))
    std::stable_sort(all.begin(), all.end(), by_name);
  return all;
}

// Stable over versions and nodes: it decides in which shard data lies.
std::string nameless_host(std::span<const label_view> all) {
  std::string text;
  for (const auto& label : all) {
    text += label.name;
    text += '\0';
    text += label.value;
    text += '\0';
  }
  return fmt::format("pushed-{:02}", XXH3_64bits(text.data(), text.size()) % nameless_hosts);
}

} // namespace

std::string_view to_string(push_refusal why) noexcept {
  switch (why) {
  case push_refusal::labels: return "labels";
  case push_refusal::too_large: return "too_large";
  case push_refusal::too_old: return "too_old";
  case push_refusal::ahead: return "ahead";
  case push_refusal::native_histogram: return "native_histogram";
  }
  return "unknown";
}

push_outcome push_assembler::add(write_request& from, const push_rules& rules) {
  push_outcome out;
  // The text of the first alone: a request may hold millions of bad samples.
  const auto note = [&out](push_refusal why, std::uint64_t samples, const auto& text) {
    out.refused += samples;
    out.refused_by[static_cast<std::size_t>(why)] += samples;
    if (!out.refusal)
      out.refusal = text();
  };
  if (const auto& beyond = from.beyond(); beyond.samples != 0)
    note(push_refusal::too_large, beyond.samples, [&] { return error{errc::invalid_argument, beyond.why}; });
  learn(from.metadata());
  placed_.clear();
  for (const auto& part : from.series()) {
    const auto all = tidy(from.labels_of(part));
    const auto refuse = [&](push_refusal why, std::uint64_t samples, std::string_view text) {
      note(why, samples, [&] { return refusal_of(all, text); });
    };
    if (part.histograms != 0)
      refuse(push_refusal::native_histogram, part.histograms, "native histograms are not stored");
    if (part.sample_count == 0)
      continue;
    known_series series;
    if (const auto bad = find(all, rules, series); !bad.text.empty()) {
      refuse(bad.why, part.sample_count, bad.text);
      continue;
    }
    for (const auto& sample : from.samples_of(part)) {
      if (sample.time_ms < 0)
        refuse(push_refusal::too_old, 1, "its timestamp lies before 1970");
      else if (sample.time_ms > INT64_MAX / ns_per_ms)
        refuse(push_refusal::ahead, 1, "its timestamp lies after 2262");
      else if (sample.time_ms < rules.oldest_ms)
        refuse(push_refusal::too_old, 1, "its timestamp is older than the retention");
      else if (sample.time_ms > rules.latest_ms)
        refuse(push_refusal::ahead, 1,
               "its timestamp is too far ahead of this node's clock: is the sender's clock right?");
      else
        placed_.push_back({series.host, series.ref, sample});
    }
    if (pending_bytes_ > pending_bytes_max) {
      emit(out, rules);
      placed_.clear();
    }
  }
  emit(out, rules);
  if (interner_.size() > known_series_max || memory_bytes() > known_bytes_max)
    forget_all();
  return out;
}

void push_assembler::learn(std::span<const pushed_metadata> all) {
  for (const auto& one : all) {
    if (!is_metric_name(one.family) || one.family.size() > label_value_bytes_max)
      continue;
    const auto text = [](std::string_view from) {
      return is_utf8(from) ? std::string{from.substr(0, help_bytes_max)} : std::string{};
    };
    metric_family family{std::string{one.family}, one.type, text(one.help), text(one.unit)};
    const auto it = families_.find(one.family);
    if (it != families_.end() && it->second == family)
      continue;
    if (it == families_.end() && families_.size() >= known_families_max)
      continue;
    families_.insert_or_assign(std::string{one.family}, std::move(family));
    ++metadata_version_;
  }
}

const metric_family* push_assembler::family_of(std::string_view name) const {
  if (const auto it = families_.find(name); it != families_.end())
    return &it->second;
  for (const std::string_view suffix : {"_bucket", "_sum", "_count", "_total", "_created", "_info"})
    if (name.ends_with(suffix))
      if (const auto it = families_.find(name.substr(0, name.size() - suffix.size())); it != families_.end())
        return &it->second;
  return nullptr;
}

push_assembler::refused_series push_assembler::find(std::span<label_view> all, const push_rules& rules,
                                                    known_series& to) {
  const auto key = intake::key_of(all, rules.any_site ? "a" : "o"); // what a label `site` decides differs
  if (const auto ref = interner_.find(key); ref != intake::no_series) {
    to = places_[ref];
    return {};
  }
  auto refused = make_known(all, rules, to);
  if (refused.text.empty()) {
    interner_.add(key);
    places_.push_back(to);
  }
  return refused;
}

push_assembler::refused_series push_assembler::make_known(std::span<const label_view> all,
                                                          const push_rules& rules, known_series& made) {
  const auto labels_bad = [](std::string text) {
    return refused_series{push_refusal::labels, std::move(text)};
  };
  const auto too_large = [](std::string text) {
    return refused_series{push_refusal::too_large, std::move(text)};
  };
  if (all.size() > labels_max)
    return too_large(fmt::format("it has more than {} labels", labels_max));
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto& [name, value] = all[i];
    if (i > 0 && all[i - 1].name == name)
      return labels_bad(fmt::format("label \"{}\" is there twice", name.substr(0, 200)));
    if (!promql::is_label_name(name))
      return labels_bad("a label's name is not [a-zA-Z_][a-zA-Z0-9_]*");
    if (!is_utf8(value))
      return labels_bad(fmt::format("the value of label \"{}\" is not UTF-8", name.substr(0, 200)));
    if (name.size() > label_value_bytes_max || value.size() > label_value_bytes_max)
      return too_large(fmt::format("a label has more than {} bytes", label_value_bytes_max));
    bytes += name.size() + value.size();
  }
  if (bytes > series_text_bytes_max)
    return too_large(fmt::format("its labels have more than {} bytes", series_text_bytes_max));
  if (!is_metric_name(value_of(all, label_name)))
    return labels_bad("it has no valid __name__");
  // Where it is accounted for. What cannot be a name there is a label like any other.
  auto site = rules.any_site ? value_of(all, "site") : std::string_view{};
  if (!is_site_name(site))
    site = rules.site;
  std::string host{value_of(all, "host")};
  if (host.empty() || host.size() > host_name_bytes_max)
    host = value_of(all, "instance");
  if (host.empty() || host.size() > host_name_bytes_max)
    host = nameless_host(all);
  made.host = host_of(std::string{site}, host);
  auto& to = hosts_[made.host];
  made.ref = to.maker.next_ref() + static_cast<intake::series_ref>(to.pending.size());
  auto& kept = to.pending.emplace_back();
  for (const auto& [name, value] : all)
    kept.push_back({std::string{name}, std::string{value}});
  pending_bytes_ += sizeof kept + skerry::memory_bytes(kept);
  return {};
}

std::uint32_t push_assembler::host_of(const std::string& site, const std::string& name) {
  const auto [it, fresh] = host_index_.try_emplace({site, name}, static_cast<std::uint32_t>(hosts_.size()));
  if (fresh) {
    hosts_.push_back({site, name, intake::set_maker{rules_of_sets}, {}});
    known_bytes_ += sizeof(known_host) + sizeof *it + node_bytes + 2 * (site.size() + name.size());
  }
  return it->second;
}

intake::set_maker::describe push_assembler::families_now() const {
  return [this](const metric_family&, const labels& all) {
    return family_of(skerry::value_of(all, label_name));
  };
}

void push_assembler::seal(known_host& host) {
  if (host.pending.empty())
    return;
  intake::pending_series fresh;
  for (auto& member : std::exchange(host.pending, {})) {
    pending_bytes_ -= sizeof member + skerry::memory_bytes(member);
    const std::string_view name = skerry::value_of(member, label_name);
    const auto* family = family_of(name);
    fresh.add(family != nullptr ? *family : metric_family{std::string{name}, metric_type::unknown, {}, {}},
              std::move(member));
  }
  known_bytes_ -= host.maker.memory_bytes();
  const auto first = host.maker.append(std::move(fresh), families_now());
  known_bytes_ += host.maker.memory_bytes();
  for (auto set = first; set < host.maker.sets().size(); ++set)
    host.maker.set_described(set, metadata_version_);
  sets_made_ += host.maker.sets().size() - first;
}

// What its sender told of its families since it was made.
void push_assembler::refresh(known_host& host, std::size_t set) {
  if (host.maker.sets()[set].described_as_of == metadata_version_)
    return;
  host.maker.set_described(set, metadata_version_);
  known_bytes_ -= host.maker.memory_bytes();
  sets_made_ += host.maker.redescribe(set, families_now()) ? 1 : 0;
  known_bytes_ += host.maker.memory_bytes();
}

void push_assembler::emit(push_outcome& out, const push_rules& rules) {
  std::stable_sort(placed_.begin(), placed_.end(), [](const placed_sample& a, const placed_sample& b) {
    return std::tie(a.host, a.sample.time_ms, a.ref) < std::tie(b.host, b.sample.time_ms, b.ref);
  });
  std::vector<placed_sample> again;
  for (std::size_t at = 0; at < placed_.size();) {
    auto& host = hosts_[placed_[at].host];
    seal(host);
    auto& to = out.hosts.emplace_back();
    to.site = host.site;
    to.host = host.name;
    const auto host_end = std::find_if(placed_.begin() + static_cast<std::ptrdiff_t>(at), placed_.end(),
                                       [&](const auto& p) { return p.host != placed_[at].host; })
                          - placed_.begin();
    // The newest that is not ahead says that the host is heard up to there; not at a site whose edges say so themselves.
    std::int64_t watermark_ms = -1;
    if (host.site == rules.site)
      for (auto i = at; i < static_cast<std::size_t>(host_end); ++i)
        if (placed_[i].sample.time_ms <= rules.watermark_ms
            && placed_[i].sample.time_ms >= rules.watermark_from_ms)
          watermark_ms = placed_[i].sample.time_ms;
    while (at < static_cast<std::size_t>(host_end)) {
      const auto time_ms = placed_[at].sample.time_ms;
      auto end = at;
      while (end < static_cast<std::size_t>(host_end) && placed_[end].sample.time_ms == time_ms)
        ++end;
      std::span<const placed_sample> all{placed_.data() + at, end - at};
      std::vector<placed_sample> now;
      do {
        again.clear();
        emit_frame(all, time_ms == watermark_ms, to, out, again);
        now = again;
        all = now;
      } while (!all.empty());
      at = end;
    }
    std::sort(to.sets.begin(), to.sets.end());
    to.sets.erase(std::unique(to.sets.begin(), to.sets.end()), to.sets.end());
  }
}

void push_assembler::emit_frame(std::span<const placed_sample> all, bool is_watermark, pushed_host& to,
                                push_outcome& out, std::vector<placed_sample>& again) {
  auto& host = hosts_[all.front().host];
  frame_.time_ns = all.front().sample.time_ms * ns_per_ms;
  frame_.monotonic_ns = 0; // the time is the sender's
  frame_.sections.clear();
  frame_.values.clear();
  const auto flush = [&] {
    byte_buffer bytes;
    encode_frame(frame_, encoder_, bytes);
    to.records.push_back({record_kind::frame, frame_.time_ns, to.host, std::move(bytes),
                          is_watermark ? flag_watermark : std::uint8_t{0}});
    to.samples += frame_.values.size();
    out.samples += frame_.values.size();
    frame_.sections.clear();
    frame_.values.clear();
  };
  for (std::size_t i = 0; i < all.size();) {
    const auto in = host.maker.index_of(all[i].ref);
    refresh(host, in);
    const auto& set = host.maker.sets()[in];
    intake::section_writer section{frame_, set};
    const auto from = frame_.values.size();
    const auto* last = &all[i];
    for (; i < all.size() && all[i].ref < set.first + set.count; ++i) {
      if (frame_.values.size() != from && all[i].ref == last->ref) {
        if (std::bit_cast<std::uint64_t>(all[i].sample.value)
            == std::bit_cast<std::uint64_t>(last->sample.value))
          ++out.duplicates;
        else
          again.push_back(all[i]); // the store decides between them
        continue;
      }
      last = &all[i];
      section.put(last->ref, last->sample.value);
    }
    section.finish();
    to.sets.push_back(set.set);
    if (frame_.sections.size() == frame_sets_max || frame_.values.size() >= frame_values_max)
      flush();
  }
  if (!frame_.sections.empty())
    flush();
}

void push_assembler::forget_all() {
  interner_.clear();
  decltype(places_){}.swap(places_); // with its memory
  decltype(hosts_){}.swap(hosts_);
  host_index_.clear();
  known_bytes_ = pending_bytes_ = 0;
}

} // namespace skerry::push
