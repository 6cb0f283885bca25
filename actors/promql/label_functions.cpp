// label_replace() and label_join(). Templates are Go's (regexp.Expand): $1, ${1}, $name, ${name}, $$.

#include "actors/promql/label_keys.hpp"
#include "actors/promql/lexer.hpp"
#include "actors/promql/regex.hpp"
#include "actors/promql/series_table.hpp"
#include "actors/promql/vector_functions.hpp"

#include <fmt/format.h>

#include <charconv>

namespace skerry::promql {

namespace {

constexpr int group_none = -1; // a reference to nothing stands for nothing

struct piece {
  std::string literal; // before the group
  int group = group_none;
};

class replacement {
public:
  replacement(std::string_view text, const re2::RE2& regex) : regex_(regex) {
    for (std::size_t at = 0; at < text.size();) {
      const auto dollar = text.find('$', at);
      literal_ += text.substr(at, dollar - at);
      if (dollar == std::string_view::npos)
        break;
      at = reference(text, dollar);
    }
    end_piece(group_none);
  }

  [[nodiscard]] std::uint64_t size(const std::vector<re2::StringPiece>& groups) const {
    std::uint64_t bytes = 0;
    for (const auto& p : pieces_) {
      bytes += p.literal.size();
      if (p.group >= 0 && static_cast<std::size_t>(p.group) < groups.size())
        bytes += groups[static_cast<std::size_t>(p.group)].size();
    }
    return bytes;
  }

  [[nodiscard]] std::string expand(const std::vector<re2::StringPiece>& groups) const {
    std::string out;
    out.reserve(size(groups));
    for (const auto& p : pieces_) {
      out += p.literal;
      if (p.group >= 0 && static_cast<std::size_t>(p.group) < groups.size())
        out.append(groups[static_cast<std::size_t>(p.group)].data(),
                   groups[static_cast<std::size_t>(p.group)].size());
    }
    return out;
  }

private:
  void end_piece(int group) {
    pieces_.push_back({std::move(literal_), group});
    literal_.clear();
  }

  // What the dollar sign at `dollar` begins; where the text goes on.
  std::size_t reference(std::string_view text, std::size_t dollar) {
    auto at = dollar + 1;
    if (at < text.size() && text[at] == '$') {
      literal_ += '$';
      return at + 1;
    }
    const bool braces = at < text.size() && text[at] == '{';
    at += braces ? 1 : 0;
    auto end = at;
    while (end < text.size() && (is_label_name(std::string{"_"} + text[end])))
      ++end;
    const auto name = text.substr(at, end - at);
    if (name.empty() || (braces && (end == text.size() || text[end] != '}'))) {
      literal_ += '$'; // not a reference
      return dollar + 1;
    }
    end_piece(group_of(name));
    return braces ? end + 1 : end;
  }

  [[nodiscard]] int group_of(std::string_view name) const {
    int number = 0;
    const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error == std::errc{} && stop == name.data() + name.size() && (name.size() == 1 || name[0] != '0'))
      return number;
    const auto found = regex_.NamedCapturingGroups().find(std::string{name});
    return found == regex_.NamedCapturingGroups().end() ? group_none : found->second;
  }

  const re2::RE2& regex_;
  std::string literal_;
  std::vector<piece> pieces_;
};

} // namespace

void eval_label_replace(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  const auto& to = text_of(*c.arguments[1]);
  const auto& source = text_of(*c.arguments[3]);
  const auto& pattern = text_of(*c.arguments[4]);
  const auto compiled = compile_regex(pattern);
  if (!compiled)
    return ev.fail(errc::invalid_argument,
                   fmt::format("invalid regular expression in label_replace(): {}", pattern));
  if (!is_label_name(to))
    return ev.fail(errc::invalid_argument,
                   fmt::format("invalid destination label name in label_replace(): {}", to));
  const auto& regex = *compiled.value().regex;
  holding regex_held{ev};
  if (!regex_held.add(0, 0, compiled.value().memory_max))
    return;
  const replacement with{text_of(*c.arguments[2]), regex};
  std::vector<re2::StringPiece> groups(static_cast<std::size_t>(regex.NumberOfCapturingGroups()) + 1);
  series_table table{ev};
  ev.vector(*c.arguments[0], steps, [&](const series_item& item) {
    holding copied{ev};
    if (!copied.add(0, 0, memory_of(*item.metric)))
      return;
    auto metric = labels_of(item);
    const auto value = value_of(metric, source);
    if (regex.Match({value.data(), value.size()}, 0, value.size(), re2::RE2::ANCHOR_BOTH, groups.data(),
                    static_cast<int>(groups.size()))) {
      if (!copied.add(0, 0, with.size(groups)))
        return;
      set_label(metric, to, with.expand(groups));
    }
    table.add_or_fail(std::move(metric), item.values);
  });
  table.hand_over(sink);
}

void eval_label_join(evaluation& ev, const call& c, const step_range& steps, const series_sink& sink) {
  const auto& to = text_of(*c.arguments[1]);
  const auto& separator = text_of(*c.arguments[2]);
  for (std::size_t i = 3; i < c.arguments.size(); ++i)
    if (const auto& name = text_of(*c.arguments[i]); !is_label_name(name))
      return ev.fail(errc::invalid_argument,
                     fmt::format("invalid source label name in label_join(): {}", name));
  if (!is_label_name(to))
    return ev.fail(errc::invalid_argument,
                   fmt::format("invalid destination label name in label_join(): {}", to));
  series_table table{ev};
  ev.vector(*c.arguments[0], steps, [&](const series_item& item) {
    std::uint64_t size = separator.size() * c.arguments.size();
    for (std::size_t i = 3; i < c.arguments.size(); ++i)
      size += value_of(*item.metric, text_of(*c.arguments[i])).size();
    holding copied{ev};
    if (!copied.add(0, 0, memory_of(*item.metric) + size))
      return;
    auto metric = labels_of(item);
    std::string joined;
    joined.reserve(size);
    for (std::size_t i = 3; i < c.arguments.size(); ++i) {
      if (i > 3)
        joined += separator;
      joined += value_of(metric, text_of(*c.arguments[i]));
    }
    set_label(metric, to, std::move(joined));
    table.add_or_fail(std::move(metric), item.values);
  });
  table.hand_over(sink);
}

} // namespace skerry::promql
