#include "actors/promql/label_keys.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <xxhash.h>

namespace skerry::promql {

namespace {

std::uint64_t seed() {
  static const std::uint64_t made = [] {
    std::random_device device;
    return std::uint64_t{device()} << 32 | device();
  }();
  return made;
}

// A long text as its hash: the key need not hold a copy.
void append(std::string& to, std::string_view text) {
  constexpr std::size_t copied_max = 256;
  const auto size = static_cast<std::uint32_t>(text.size());
  char bytes[sizeof size];
  std::memcpy(bytes, &size, sizeof size);
  to.append(bytes, sizeof bytes);
  if (text.size() <= copied_max) {
    to.append(text);
    return;
  }
  const auto hash = XXH3_128bits_withSeed(text.data(), text.size(), seed());
  char hashed[sizeof hash];
  std::memcpy(hashed, &hash, sizeof hash);
  to.append(hashed, sizeof hashed);
}

void sort_unique(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

} // namespace

label_picker label_picker::only(std::vector<std::string> names) {
  label_picker p;
  p.only_ = true;
  p.names_ = std::move(names);
  sort_unique(p.names_);
  return p;
}

label_picker label_picker::except(std::vector<std::string> names, bool keep_name) {
  label_picker p;
  p.names_ = std::move(names);
  if (!keep_name)
    p.names_.emplace_back(label_name);
  sort_unique(p.names_);
  return p;
}

label_key label_picker::key(const labels& all, bool without_name) {
  buffer_.clear();
  if (only_) {
    for (const auto& name : names_)
      append(buffer_, without_name && name == label_name ? std::string_view{} : value_of(all, name));
  } else {
    auto skip = names_.begin();
    for (const auto& l : all) {
      while (skip != names_.end() && *skip < l.name)
        ++skip;
      if ((skip != names_.end() && *skip == l.name) || (without_name && l.name == label_name))
        continue;
      append(buffer_, l.name);
      append(buffer_, l.value);
    }
  }
  const auto hash = XXH3_128bits_withSeed(buffer_.data(), buffer_.size(), seed());
  return {hash.low64, hash.high64};
}

labels label_picker::pick(const labels& all, bool without_name) const {
  labels out;
  auto at = names_.begin();
  for (const auto& l : all) {
    while (at != names_.end() && *at < l.name)
      ++at;
    const bool named = at != names_.end() && *at == l.name;
    if (named == only_ && !(without_name && l.name == label_name))
      out.push_back(l);
  }
  return out;
}

void set_label(labels& all, std::string_view name, std::string value) {
  const auto it = std::lower_bound(all.begin(), all.end(), name,
                                   [](const label& l, std::string_view n) { return l.name < n; });
  const bool found = it != all.end() && it->name == name;
  if (value.empty()) {
    if (found)
      all.erase(it);
  } else if (found) {
    it->value = std::move(value);
  } else {
    all.insert(it, {std::string{name}, std::move(value)});
  }
}

} // namespace skerry::promql
