#pragma once

// PromQL text to tokens, all of PromQL 2.42's: what the parser does not build yet, it can name.
//
// The whole query is cut at once; it is short (query_bytes_max). The last token is always `end` or `error`.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::promql {

inline constexpr std::size_t query_bytes_max = 64 << 10;

// Byte offsets into the query.
struct position_range {
  std::size_t begin = 0;
  std::size_t end = 0;

  bool operator==(const position_range&) const = default;
};

enum class token_kind : std::uint8_t {
  end,
  error, // `message` says what
  identifier,
  metric_identifier, // an identifier with a colon
  string,            // `text` with its quotes
  number,
  duration,
  left_paren,
  right_paren,
  left_brace,
  right_brace,
  left_bracket,
  right_bracket,
  comma,
  colon,
  at,
  assign, // = : a matcher
  match_not_equal,
  match_regex,
  match_not_regex,
  op,        // + - * / % ^ == != < > <= >= and or unless atan2
  aggregate, // sum, topk, …
  keyword,   // offset, by, bool, …
};

struct token {
  token_kind kind = token_kind::end;
  position_range at;
  std::string_view text; // of the query, which outlives the tokens
  std::string message;   // of an error
};

[[nodiscard]] std::vector<token> lex(std::string_view query);

// A token as messages name it: `identifier "bar"`, `"("`, `<op:+>`, `end of input`.
[[nodiscard]] std::string describe(const token& t);

[[nodiscard]] bool is_label_name(std::string_view text) noexcept; // [a-zA-Z_][a-zA-Z0-9_]*
// One character as Go prints it with %q: 'q', '\n', 'é'. `at` is moved behind it.
[[nodiscard]] std::string quote_character(std::string_view text, std::size_t& at);
// Text as Go prints it with %q.
[[nodiscard]] std::string quote(std::string_view text);

} // namespace skerry::promql
