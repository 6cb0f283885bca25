#include "edge/collect/scrape/exposition_line.hpp"

#include "edge/collect/scrape/number.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

namespace skerry::edge {

namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Walks one line. `blanks` skips what the format allows between tokens: nothing in OpenMetrics.
struct cursor {
  const char* at;
  const char* end;
  exposition_format format;

  [[nodiscard]] bool done() const { return at == end; }
  [[nodiscard]] bool is(char c) const { return at != end && *at == c; }
  bool take(char c) {
    if (!is(c))
      return false;
    ++at;
    return true;
  }
  void blanks() {
    if (format == exposition_format::text)
      while (at != end && is_blank(*at))
        ++at;
  }
  std::string_view name(bool colons) {
    const char* first = at;
    if (at != end && (is_letter(*at) || (colons && *at == ':')))
      while (at != end && (is_letter(*at) || is_digit(*at) || (colons && *at == ':')))
        ++at;
    return {first, static_cast<std::size_t>(at - first)};
  }
  // After the opening quote; returns what is between the quotes, still escaped. False: no closing quote, or a line feed
  // after a backslash.
  bool quoted(std::string_view& into) {
    const char* first = at;
    while (at != end && *at != '"') {
      if (*at == '\\' && (++at == end || *at == '\n'))
        return false;
      ++at;
    }
    if (at == end)
      return false;
    into = {first, static_cast<std::size_t>(at - first)};
    ++at;
    return true;
  }
};

// After the opening brace. Calls each(name, escaped value); the error, or nullptr.
template <class Each>
const char* walk_labels(cursor& c, Each&& each) {
  const bool strict = c.format == exposition_format::open_metrics;
  c.blanks();
  bool first = true;
  while (!c.take('}')) {
    // Text allows a comma after the last label, and, as Prometheus' parser has it, none between labels.
    if (strict && !first && !c.take(','))
      return "expected a comma or a brace after a label";
    const auto name = c.name(false);
    if (name.empty())
      return "expected a label name";
    c.blanks();
    if (!c.take('='))
      return "expected = after a label name";
    c.blanks();
    std::string_view value;
    if (!c.take('"'))
      return "expected a quoted label value";
    if (!c.quoted(value))
      return "a label value's closing quote is missing";
    if (!is_utf8(value))
      return "a label value is not UTF-8";
    each(name, value);
    first = false;
    c.blanks();
    if (!strict && c.take(','))
      c.blanks();
  }
  return nullptr;
}

std::string unescape(std::string_view text, bool quotes) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      const char next = text[i + 1];
      if (next == '\\' || next == 'n' || (quotes && next == '"')) {
        out += next == 'n' ? '\n' : next;
        ++i;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

bool parse_type(std::string_view text, exposition_format format, metric_type& into) {
  struct entry {
    std::string_view text;
    metric_type type;
  };
  static constexpr entry common[] = {{"counter", metric_type::counter},
                                     {"gauge", metric_type::gauge},
                                     {"histogram", metric_type::histogram},
                                     {"summary", metric_type::summary}};
  static constexpr entry open[] = {{"gaugehistogram", metric_type::gauge_histogram},
                                   {"info", metric_type::info},
                                   {"stateset", metric_type::stateset},
                                   {"unknown", metric_type::unknown}};
  const auto find = [&](const auto& in) {
    const auto it =
        std::find_if(std::begin(in), std::end(in), [&](const entry& e) { return e.text == text; });
    if (it == std::end(in))
      return false;
    into = it->type;
    return true;
  };
  if (find(common))
    return true;
  if (format == exposition_format::open_metrics)
    return find(open);
  into = metric_type::unknown;
  return text == "untyped";
}

exposition_line bad(const char* why) {
  exposition_line line;
  line.kind = line_kind::bad;
  line.error = why;
  return line;
}

exposition_line of_kind(line_kind kind) {
  exposition_line line;
  line.kind = kind;
  return line;
}

bool starts_word(std::string_view& text, std::string_view word, exposition_format format) {
  if (!text.starts_with(word) || text.size() == word.size())
    return false;
  const char next = text[word.size()];
  if (next != ' ' && (format == exposition_format::open_metrics || next != '\t'))
    return false;
  text.remove_prefix(word.size() + 1);
  return true;
}

exposition_line parse_comment(std::string_view line, exposition_format format) {
  const bool strict = format == exposition_format::open_metrics;
  std::string_view rest = line.substr(1);
  if (strict) {
    if (rest == " EOF")
      return of_kind(line_kind::end);
    if (!rest.starts_with(' '))
      return bad("a comment must start with \"# \"");
    rest.remove_prefix(1);
  } else {
    if (rest.empty() || !is_blank(rest.front()))
      return of_kind(line_kind::comment);
    while (!rest.empty() && is_blank(rest.front()))
      rest.remove_prefix(1);
  }
  exposition_line out;
  if (starts_word(rest, "HELP", format))
    out.kind = line_kind::help;
  else if (starts_word(rest, "TYPE", format))
    out.kind = line_kind::type;
  else if (strict && starts_word(rest, "UNIT", format))
    out.kind = line_kind::unit;
  else
    return strict ? bad("a comment is not HELP, TYPE, UNIT or EOF") : of_kind(line_kind::comment);
  cursor c{rest.data(), rest.data() + rest.size(), format};
  c.blanks();
  out.name = c.name(true);
  if (out.name.empty())
    return bad("expected a metric name after HELP, TYPE or UNIT");
  if (!c.done() && !is_blank(*c.at))
    return bad("a metric name in HELP, TYPE or UNIT is malformed");
  if (c.done()) {
    if (strict || out.kind == line_kind::type)
      return bad("expected text after the metric name in HELP, TYPE or UNIT");
    return out;
  }
  out.text = {c.at + 1, static_cast<std::size_t>(c.end - c.at - 1)};
  if (out.kind == line_kind::type && !parse_type(out.text, format, out.type))
    return bad("unknown metric type");
  if (out.kind == line_kind::help && !is_utf8(out.text))
    return bad("a help text is not UTF-8");
  if (out.kind == line_kind::unit && !out.text.empty()
      && (!out.name.ends_with(out.text) || out.name.size() < out.text.size() + 1
          || out.name[out.name.size() - out.text.size() - 1] != '_'))
    return bad("the unit is not a suffix of the metric's name");
  return out;
}

// Seconds as a float become whole milliseconds, cut as Prometheus cuts them.
const char* parse_seconds(const char* at, const char* end, std::int64_t& into, const char*& error) {
  double seconds = 0;
  const char* p = parse_number(at, end, seconds);
  if (p == nullptr || !(std::fabs(seconds * 1000) < 9.2e18)) {
    error = "a timestamp is malformed";
    return nullptr;
  }
  into = static_cast<std::int64_t>(seconds * 1000);
  return p;
}

} // namespace

exposition_format format_of(std::string_view content_type) noexcept {
  constexpr std::string_view open = "application/openmetrics-text";
  while (!content_type.empty() && is_blank(content_type.front()))
    content_type.remove_prefix(1);
  auto type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && is_blank(type.back()))
    type.remove_suffix(1);
  const bool same = std::equal(type.begin(), type.end(), open.begin(), open.end(), [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
  return same ? exposition_format::open_metrics : exposition_format::text;
}

const char* find_line_end(const char* at, const char* end) noexcept {
  const auto find = [end](const char* from, char c) {
    const void* found = from == end ? nullptr : std::memchr(from, c, static_cast<std::size_t>(end - from));
    return found == nullptr ? end : static_cast<const char*>(found);
  };
  while (at != end && is_blank(*at))
    ++at;
  const char* feed = find(at, '\n');
  if (at == end || *at == '#')
    return feed;
  for (;;) {
    const auto* quote = static_cast<const char*>(std::memchr(at, '"', static_cast<std::size_t>(feed - at)));
    if (quote == nullptr)
      return feed;
    at = quote + 1;
    while (at != end && *at != '"')
      at += *at == '\\' && at + 1 != end ? 2 : 1;
    if (at == end)
      return find(quote + 1, '"') == end ? feed : end;
    ++at;
    if (at > feed)
      feed = find(at, '\n');
  }
}

bool parse_value_part(const char* at, const char* end, exposition_format format, std::string_view metric,
                      value_part& into, const char*& error) {
  const char* p = parse_number(at, end, into.value);
  if (p == nullptr) {
    error = "the value is not a number";
    return false;
  }
  into.has_time = false;
  if (p == end)
    return true;
  if (format == exposition_format::text) {
    while (p != end && is_blank(*p))
      ++p;
    if (p == end)
      return true;
    const char* last = p;
    while (last != end && is_digit(*last))
      ++last;
    const auto parsed = std::from_chars(p, last, into.time_ms);
    while (last != end && is_blank(*last))
      ++last;
    if (parsed.ec != std::errc{} || last != end) {
      error = "a timestamp is malformed";
      return false;
    }
    into.has_time = true;
    return true;
  }
  const auto exemplar_starts = [&] { return end - p >= 4 && std::memcmp(p, " # {", 4) == 0; };
  if (*p == ' ' && !exemplar_starts()) {
    p = parse_seconds(p + 1, end, into.time_ms, error);
    if (p == nullptr)
      return false;
    into.has_time = true;
  }
  if (p == end)
    return true;
  if (!exemplar_starts()) {
    error = "expected a timestamp, an exemplar or the end of the line";
    return false;
  }
  // Exemplars are read, so that a damaged line is refused, and not kept.
  if (!metric.ends_with("_bucket") && !metric.ends_with("_total")) {
    error = "an exemplar stands at a metric that can't have one";
    return false;
  }
  cursor c{p + 4, end, format};
  if ((error = walk_labels(c, [](auto, auto) {})) != nullptr)
    return false;
  double ignored = 0;
  if (!c.take(' ') || (p = parse_number(c.at, end, ignored)) == nullptr) {
    error = "the value of an exemplar is not a number";
    return false;
  }
  std::int64_t time = 0;
  if (p != end && (*p != ' ' || (p = parse_seconds(p + 1, end, time, error)) == nullptr || p != end)) {
    error = "the timestamp of an exemplar is malformed";
    return false;
  }
  return true;
}

exposition_line parse_line(std::string_view line, exposition_format format) {
  const bool strict = format == exposition_format::open_metrics;
  cursor c{line.data(), line.data() + line.size(), format};
  c.blanks();
  if (c.done())
    return strict ? bad("a blank line") : of_kind(line_kind::blank);
  if (c.is('#'))
    return parse_comment({c.at, static_cast<std::size_t>(c.end - c.at)}, format);
  exposition_line out;
  out.series_first = static_cast<std::size_t>(c.at - line.data());
  out.name = c.name(true);
  if (out.name.empty())
    return bad("a line starts with what is no metric name");
  out.series_last = static_cast<std::size_t>(c.at - line.data());
  const char* blanks_from = c.at;
  c.blanks();
  if (c.take('{')) {
    if (const char* why = walk_labels(c, [](auto, auto) {}))
      return bad(why);
    out.series_last = static_cast<std::size_t>(c.at - line.data());
    blanks_from = c.at;
    c.blanks();
  } else if (c.at == blanks_from && !c.is(' ')) {
    return bad("expected a value or labels after the metric name");
  }
  if (strict && !c.take(' '))
    return bad("expected a space before the value");
  out.value_at = static_cast<std::size_t>(c.at - line.data());
  value_part part;
  const char* why = "";
  if (!parse_value_part(c.at, c.end, format, out.name, part, why))
    return bad(why);
  out.kind = line_kind::sample;
  out.value = part.value;
  if (part.has_time)
    out.time_ms = part.time_ms;
  return out;
}

bool parse_labels(std::string_view series, labels& into) {
  into.clear();
  cursor c{series.data(), series.data() + series.size(), exposition_format::text};
  into.push_back({std::string{label_name}, std::string{c.name(true)}});
  c.blanks();
  if (c.take('{'))
    walk_labels(c, [&](std::string_view name, std::string_view value) {
      into.push_back({std::string{name}, value.find('\\') == std::string_view::npos ? std::string{value}
                                                                                    : unescape(value, true)});
    });
  std::sort(into.begin(), into.end(), [](const label& a, const label& b) { return a.name < b.name; });
  return std::adjacent_find(into.begin(), into.end(),
                            [](const label& a, const label& b) { return a.name == b.name; })
         == into.end();
}

std::string unescape_help(std::string_view text) { return unescape(text, false); }

bool is_utf8(std::string_view text) noexcept {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  while (p != end) {
    if (std::uint64_t eight = 0; end - p >= 8) {
      std::memcpy(&eight, p, 8);
      if ((eight & 0x8080'8080'8080'8080) == 0) { // ASCII, as nearly all is
        p += 8;
        continue;
      }
    }
    const unsigned c = *p++;
    if (c < 0x80)
      continue;
    const int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    if (c < 0xc2 || c > 0xf4 || end - p < more)
      return false;
    // Overlong forms, surrogates and beyond U+10FFFF show in the second byte.
    const unsigned second = *p;
    if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90)
        || (c == 0xf4 && second > 0x8f))
      return false;
    for (int i = 0; i < more; ++i)
      if ((*p++ & 0xc0) != 0x80)
        return false;
  }
  return true;
}

bool is_label_name(std::string_view text) noexcept {
  return !text.empty() && is_letter(text.front())
         && std::all_of(text.begin(), text.end(), [](char c) { return is_letter(c) || is_digit(c); });
}

bool is_metric_name(std::string_view text) noexcept {
  const auto first = [](char c) { return is_letter(c) || c == ':'; };
  return !text.empty() && first(text.front())
         && std::all_of(text.begin(), text.end(), [&](char c) { return first(c) || is_digit(c); });
}

} // namespace skerry::edge
