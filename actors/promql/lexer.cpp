#include "actors/promql/lexer.hpp"

#include "actors/promql/utf8.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace skerry::promql {

namespace {

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_alpha(char c) noexcept { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_alphanumeric(char c) noexcept { return is_alpha(c) || is_digit(c); }
bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_hex(char c) noexcept { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& all, std::string_view word) noexcept {
  return std::find(all.begin(), all.end(), word) != all.end();
}

constexpr std::array<std::string_view, 4> word_operators{"and", "or", "unless", "atan2"};
constexpr std::array<std::string_view, 12> aggregators{"sum",  "avg",     "count",        "min",
                                                       "max",  "group",   "stddev",       "stdvar",
                                                       "topk", "bottomk", "count_values", "quantile"};
constexpr std::array<std::string_view, 10> keywords{
    "offset", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "start", "end"};

class lexer {
public:
  explicit lexer(std::string_view query) : text_(query) {}

  std::vector<token> run() && {
    while (!done_) {
      start_ = at_;
      if (in_braces_)
        inside_braces();
      else
        statement();
    }
    return std::move(tokens_);
  }

private:
  [[nodiscard]] bool at_end() const noexcept { return at_ >= text_.size(); }
  [[nodiscard]] char peek(std::size_t ahead = 0) const noexcept {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool accept(std::string_view any) noexcept {
    if (at_end() || any.find(text_[at_]) == std::string_view::npos)
      return false;
    ++at_;
    return true;
  }
  void accept_run(std::string_view any) noexcept {
    while (accept(any)) {
    }
  }
  void emit(token_kind kind) {
    tokens_.push_back({kind, {start_, at_}, text_.substr(start_, at_ - start_), {}});
  }
  void fail(std::string message) {
    tokens_.push_back({token_kind::error, {start_, at_}, {}, std::move(message)});
    done_ = true;
  }
  // For "unexpected character: 'x'": the character at `at_`, or the end of the input.
  std::string quoted_next() {
    if (at_end())
      return "end of input";
    return quote_character(text_, at_);
  }

  bool space_or_comment() {
    if (is_space(peek())) {
      while (!at_end() && is_space(text_[at_]))
        ++at_;
      return true;
    }
    if (peek() == '#') {
      while (!at_end() && text_[at_] != '\n' && text_[at_] != '\r')
        ++at_;
      return true;
    }
    return false;
  }

  void inside_braces() {
    if (at_end())
      return fail("unexpected end of input inside braces");
    if (space_or_comment())
      return;
    const char c = text_[at_];
    if (is_alpha(c)) {
      while (!at_end() && is_alphanumeric(text_[at_]))
        ++at_;
      return emit(token_kind::identifier);
    }
    switch (c) {
    case ',': ++at_; return emit(token_kind::comma);
    case '"':
    case '\'': return string(c);
    case '`': return raw_string();
    case '=': ++at_; return emit(accept("~") ? token_kind::match_regex : token_kind::assign);
    case '!':
      ++at_;
      if (accept("~"))
        return emit(token_kind::match_not_regex);
      if (accept("="))
        return emit(token_kind::match_not_equal);
      return fail(fmt::format("unexpected character after '!' inside braces: {}", quoted_next()));
    case '{': return fail("unexpected left brace '{'");
    case '}':
      ++at_;
      in_braces_ = false;
      return emit(token_kind::right_brace);
    default: return fail(fmt::format("unexpected character inside braces: {}", quoted_next()));
    }
  }

  void statement() {
    if (at_end()) {
      if (parens_ > 0)
        return fail("unclosed left parenthesis");
      if (in_brackets_)
        return fail("unclosed left bracket");
      emit(token_kind::end);
      done_ = true;
      return;
    }
    if (space_or_comment())
      return;
    const char c = text_[at_];
    if (is_digit(c) || (c == '.' && is_digit(peek(1))))
      return number_or_duration();
    if (is_alpha(c) || c == ':')
      return word_or_colon(c);
    switch (c) {
    case ',': ++at_; return emit(token_kind::comma);
    case '*':
    case '/':
    case '%':
    case '+':
    case '-':
    case '^': ++at_; return emit(token_kind::op);
    case '=':
      ++at_;
      if (accept("="))
        return emit(token_kind::op);
      if (peek() == '~')
        return fail("unexpected character after '=': '~'");
      return emit(token_kind::assign);
    case '!':
      ++at_;
      if (accept("="))
        return emit(token_kind::op);
      return fail(fmt::format("unexpected character after '!': {}", quoted_next()));
    case '<':
    case '>':
      ++at_;
      accept("=");
      return emit(token_kind::op);
    case '"':
    case '\'': return string(c);
    case '`': return raw_string();
    case '(':
      ++at_;
      ++parens_;
      return emit(token_kind::left_paren);
    case ')':
      if (parens_ == 0)
        return fail("unexpected right parenthesis ')'");
      ++at_;
      --parens_;
      return emit(token_kind::right_paren);
    case '{':
      ++at_;
      in_braces_ = true;
      return emit(token_kind::left_brace);
    case '[': return left_bracket();
    case ']':
      if (!in_brackets_)
        return fail("unexpected right bracket ']'");
      ++at_;
      in_brackets_ = false;
      return emit(token_kind::right_bracket);
    case '@': ++at_; return emit(token_kind::at);
    default: return fail(fmt::format("unexpected character: {}", quoted_next()));
    }
  }

  void word_or_colon(char c) {
    if (in_brackets_) {
      if (c != ':' || colon_seen_)
        return fail(fmt::format("unexpected colon {}", quoted_next()));
      ++at_;
      colon_seen_ = true;
      return emit(token_kind::colon);
    }
    while (!at_end() && (is_alphanumeric(text_[at_]) || text_[at_] == ':'))
      ++at_;
    const auto word = text_.substr(start_, at_ - start_);
    const auto low = lower(word);
    if (low == "inf" || low == "nan")
      return emit(token_kind::number);
    if (contains(word_operators, low))
      return emit(token_kind::op);
    if (contains(aggregators, low))
      return emit(token_kind::aggregate);
    if (contains(keywords, low))
      return emit(token_kind::keyword);
    emit(word.find(':') == std::string_view::npos ? token_kind::identifier : token_kind::metric_identifier);
  }

  void left_bracket() {
    if (in_brackets_)
      return fail("unexpected left bracket '['");
    ++at_;
    emit(token_kind::left_bracket);
    in_brackets_ = true;
    colon_seen_ = false;
    while (!at_end() && is_space(text_[at_]))
      ++at_;
    start_ = at_;
    if (scan_number())
      return fail("missing unit character in duration");
    if (!scan_units())
      return fail(fmt::format("bad duration syntax: {}", quote(text_.substr(start_, at_ - start_))));
    emit(token_kind::duration);
  }

  void number_or_duration() {
    if (scan_number())
      return emit(token_kind::number);
    if (scan_units())
      return emit(token_kind::duration);
    fail(fmt::format("bad number or duration syntax: {}", quote(text_.substr(start_, at_ - start_))));
  }

  // True when what was read can stand as a number: nothing alphanumeric follows.
  bool scan_number() {
    constexpr std::string_view decimal = "0123456789";
    std::string_view digits = decimal;
    if (accept("0") && accept("xX"))
      digits = "0123456789abcdefABCDEF";
    accept_run(digits);
    if (accept("."))
      accept_run(digits);
    if (accept("eE")) {
      accept("+-");
      accept_run(decimal);
    }
    return !is_alphanumeric(peek());
  }

  // The units of a duration whose first number was read; whether they are in order is for parse_duration_ms.
  bool scan_units() {
    if (!accept("smhdwy"))
      return false;
    accept("s");
    while (accept("0123456789")) {
      accept_run("0123456789");
      if (!accept("smhdw"))
        return false;
      accept("s");
    }
    if (is_alphanumeric(peek())) {
      ++at_;
      return false;
    }
    return true;
  }

  void raw_string() {
    const auto close = text_.find('`', at_ + 1);
    if (close == std::string_view::npos) {
      at_ = text_.size();
      return fail("unterminated raw string");
    }
    at_ = close + 1;
    emit(token_kind::string);
  }

  void string(char quote) {
    ++at_;
    while (!at_end() && text_[at_] != '\n' && text_[at_] != quote) {
      if (text_[at_] == '\\') {
        ++at_;
        if (!escape(quote))
          return;
        continue;
      }
      std::size_t length = 1;
      if (decode(text_, at_, length) == rune_invalid)
        return fail("invalid UTF-8 rune");
      at_ += length;
    }
    if (at_end() || text_[at_] == '\n')
      return fail("unterminated quoted string");
    ++at_;
    emit(token_kind::string);
  }

  bool escape(char quote) {
    if (at_end()) {
      fail("escape sequence not terminated");
      return false;
    }
    const char c = text_[at_];
    if (c == quote || std::string_view{"abfnrtv\\"}.find(c) != std::string_view::npos) {
      ++at_;
      return true;
    }
    if (c >= '0' && c <= '7')
      return digits(3, 8, 255);
    if (c == 'x' || c == 'u' || c == 'U') {
      ++at_;
      return c == 'x' ? digits(2, 16, 255) : digits(c == 'u' ? 4 : 8, 16, 0x10FFFF);
    }
    fail(fmt::format("unknown escape sequence {}", code_point()));
    return false;
  }

  // "U+0071 'q'"
  std::string code_point() {
    std::size_t length = 1;
    const auto rune = decode(text_, at_, length);
    const auto shown = text_.substr(at_, length);
    return rune == rune_invalid ? "U+FFFD '\xEF\xBF\xBD'"
                                : fmt::format("U+{:04X} '{}'", static_cast<std::uint32_t>(rune), shown);
  }

  bool digits(int count, std::uint32_t base, std::uint32_t max) {
    std::uint32_t value = 0;
    for (; count > 0; --count, ++at_) {
      if (at_end()) {
        fail("escape sequence not terminated");
        return false;
      }
      const char c = text_[at_];
      if (!(base == 16 ? is_hex(c) : c >= '0' && c <= '7')) {
        fail(fmt::format("illegal character {} in escape sequence", code_point()));
        return false;
      }
      const auto digit = static_cast<std::uint32_t>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
      value = value * base + digit;
    }
    if (value > max || (value >= 0xD800 && value < 0xE000)) {
      fail("escape sequence is an invalid Unicode code point");
      return false;
    }
    return true;
  }

  std::string_view text_;
  std::vector<token> tokens_;
  std::size_t start_ = 0;
  std::size_t at_ = 0;
  std::size_t parens_ = 0;
  bool in_braces_ = false;
  bool in_brackets_ = false;
  bool colon_seen_ = false;
  bool done_ = false;
};

} // namespace

std::vector<token> lex(std::string_view query) { return lexer{query}.run(); }

bool is_label_name(std::string_view text) noexcept {
  return !text.empty() && is_alpha(text[0]) && std::all_of(text.begin(), text.end(), is_alphanumeric);
}

} // namespace skerry::promql
