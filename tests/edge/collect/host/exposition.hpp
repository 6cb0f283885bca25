#pragma once

// Families as Prometheus text, for people and for comparisons.

#include "edge/collect/source.hpp"

#include <fmt/format.h>

#include <cmath>
#include <string>
#include <vector>

namespace skerry::edge {

inline std::string escape(std::string_view text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && quotes)
      out += "\\\"";
    else
      out += c;
  }
  return out;
}

inline std::string exposition(const std::vector<collected_family>& families) {
  std::string out;
  for (const auto& f : families) {
    const auto type =
        f.family.type == metric_type::unknown ? std::string_view("untyped") : to_string(f.family.type);
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", f.family.name, escape(f.family.help, false),
                       f.family.name, type);
    for (const auto& s : f.samples) {
      out += value_of(s.all, label_name);
      char before = '{';
      for (const auto& l : s.all) {
        if (l.name == label_name)
          continue;
        out += fmt::format("{}{}=\"{}\"", before, l.name, escape(l.value, true));
        before = ',';
      }
      out += fmt::format("{} {}\n", before == ',' ? "}" : "", s.value);
    }
  }
  return out;
}

} // namespace skerry::edge
