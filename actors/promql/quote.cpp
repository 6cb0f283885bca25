// How tokens and texts stand in messages.

#include "actors/promql/lexer.hpp"
#include "actors/promql/utf8.hpp"

#include <fmt/format.h>

namespace skerry::promql {

std::string quote_character(std::string_view text, std::size_t& at) {
  std::size_t length = 1;
  const auto rune = decode(text, at, length);
  const auto shown = text.substr(at, length);
  at += length;
  switch (rune) {
  case '\n': return R"('\n')";
  case '\r': return R"('\r')";
  case '\t': return R"('\t')";
  case '\'': return R"('\'')";
  case '\\': return R"('\\')";
  case rune_invalid: return "'\xEF\xBF\xBD'";
  default: break;
  }
  if (rune < 0x20 || rune == 0x7F)
    return fmt::format(R"('\x{:02x}')", static_cast<std::uint32_t>(rune));
  return fmt::format("'{}'", shown);
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = 1;
    const auto rune = decode(text, at, length);
    switch (rune) {
    case '"': out += "\\\""; break;
    case '\\': out += "\\\\"; break;
    case '\n': out += "\\n"; break;
    case '\r': out += "\\r"; break;
    case '\t': out += "\\t"; break;
    default:
      if (rune == rune_invalid || rune < 0x20 || rune == 0x7F)
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[at]));
      else
        out += text.substr(at, length);
    }
    at += length;
  }
  return out + '"';
}

std::string describe(const token& t) {
  switch (t.kind) {
  case token_kind::end: return "end of input";
  case token_kind::error: return t.message;
  case token_kind::identifier: return fmt::format("identifier {}", quote(t.text));
  case token_kind::metric_identifier: return fmt::format("metric identifier {}", quote(t.text));
  case token_kind::string:
  case token_kind::number:
  case token_kind::duration: {
    const auto what = t.kind == token_kind::string   ? "string"
                      : t.kind == token_kind::number ? "number"
                                                     : "duration";
    const auto shown = t.text.size() > 10 ? quote(t.text.substr(0, 10)) + "..." : quote(t.text);
    return fmt::format("{} {}", what, shown);
  }
  case token_kind::op: return fmt::format("<op:{}>", t.text);
  case token_kind::aggregate: return fmt::format("<aggr:{}>", t.text);
  case token_kind::keyword: return fmt::format("<{}>", t.text);
  default: return quote(t.text);
  }
}

} // namespace skerry::promql
