#include "actors/promql/json.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace skerry::promql {

namespace {

constexpr double exact_integers_below = 9007199254740992.0; // 2^53
constexpr std::size_t digits_max = 32;                      // of a double in its shortest form, with exponent

template <class T>
void append_integer(std::string& out, T value) {
  std::array<char, 24> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  out.append(buffer.data(), end);
}

bool append_special(std::string& out, double value) {
  if (std::isnan(value))
    out += "NaN";
  else if (std::isinf(value))
    out += value > 0 ? "+Inf" : "-Inf";
  else if (value == 0)
    out += std::signbit(value) ? "-0" : "0";
  else if (std::abs(value) < exact_integers_below && value == std::trunc(value))
    append_integer(out, static_cast<std::int64_t>(value)); // the usual case, and the quickest
  else
    return false;
  return true;
}

std::string_view shortest(std::array<char, digits_max>& buffer, double value) {
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific).ptr;
  return {buffer.data(), static_cast<std::size_t>(end - buffer.data())};
}

// Lays the shortest digits out without an exponent. to_chars' own fixed form won't do: from 2^53 on it prints
// the exact integer instead of the shortest digits followed by zeros.
void append_fixed(std::string& out, double value) {
  std::array<char, digits_max> buffer;
  auto text = shortest(buffer, value); // [-]d[.ddd]e[+-]dd
  if (text.front() == '-') {
    out += '-';
    text.remove_prefix(1);
  }
  const auto e = text.find('e');
  int exponent = 0;
  const auto from = text.data() + e + (text[e + 1] == '+' ? 2 : 1);
  std::from_chars(from, text.data() + text.size(), exponent);
  std::array<char, digits_max> digits;
  std::size_t count = 0;
  for (const char c : text.substr(0, e))
    if (c != '.')
      digits[count++] = c;
  const int point = exponent + 1; // digits before the decimal point
  const auto size = static_cast<int>(count);
  if (point <= 0) {
    out += "0.";
    out.append(static_cast<std::size_t>(-point), '0');
    out.append(digits.data(), count);
  } else if (point >= size) {
    out.append(digits.data(), count);
    out.append(static_cast<std::size_t>(point - size), '0');
  } else {
    out.append(digits.data(), static_cast<std::size_t>(point));
    out += '.';
    out.append(digits.data() + point, static_cast<std::size_t>(size - point));
  }
}

// How many bytes the UTF-8 character at `at` takes; 0 when it is none.
std::size_t utf8_length(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned a = byte(0);
  if (a >= 0xC2 && a <= 0xDF)
    return follows(1) ? 2 : 0;
  if (a >= 0xE0 && a <= 0xEF) {
    const bool shape = follows(1) && follows(2);
    const bool range =
        !(a == 0xE0 && byte(1) < 0xA0) && !(a == 0xED && byte(1) > 0x9F); // overlong, surrogates
    return shape && range ? 3 : 0;
  }
  if (a >= 0xF0 && a <= 0xF4) {
    const bool shape = follows(1) && follows(2) && follows(3);
    const bool range = !(a == 0xF0 && byte(1) < 0x90) && !(a == 0xF4 && byte(1) > 0x8F);
    return shape && range ? 4 : 0;
  }
  return 0;
}

void append_escape(std::string& out, unsigned code) {
  constexpr std::string_view hex = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4)
    out += hex[code >> shift & 0xF];
}

// Go escapes <, > and & too, so that JSON can stand inside HTML.
constexpr std::array<bool, 256> plain_characters = [] {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < 0x80; ++c)
    plain[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
  return plain;
}();

void append_escaped(std::string& out, std::string_view text);

struct value_writer {
  std::string& out;
  const may_go_on* more = nullptr;

  [[nodiscard]] bool go_on() const { return more == nullptr || (*more)(out); }
  // What a query made of labels may be large.
  void metric(const labels& all) const {
    constexpr std::size_t text_max = 16 << 10;
    if (std::all_of(all.begin(), all.end(), [](const label& l) { return l.value.size() <= text_max; }))
      return append_labels(out, all);
    out += '{';
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (i > 0)
        out += ',';
      append_string(out, all[i].name);
      out += ":\"";
      for (std::string_view left = all[i].value; !left.empty();) {
        auto size = std::min(text_max, left.size());
        for (int back = 0; back < 3 && size < left.size() && (left[size] & 0xC0) == 0x80; ++back)
          --size; // a character stays whole
        append_escaped(out, left.substr(0, size));
        left.remove_prefix(size);
        if (!go_on())
          return;
      }
      out += '"';
    }
    out += '}';
  }

  void pair(const point& p) const {
    out += '[';
    append_time(out, p.time_ms);
    out += ",\"";
    append_number(out, p.value);
    out += "\"]";
  }
  void operator()(const scalar_value& s) const {
    out += '[';
    append_time_short(out, s.at.time_ms);
    out += ",\"";
    append_number_plain(out, s.at.value);
    out += "\"]";
  }
  void operator()(const string_value& s) const {
    out += '[';
    append_time_short(out, s.time_ms);
    out += ',';
    append_string(out, s.text);
    out += ']';
  }
  void operator()(const vector_value& all) const {
    out += '[';
    for (std::size_t i = 0; i < all.size() && go_on(); ++i) {
      out += i == 0 ? R"({"metric":)" : R"(,{"metric":)";
      metric(all[i].metric);
      out += R"(,"value":)";
      pair(all[i].at);
      out += '}';
    }
    out += ']';
  }
  void operator()(const matrix_value& all) const {
    out += '[';
    constexpr std::size_t points_between_looks = 1024;
    for (std::size_t i = 0; i < all.size() && go_on(); ++i) {
      out += i == 0 ? R"({"metric":)" : R"(,{"metric":)";
      metric(all[i].metric);
      out += R"(,"values":[)";
      for (std::size_t k = 0; k < all[i].points.size(); ++k) {
        if (k > 0)
          out += ',';
        if (k % points_between_looks == points_between_looks - 1 && !go_on())
          return;
        pair(all[i].points[k]);
      }
      out += "]}";
    }
    out += ']';
  }
};

template <class Alternative>
void append_result(std::string& out, value_type type, const Alternative& of,
                   const may_go_on* more = nullptr) {
  out += R"({"resultType":")";
  out += to_string(type);
  out += R"(","result":)";
  value_writer{out, more}(of);
  out += '}';
}

} // namespace

void append_number(std::string& out, double value) {
  if (append_special(out, value))
    return;
  const auto size = std::abs(value);
  if (size >= 1e-6 && size < 1e21)
    return append_fixed(out, value);
  std::array<char, digits_max> buffer;
  out += shortest(buffer, value);
}

void append_number_plain(std::string& out, double value) {
  if (!append_special(out, value))
    append_fixed(out, value);
}

void append_time(std::string& out, std::int64_t time_ms) {
  auto size = static_cast<std::uint64_t>(time_ms);
  if (time_ms < 0) {
    out += '-';
    size = 0 - size;
  }
  append_integer(out, size / 1000);
  const auto fraction = size % 1000;
  if (fraction == 0)
    return;
  out += '.';
  for (const std::uint64_t unit : {100, 10, 1})
    out += static_cast<char>('0' + fraction / unit % 10);
}

void append_time_short(std::string& out, std::int64_t time_ms) {
  append_time(out, time_ms);
  if (time_ms % 1000 != 0)
    while (out.back() == '0')
      out.pop_back();
}

namespace {

void append_escaped(std::string& out, std::string_view text) {
  std::size_t done = 0;
  std::size_t at = 0;
  const auto flush = [&](std::size_t skip) {
    out.append(text, done, at - done);
    at += skip;
    done = at;
  };
  while (at < text.size()) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (plain_characters[c]) {
      ++at;
      continue;
    }
    if (c >= 0x80) {
      const auto length = utf8_length(text, at);
      const auto character = text.substr(at, length);
      if (length == 0) {
        flush(1);
        out += "\\ufffd";
      } else if (character == "\xE2\x80\xA8" || character == "\xE2\x80\xA9") {
        flush(3);
        append_escape(out, character.back() == '\xA8' ? 0x2028 : 0x2029);
      } else {
        at += length;
      }
      continue;
    }
    flush(1);
    switch (c) {
    case '"': out += "\\\""; break;
    case '\\': out += "\\\\"; break;
    case '\n': out += "\\n"; break;
    case '\r': out += "\\r"; break;
    case '\t': out += "\\t"; break;
    default: append_escape(out, c);
    }
  }
  out.append(text, done, at - done);
}

} // namespace

void append_string(std::string& out, std::string_view text) {
  out += '"';
  append_escaped(out, text);
  out += '"';
}

void append_labels(std::string& out, const labels& all) {
  out += '{';
  bool first = true;
  for (const auto& [name, value] : all) {
    if (!first)
      out += ',';
    first = false;
    append_string(out, name);
    out += ':';
    append_string(out, value);
  }
  out += '}';
}

void append_value(std::string& out, const value& v) {
  std::visit([&](const auto& alternative) { append_result(out, type_of(v), alternative); }, v);
}

void append_value(std::string& out, const value& v, const may_go_on& more) {
  std::visit([&](const auto& alternative) { append_result(out, type_of(v), alternative, &more); }, v);
}

void append_value(std::string& out, const matrix_value& v) { append_result(out, value_type::matrix, v); }

} // namespace skerry::promql
