#include "edge/collect/scrape/relabel.hpp"

#include "actors/node/config.hpp"
#include "edge/collect/scrape/exposition_line.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cwctype>
#include <locale.h>
#include <openssl/evp.h>

namespace skerry::edge {

namespace {

using a = relabel_action;
constexpr std::array<std::pair<std::string_view, relabel_action>, 11> action_names{{
    {"replace", a::replace},
    {"keep", a::keep},
    {"drop", a::drop},
    {"keepequal", a::keep_equal},
    {"dropequal", a::drop_equal},
    {"hashmod", a::hash_mod},
    {"labelmap", a::label_map},
    {"labeldrop", a::label_drop},
    {"labelkeep", a::label_keep},
    {"lowercase", a::lowercase},
    {"uppercase", a::uppercase},
}};

constexpr int regex_memory_max = 8 << 20; // of one expression
constexpr std::size_t groups_max = 64;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// As Go's regexp.Expand: $name and ${name}, the longest name; $$ is a dollar; what is no name stays as it is.
std::string expand(std::string_view format, const re2::RE2& regex,
                   const std::vector<re2::StringPiece>& groups) {
  std::string out;
  while (!format.empty()) {
    const auto dollar = format.find('$');
    out += format.substr(0, dollar);
    if (dollar == std::string_view::npos)
      break;
    format.remove_prefix(dollar + 1);
    if (format.starts_with('$')) {
      out += '$';
      format.remove_prefix(1);
      continue;
    }
    const bool brace = format.starts_with('{');
    std::size_t n = brace ? 1 : 0;
    while (n < format.size() && is_word(format[n]))
      ++n;
    const auto name = format.substr(brace ? 1 : 0, n - (brace ? 1 : 0));
    if (name.empty() || (brace && (n == format.size() || format[n] != '}'))) {
      out += '$';
      continue;
    }
    format.remove_prefix(n + (brace ? 1 : 0));
    std::size_t index = groups.size();
    if (name.front() >= '0' && name.front() <= '9') {
      const auto parsed = std::from_chars(name.data(), name.data() + name.size(), index);
      if (parsed.ec != std::errc{} || parsed.ptr != name.data() + name.size()
          || (name.size() > 1 && name[0] == '0'))
        index = groups.size();
    } else if (const auto it = regex.NamedCapturingGroups().find(std::string{name});
               it != regex.NamedCapturingGroups().end()) {
      index = static_cast<std::size_t>(it->second);
    }
    if (index < groups.size() && groups[index].data() != nullptr)
      out.append(groups[index].data(), groups[index].size());
  }
  return out;
}

bool match(const re2::RE2& regex, std::string_view text, std::vector<re2::StringPiece>* groups = nullptr) {
  const auto n = groups == nullptr ? 0 : static_cast<int>(groups->size());
  return regex.Match({text.data(), text.size()}, 0, text.size(), re2::RE2::ANCHOR_BOTH,
                     groups == nullptr ? nullptr : groups->data(), n);
}

std::vector<re2::StringPiece> groups_of(const re2::RE2& regex) {
  return std::vector<re2::StringPiece>(
      std::min(groups_max, static_cast<std::size_t>(regex.NumberOfCapturingGroups()) + 1));
}

// Of UTF-8 text, by Unicode's simple case mapping.
std::string change_case(std::string_view text, bool upper) {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (i + n > text.size()) { // not UTF-8: cannot come from a page
      out += text.substr(i);
      break;
    }
    std::uint32_t c = n == 1 ? first : first & (0xffu >> (n + 1));
    for (std::size_t k = 1; k < n; ++k)
      c = (c << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3f);
    i += n;
    if (c < 0x80 || locale == nullptr) {
      if (c >= 'a' && c <= 'z' && upper)
        c -= 'a' - 'A';
      else if (c >= 'A' && c <= 'Z' && !upper)
        c += 'a' - 'A';
    } else {
      c = static_cast<std::uint32_t>(upper ? towupper_l(static_cast<wint_t>(c), locale)
                                           : towlower_l(static_cast<wint_t>(c), locale));
    }
    const auto put = [&](std::uint32_t byte) { out += static_cast<char>(byte); };
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xc0 | (c >> 6));
      put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
      put(0xe0 | (c >> 12));
      put(0x80 | ((c >> 6) & 0x3f));
      put(0x80 | (c & 0x3f));
    } else {
      put(0xf0 | (c >> 18));
      put(0x80 | ((c >> 12) & 0x3f));
      put(0x80 | ((c >> 6) & 0x3f));
      put(0x80 | (c & 0x3f));
    }
  }
  return out;
}

// The last 8 bytes of the MD5 sum, most significant first.
std::uint64_t hash_of_value(std::string_view value) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned size = 0;
  if (EVP_Digest(value.data(), value.size(), sum.data(), &size, EVP_md5(), nullptr) != 1)
    return 0;
  std::uint64_t out = 0;
  for (std::size_t i = 8; i < 16; ++i)
    out = (out << 8) | sum[i];
  return out;
}

} // namespace

result<relabel_action> parse_relabel_action(std::string_view text) {
  const auto lower = change_case(text, false);
  for (const auto& [name, action] : action_names)
    if (name == lower)
      return action;
  std::vector<std::string> names;
  for (const auto& [name, action] : action_names)
    names.emplace_back(name);
  const auto near = nearest(lower, names);
  return fail(errc::not_found,
              near.empty()
                  ? fmt::format("unknown relabel action '{}'; known are: {}", text, fmt::join(names, ", "))
                  : fmt::format("unknown relabel action '{}'; did you mean '{}'?", text, near));
}

void set_label(labels& all, std::string_view name, std::string_view value) {
  const auto at = std::lower_bound(all.begin(), all.end(), name,
                                   [](const label& l, std::string_view n) { return l.name < n; });
  const bool there = at != all.end() && at->name == name;
  if (value.empty()) {
    if (there)
      all.erase(at);
  } else if (there) {
    at->value = value;
  } else {
    all.insert(at, {std::string{name}, std::string{value}});
  }
}

result<relabel_rule> relabel_rule::make(relabel_config config) {
  static const re2::RE2 target_pattern{R"((?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+)"};
  const relabel_config defaults;
  const auto action = config.action;
  const auto is = [&](auto... any) { return ((action == any) || ...); };
  std::string_view name;
  for (const auto& [text, value] : action_names)
    if (value == action)
      name = text;
  const auto refuse = [](std::string why) { return fail(errc::invalid_argument, std::move(why)); };

  if (is(a::hash_mod) && config.modulus == 0)
    return refuse("the action hashmod needs a 'modulus' above 0");
  if (is(a::replace, a::hash_mod, a::lowercase, a::uppercase, a::keep_equal, a::drop_equal)
      && config.target_label.empty())
    return refuse(fmt::format("the action {} needs a 'target_label'", name));
  if (is(a::replace, a::lowercase, a::uppercase, a::keep_equal, a::drop_equal)
      && !re2::RE2::FullMatch(config.target_label, target_pattern))
    return refuse(
        fmt::format("'{}' is no valid 'target_label' for the action {}", config.target_label, name));
  if (is(a::lowercase, a::uppercase, a::keep_equal, a::drop_equal)
      && config.replacement != defaults.replacement)
    return refuse(fmt::format("'replacement' can't be set for the action {}", name));
  if (is(a::label_map) && !re2::RE2::FullMatch(config.replacement, target_pattern))
    return refuse(fmt::format("'{}' is no valid 'replacement' for the action labelmap", config.replacement));
  if (is(a::hash_mod) && !is_label_name(config.target_label))
    return refuse(fmt::format("'{}' is no valid 'target_label' for the action hashmod", config.target_label));
  if (is(a::drop_equal, a::keep_equal)
      && (config.regex != defaults.regex || config.modulus != 0 || config.separator != defaults.separator))
    return refuse(fmt::format("the action {} takes 'source_labels' and 'target_label' only", name));
  if (is(a::label_drop, a::label_keep)
      && (!config.source_labels.empty() || !config.target_label.empty() || config.modulus != 0
          || config.separator != defaults.separator || config.replacement != defaults.replacement))
    return refuse(fmt::format("the action {} takes 'regex' only", name));
  for (const auto& source : config.source_labels)
    if (!is_label_name(source))
      return refuse(fmt::format("'{}' in 'source_labels' is no label name", source));

  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(regex_memory_max);
  auto regex = std::make_shared<const re2::RE2>(config.regex, options);
  if (!regex->ok())
    return refuse(fmt::format("'regex' does not compile: {}", regex->error()));
  relabel_rule rule;
  rule.config_ = std::move(config);
  rule.regex_ = std::move(regex);
  return rule;
}

bool relabel_rule::apply(labels& all) const {
  const auto& c = config_;
  std::string value;
  for (std::size_t i = 0; i < c.source_labels.size(); ++i) {
    if (i != 0)
      value += c.separator;
    value += value_of(all, c.source_labels[i]);
  }
  switch (c.action) {
  case a::drop: return !match(*regex_, value);
  case a::keep: return match(*regex_, value);
  case a::drop_equal: return value_of(all, c.target_label) != value;
  case a::keep_equal: return value_of(all, c.target_label) == value;
  case a::replace: {
    auto groups = groups_of(*regex_);
    if (!match(*regex_, value, &groups))
      return true;
    const auto target = expand(c.target_label, *regex_, groups);
    const auto to = expand(c.replacement, *regex_, groups);
    if (!is_label_name(target) || to.empty())
      set_label(all, c.target_label, {});
    else
      set_label(all, target, to);
    return true;
  }
  case a::lowercase: set_label(all, c.target_label, change_case(value, false)); return true;
  case a::uppercase: set_label(all, c.target_label, change_case(value, true)); return true;
  case a::hash_mod:
    set_label(all, c.target_label, std::to_string(hash_of_value(value) % c.modulus));
    return true;
  case a::label_map: {
    auto groups = groups_of(*regex_);
    const auto before = all;
    for (const auto& [name, old] : before)
      if (match(*regex_, name, &groups))
        // What is no label name can't be stored: such a label is not made.
        if (const auto to = expand(c.replacement, *regex_, groups); is_label_name(to))
          set_label(all, to, old);
    return true;
  }
  case a::label_drop: std::erase_if(all, [&](const label& l) { return match(*regex_, l.name); }); return true;
  case a::label_keep:
    std::erase_if(all, [&](const label& l) { return !match(*regex_, l.name); });
    return true;
  }
  return true;
}

bool relabel(labels& all, const std::vector<relabel_rule>& rules) {
  return std::all_of(rules.begin(), rules.end(), [&](const relabel_rule& rule) { return rule.apply(all); });
}

} // namespace skerry::edge
