#include "actors/http/url.hpp"

namespace skerry::http {

namespace {

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9')
    return c - '0';
  if (c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if (c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return -1;
}

} // namespace

result<std::string> percent_decode(std::string_view text, plus meaning) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && meaning == plus::is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const auto high = i + 1 < text.size() ? hex_digit(text[i + 1]) : -1;
      const auto low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0)
        return fail(errc::malformed, "invalid URL escape: a '%' needs two hexadecimal digits after it");
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

result<void> decode_parameters(std::string_view text, parameter_list& into) {
  while (!text.empty()) {
    const auto end = text.find('&');
    const auto piece = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (piece.empty())
      continue;
    if (into.size() >= parameters_max)
      return fail(errc::malformed,
                  "more than " + std::to_string(parameters_max) + " parameters in one request");
    const auto equals = piece.find('=');
    BOOST_OUTCOME_TRY(name, percent_decode(piece.substr(0, equals), plus::is_space));
    std::string value;
    if (equals != std::string_view::npos) {
      BOOST_OUTCOME_TRY(decoded, percent_decode(piece.substr(equals + 1), plus::is_space));
      value = std::move(decoded);
    }
    into.emplace_back(std::move(name), std::move(value));
  }
  return ok();
}

result<target_parts> split_target(std::string_view target) {
  std::string_view host;
  if (!target.starts_with('/')) {
    const auto scheme = target.find("://");
    if (scheme == std::string_view::npos)
      return fail(errc::malformed, "the request target must be a path");
    const auto authority = target.substr(scheme + 3);
    const auto slash = authority.find('/');
    if (slash == std::string_view::npos)
      return fail(errc::malformed, "the request target must have a path");
    host = authority.substr(0, slash);
    target = authority.substr(slash);
  }
  target = target.substr(0, target.find('#'));
  const auto question = target.find('?');
  if (question == std::string_view::npos)
    return target_parts{target, {}, host};
  return target_parts{target.substr(0, question), target.substr(question + 1), host};
}

} // namespace skerry::http
