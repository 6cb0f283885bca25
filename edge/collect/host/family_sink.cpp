#include "edge/collect/host/family_sink.hpp"

#include <algorithm>

namespace skerry::edge::host {

namespace {

// Length of the well-formed UTF-8 sequence at the start of `text`, or 0.
std::size_t sequence_length(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const unsigned char first = byte(0);
  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first <= 0xdf)
    return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!continues(1) || !continues(2))
      return 0;
    const bool overlong = first == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = first == 0xed && byte(1) > 0x9f;
    return overlong || surrogate ? 0 : 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!continues(1) || !continues(2) || !continues(3))
      return 0;
    const bool overlong = first == 0xf0 && byte(1) < 0x90;
    const bool beyond = first == 0xf4 && byte(1) > 0x8f;
    return overlong || beyond ? 0 : 4;
  }
  return 0;
}

// `text` with every byte that is not UTF-8 replaced, and no longer than a label may be.
void assign_text(std::string& to, std::string_view text) {
  const bool ascii =
      std::all_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) >= 0; });
  if (ascii) {
    to.assign(text.substr(0, label_bytes_max));
    return;
  }
  to.clear();
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    const std::string_view piece = length == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, length);
    if (to.size() + piece.size() > label_bytes_max)
      break;
    to.append(piece);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
}

std::size_t without_empty(std::span<const label_view> labels) noexcept {
  return static_cast<std::size_t>(
      std::count_if(labels.begin(), labels.end(), [](const label_view& l) { return !l.value.empty(); }));
}

// Whether `all` is what write_labels would make of these; may say no for text that needed repair.
bool same_labels(const labels& all, std::string_view name, std::span<const label_view> given) noexcept {
  if (all.size() != without_empty(given) + 1 || all[0].value != name)
    return false;
  std::size_t at = 1;
  for (const auto& l : given) {
    if (l.value.empty())
      continue;
    if (all[at].name != l.name || all[at].value != l.value)
      return false;
    ++at;
  }
  return true;
}

void write_labels(labels& all, std::string_view name, std::span<const label_view> given) {
  all.resize(without_empty(given) + 1);
  all[0].name = label_name; // '_' sorts before the lower-case letters that all our labels start with
  all[0].value = name;
  std::size_t at = 1;
  for (const auto& l : given) {
    if (l.value.empty())
      continue;
    all[at].name = l.name;
    assign_text(all[at].value, l.value);
    ++at;
  }
}

} // namespace

void family_sink::begin() { counts_.clear(); }

void family_sink::begin_collector(std::size_t series_max) noexcept {
  series_max_ = series_max;
  series_ = 0;
  dropped_ = 0;
}

void family_sink::place(open_family& family) {
  family.at = static_cast<std::uint32_t>(counts_.size());
  if (family.at == out_.size())
    out_.emplace_back();
  counts_.push_back(0);
  metric_family& to = out_[family.at].family;
  if (to.name == family.name && to.type == family.type)
    return; // the same as last time: one name has one help
  to.name = family.name;
  to.type = family.type;
  to.help = family.help;
  to.unit.clear();
}

void family_sink::add(open_family& family, double value, std::span<const label_view> labels) {
  if (series_ >= series_max_) {
    ++dropped_;
    return;
  }
  ++series_;
  if (family.at == open_family::unplaced)
    place(family);
  auto& samples = out_[family.at].samples;
  const std::size_t at = counts_[family.at]++;
  if (at == samples.size())
    samples.emplace_back();
  collected_sample& to = samples[at];
  to.value = value;
  if (!same_labels(to.all, family.name, labels))
    write_labels(to.all, family.name, labels);
}

void family_sink::single(std::string_view name, metric_type type, std::string_view help, double value) {
  open_family family{name, type, help};
  add(family, value);
}

void family_sink::append(const std::vector<collected_family>& from) {
  std::vector<label_view> views;
  for (const auto& f : from) {
    open_family family{f.family.name, f.family.type, f.family.help};
    for (const auto& s : f.samples) {
      views.clear();
      for (const auto& l : s.all)
        if (l.name != label_name)
          views.push_back({l.name, l.value});
      add(family, s.value, views);
    }
  }
}

void family_sink::finish() {
  out_.resize(counts_.size());
  for (std::size_t i = 0; i < counts_.size(); ++i)
    out_[i].samples.resize(counts_[i]);
}

} // namespace skerry::edge::host
