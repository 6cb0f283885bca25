#include "actors/promql/parser.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>

namespace skerry::promql {

namespace {

std::string at_position(std::string_view query, std::size_t at, std::string_view what) {
  at = std::min(at, query.size());
  const auto before = query.substr(0, at);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const auto line_break = before.rfind('\n');
  const auto column = line_break == std::string_view::npos ? at + 1 : at - line_break;
  return fmt::format("{}:{}: parse error: {}", line, column, what);
}

void append_utf8(std::string& out, char32_t rune) {
  if (rune < 0x80) {
    out += static_cast<char>(rune);
  } else if (rune < 0x800) {
    out += static_cast<char>(0xC0 | rune >> 6);
    out += static_cast<char>(0x80 | (rune & 0x3F));
  } else if (rune < 0x10000) {
    out += static_cast<char>(0xE0 | rune >> 12);
    out += static_cast<char>(0x80 | (rune >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | rune >> 18);
    out += static_cast<char>(0x80 | (rune >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (rune >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (rune & 0x3F));
  }
}

// A string token without its quotes, escapes replaced. The lexer has checked them.
std::string unquote(std::string_view text) {
  const auto inner = text.substr(1, text.size() - 2);
  if (text.front() == '`')
    return std::string{inner};
  std::string out;
  out.reserve(inner.size());
  for (std::size_t i = 0; i < inner.size();) {
    if (inner[i] != '\\') {
      out += inner[i++];
      continue;
    }
    const char c = inner[++i];
    const auto number = [&](std::size_t from, std::size_t count, int base) {
      std::uint32_t value = 0;
      std::from_chars(inner.data() + from, inner.data() + from + count, value, base);
      i = from + count;
      return value;
    };
    switch (c) {
    case 'a': out += '\a', ++i; break;
    case 'b': out += '\b', ++i; break;
    case 'f': out += '\f', ++i; break;
    case 'n': out += '\n', ++i; break;
    case 'r': out += '\r', ++i; break;
    case 't': out += '\t', ++i; break;
    case 'v': out += '\v', ++i; break;
    case 'x': out += static_cast<char>(number(i + 1, 2, 16)); break;
    case 'u': append_utf8(out, number(i + 1, 4, 16)); break;
    case 'U': append_utf8(out, number(i + 1, 8, 16)); break;
    default:
      if (c >= '0' && c <= '7')
        out += static_cast<char>(number(i, 3, 8));
      else
        out += c, ++i; // the quote or the backslash itself
    }
  }
  return out;
}

// As Go reads it: an integer with a base prefix ("0x1F", "017") when it is one, else a floating point number.
std::optional<double> parse_number(std::string_view text) {
  std::string copy{text};
  for (auto& c : copy)
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  if (copy == "inf")
    return std::numeric_limits<double>::infinity();
  if (copy == "nan")
    return std::numeric_limits<double>::quiet_NaN();
  char* end = nullptr;
  errno = 0;
  const auto integer = std::strtoll(copy.c_str(), &end, 0);
  if (end == copy.c_str() + copy.size() && errno == 0)
    return static_cast<double>(integer);
  const bool hexadecimal = copy.starts_with("0x");
  if (hexadecimal)
    return std::nullopt;
  double value = 0;
  const auto [stop, error] = std::from_chars(copy.data(), copy.data() + copy.size(), value);
  if (stop != copy.data() + copy.size() || copy.empty())
    return std::nullopt;
  if (error == std::errc::result_out_of_range) { // too large or too small; strtod says which
    value = std::strtod(copy.c_str(), &end);
    if (std::isinf(value))
      return std::nullopt;
  }
  return value;
}

class parser {
public:
  explicit parser(std::string_view query) : query_(query), tokens_(lex(query)) {}

  result<expression_ptr> run() {
    if (next().kind == token_kind::end)
      return complain(next().at.begin == query_.size() ? 0 : next().at.begin, "no expression found in input");
    BOOST_OUTCOME_TRY(tree, expression_at(0));
    if (next().kind != token_kind::end)
      return not_an_end();
    return tree;
  }

  result<std::vector<matcher>> run_selector() {
    const auto& first = next();
    if (first.kind == token_kind::end)
      return complain(0, "no expression found in input");
    if (!starts_selector(first))
      return unexpected();
    BOOST_OUTCOME_TRY(selector, selector_here());
    if (next().kind != token_kind::end)
      return unexpected();
    return std::move(selector.matchers);
  }

private:
  using failure = decltype(fail(errc::invalid_argument, std::string{}));

  [[nodiscard]] const token& next(std::size_t ahead = 0) const noexcept {
    return tokens_[std::min(index_ + ahead, tokens_.size() - 1)];
  }
  const token& take() noexcept { return tokens_[index_ + 1 < tokens_.size() ? index_++ : index_]; }

  [[nodiscard]] failure complain(std::size_t at, std::string_view what) const {
    return fail(errc::invalid_argument, at_position(query_, at, what));
  }
  // The construct is PromQL; this version does not evaluate it.
  [[nodiscard]] failure not_yet(std::size_t at, std::string_view construct) const {
    return complain(at, fmt::format("{} is not supported by this version of Skerry (selectors with matchers, "
                                    "offset and range, numbers and strings are)",
                                    construct));
  }
  [[nodiscard]] failure unexpected(std::string_view context = {}, std::string_view expected = {}) const {
    const auto& t = next();
    if (t.kind == token_kind::error)
      return complain(t.at.begin, t.message);
    std::string what = "unexpected " + describe(t);
    if (!context.empty())
      what += fmt::format(" in {}", context);
    if (!expected.empty())
      what += fmt::format(", expected {}", expected);
    return complain(t.at.begin, what);
  }
  [[nodiscard]] failure not_an_end() const {
    if (next().kind == token_kind::op)
      return not_yet(next().at.begin, fmt::format("the binary operator \"{}\"", next().text));
    return unexpected();
  }

  // A keyword that stands where a metric name can is one, as in Prometheus; `bool` and `inf` never are.
  [[nodiscard]] static bool starts_selector(const token& t) noexcept {
    switch (t.kind) {
    case token_kind::identifier:
    case token_kind::metric_identifier:
    case token_kind::aggregate:
    case token_kind::left_brace: return true;
    case token_kind::keyword: return t.text != "bool" && t.text != "group_left" && t.text != "group_right";
    case token_kind::op: return t.text[0] >= 'A'; // and, or, unless, atan2
    default: return false;
    }
  }

  // A primary with what may follow it: [range], offset, @.
  result<expression_ptr> expression_at(std::size_t depth) {
    BOOST_OUTCOME_TRY(tree, primary(depth));
    bool offset_given = false;
    for (;;) {
      const auto& t = next();
      if (t.kind == token_kind::left_bracket) {
        BOOST_OUTCOME_TRYV(range(tree, offset_given));
      } else if (t.kind == token_kind::keyword && (t.text == "offset" || t.text == "OFFSET")) {
        BOOST_OUTCOME_TRYV(offset(tree, offset_given));
      } else if (t.kind == token_kind::at) {
        return not_yet(t.at.begin, "the modifier \"@\"");
      } else {
        break;
      }
    }
    return std::make_unique<const expression>(std::move(tree));
  }

  result<expression> primary(std::size_t depth) {
    const auto& t = next();
    switch (t.kind) {
    case token_kind::number: return number(t.at.begin, 1);
    case token_kind::string: {
      take();
      return expression{t.at, string_literal{unquote(t.text)}};
    }
    case token_kind::left_paren: return parentheses(depth);
    case token_kind::op:
      if (t.text == "+" || t.text == "-")
        return signed_number(t);
      break;
    default: break;
    }
    if (!starts_selector(t))
      return unexpected();
    const auto& after = next(1);
    const bool grouping =
        after.kind == token_kind::keyword && (after.text == "by" || after.text == "without");
    if (t.kind == token_kind::aggregate && (after.kind == token_kind::left_paren || grouping))
      return not_yet(t.at.begin, fmt::format("the aggregation \"{}\"", t.text));
    if (t.kind == token_kind::identifier && after.kind == token_kind::left_paren)
      return not_yet(t.at.begin, fmt::format("the function \"{}\"", t.text));
    const auto begin = t.at.begin;
    BOOST_OUTCOME_TRY(selector, selector_here());
    return expression{{begin, tokens_[index_ - 1].at.end}, std::move(selector)};
  }

  result<expression> number(std::size_t begin, double sign) {
    const auto& t = take();
    const auto value = parse_number(t.text);
    if (!value)
      return complain(t.at.begin, fmt::format("error parsing number: {}: invalid syntax", quote(t.text)));
    return expression{{begin, t.at.end}, number_literal{sign * *value}};
  }

  result<expression> signed_number(const token& sign) {
    if (next(1).kind != token_kind::number)
      return not_yet(sign.at.begin, fmt::format("the unary operator \"{}\"", sign.text));
    take();
    return number(sign.at.begin, sign.text == "-" ? -1 : 1);
  }

  result<expression> parentheses(std::size_t depth) {
    const auto begin = take().at.begin;
    if (depth >= depth_max)
      return complain(begin, fmt::format("parentheses are nested more than {} deep", depth_max));
    BOOST_OUTCOME_TRY(inner, expression_at(depth + 1));
    if (next().kind != token_kind::right_paren)
      return not_an_end();
    return expression{{begin, take().at.end}, paren_expression{std::move(inner)}};
  }

  result<vector_selector> selector_here() {
    vector_selector made;
    const auto begin = next().at.begin;
    if (next().kind != token_kind::left_brace)
      made.name = std::string{take().text};
    if (next().kind == token_kind::left_brace) {
      BOOST_OUTCOME_TRYV(matchers(made));
    }
    if (!made.name.empty()) {
      for (const auto& m : made.matchers)
        if (m.name() == label_name)
          return complain(begin, fmt::format("metric name must not be set twice: {} or {}", quote(made.name),
                                             quote(m.value())));
      BOOST_OUTCOME_TRY(by_name, matcher::make(match_op::equal, std::string{label_name}, made.name));
      made.matchers.push_back(std::move(by_name));
    } else if (std::all_of(made.matchers.begin(), made.matchers.end(),
                           [](const matcher& m) { return m.matches(""); })) {
      return complain(begin, "vector selector must contain at least one non-empty matcher");
    }
    return made;
  }

  result<void> matchers(vector_selector& into) {
    constexpr std::string_view context = "label matching";
    take();
    while (next().kind != token_kind::right_brace) {
      const auto& name = next();
      if (name.kind != token_kind::identifier)
        return unexpected(context, "identifier or \"}\"");
      take();
      auto op = match_op::equal;
      switch (next().kind) {
      case token_kind::assign: break;
      case token_kind::match_not_equal: op = match_op::not_equal; break;
      case token_kind::match_regex: op = match_op::regex; break;
      case token_kind::match_not_regex: op = match_op::not_regex; break;
      default: return unexpected(context, "label matching operator");
      }
      take();
      if (next().kind != token_kind::string)
        return unexpected(context, "string");
      auto made = matcher::make(op, std::string{name.text}, unquote(take().text));
      if (!made)
        return complain(name.at.begin, made.error().message);
      if (into.matchers.size() >= matchers_max)
        return complain(name.at.begin, fmt::format("more than {} matchers", matchers_max));
      into.matchers.push_back(std::move(made.value()));
      if (next().kind == token_kind::comma)
        take();
      else if (next().kind != token_kind::right_brace)
        return unexpected(context, "\",\" or \"}\"");
    }
    take();
    return ok();
  }

  result<void> range(expression& tree, bool offset_given) {
    const auto bracket = take().at.begin;
    if (next().kind != token_kind::duration)
      return unexpected("subquery selector", "duration");
    const auto& duration = take();
    BOOST_OUTCOME_TRY(range_ms, positive_duration(duration));
    if (next().kind == token_kind::colon)
      return not_yet(bracket, "a subquery");
    if (next().kind != token_kind::right_bracket)
      return unexpected("subquery selector", "\":\" or \"]\"");
    const auto end = take().at.end;
    auto* selector = std::get_if<vector_selector>(&tree.node);
    if (!selector)
      return complain(bracket, "ranges only allowed for vector selectors");
    if (offset_given)
      return complain(bracket, "no offset modifiers allowed before range");
    tree = {{tree.at.begin, end}, matrix_selector{std::move(*selector), range_ms}};
    return ok();
  }

  result<void> offset(expression& tree, bool& given) {
    take();
    std::int64_t sign = 1;
    if (next().kind == token_kind::op && (next().text == "-" || next().text == "+"))
      sign = take().text == "-" ? -1 : 1;
    if (next().kind != token_kind::duration)
      return unexpected("offset", "duration");
    const auto& duration = take();
    BOOST_OUTCOME_TRY(offset_ms, positive_duration(duration));
    auto* selector = std::get_if<vector_selector>(&tree.node);
    if (auto* matrix = std::get_if<matrix_selector>(&tree.node))
      selector = &matrix->selector;
    if (!selector)
      return complain(tree.at.begin,
                      "offset modifier must be preceded by an instant vector selector or range "
                      "vector selector or a subquery");
    if (given)
      return complain(tree.at.begin, "offset may not be set multiple times");
    given = true;
    selector->offset_ms = sign * offset_ms;
    tree.at.end = duration.at.end;
    return ok();
  }

  result<std::int64_t> positive_duration(const token& t) {
    const auto parsed = parse_duration_ms(t.text);
    if (!parsed)
      return complain(t.at.begin, parsed.error().message);
    if (parsed.value() == 0)
      return complain(t.at.begin, "duration must be greater than 0");
    return parsed.value();
  }

  std::string_view query_;
  std::vector<token> tokens_;
  std::size_t index_ = 0;
};

result<void> check_size(std::string_view query) {
  if (query.size() > query_bytes_max)
    return fail(errc::invalid_argument,
                fmt::format("the query has {} bytes; at most {} are taken", query.size(), query_bytes_max));
  return ok();
}

} // namespace

result<expression_ptr> parse(std::string_view query) {
  BOOST_OUTCOME_TRYV(check_size(query));
  return parser{query}.run();
}

result<std::vector<matcher>> parse_selector(std::string_view text) {
  BOOST_OUTCOME_TRYV(check_size(text));
  return parser{text}.run_selector();
}

result<std::int64_t> parse_duration_ms(std::string_view text) {
  struct unit {
    std::string_view name;
    std::int64_t ms;
  };
  constexpr std::array<unit, 7> units{{{"y", 365LL * 86'400'000},
                                       {"w", 7LL * 86'400'000},
                                       {"d", 86'400'000},
                                       {"h", 3'600'000},
                                       {"m", 60'000},
                                       {"s", 1'000},
                                       {"ms", 1}}};
  constexpr std::int64_t ms_max =
      std::numeric_limits<std::int64_t>::max() / 1'000'000; // nanoseconds must fit
  if (text.empty())
    return fail(errc::malformed, "empty duration string");
  if (text == "0")
    return std::int64_t{0};
  const auto malformed = [&] {
    return fail(errc::malformed, fmt::format("not a valid duration string: {}", quote(text)));
  };
  std::int64_t total = 0;
  std::size_t unit_from = 0; // units come in falling order, each once
  bool too_large = false;
  for (std::size_t at = 0; at < text.size();) {
    std::int64_t count = 0;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + text.size(), count);
    if (error == std::errc::invalid_argument || text[at] == '-')
      return malformed();
    too_large = too_large || error == std::errc::result_out_of_range;
    at = static_cast<std::size_t>(stop - text.data());
    std::size_t letters = 0;
    while (at + letters < text.size() && text[at + letters] >= 'a' && text[at + letters] <= 'z')
      ++letters;
    const auto name = text.substr(at, letters);
    const auto found = std::find_if(units.begin() + static_cast<std::ptrdiff_t>(unit_from), units.end(),
                                    [&](const unit& u) { return u.name == name; });
    if (found == units.end())
      return malformed();
    unit_from = static_cast<std::size_t>(found - units.begin()) + 1;
    at += letters;
    too_large = too_large || count > (ms_max - total) / found->ms;
    if (!too_large)
      total += count * found->ms;
  }
  if (too_large)
    return fail(errc::malformed, "duration out of range");
  return total;
}

} // namespace skerry::promql
