#include "schemas/model/series.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sodium.h>
#include <xxhash.h>

namespace skerry {

void sort_labels(labels& all) {
  std::stable_sort(all.begin(), all.end(), [](const label& a, const label& b) { return a.name < b.name; });
  auto out = all.begin();
  for (auto it = all.begin(); it != all.end(); ++it) {
    const auto next = std::next(it);
    if ((next != all.end() && next->name == it->name) || it->value.empty())
      continue;
    if (out != it)
      *out = std::move(*it);
    ++out;
  }
  all.erase(out, all.end());
}

std::string_view value_of(const labels& all, std::string_view name) noexcept {
  const auto it = std::lower_bound(all.begin(), all.end(), name,
                                   [](const label& l, std::string_view n) { return l.name < n; });
  return it != all.end() && it->name == name ? std::string_view{it->value} : std::string_view{};
}

std::string to_string(const labels& all) {
  std::string out{value_of(all, label_name)};
  bool first = true;
  for (const auto& [name, value] : all) {
    if (name == label_name)
      continue;
    out += first ? "{" : ",";
    first = false;
    out += name;
    out += "=\"";
    for (const char c : value) {
      if (c == '\\' || c == '"')
        out += '\\';
      if (c == '\n')
        out += "\\n";
      else
        out += c;
    }
    out += '"';
  }
  if (!first)
    out += '}';
  return out.empty() ? "{}" : out;
}

std::uint64_t hash_of(const labels& all) noexcept {
  std::uint64_t h = 0;
  for (const auto& [name, value] : all) {
    h = XXH3_64bits_withSeed(name.data(), name.size(), h);
    h = XXH3_64bits_withSeed(value.data(), value.size(), h);
  }
  return h;
}

std::string_view to_string(metric_type type) noexcept {
  switch (type) {
  case metric_type::unknown: return "unknown";
  case metric_type::counter: return "counter";
  case metric_type::gauge: return "gauge";
  case metric_type::histogram: return "histogram";
  case metric_type::gauge_histogram: return "gaugehistogram";
  case metric_type::summary: return "summary";
  case metric_type::info: return "info";
  case metric_type::stateset: return "stateset";
  }
  return "unknown";
}

std::string to_string(const set_hash& hash) { return fmt::format("{:02x}", fmt::join(hash.bytes, "")); }

set_hash hash_set(bytes_view encoded) noexcept {
  set_hash h;
  crypto_generichash_blake2b(h.bytes.data(), h.bytes.size(),
                             reinterpret_cast<const unsigned char*>(encoded.data()), encoded.size(), nullptr,
                             0);
  return h;
}

} // namespace skerry
