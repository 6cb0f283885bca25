#pragma once

// Taking the kernel's text files apart without copying. Everything here accepts any bytes.

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace skerry::edge::host {

// Cuts the next line off `rest`, without its end. False at the end of the text.
inline bool next_line(std::string_view& rest, std::string_view& line) noexcept {
  if (rest.empty())
    return false;
  const std::size_t end = rest.find('\n');
  line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return true;
}

// Cuts the next word (between blanks or tabs) off `rest`; empty when there is none.
inline std::string_view next_word(std::string_view& rest) noexcept {
  const std::size_t begin = rest.find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    rest = {};
    return {};
  }
  const std::size_t end = rest.find_first_of(" \t", begin);
  const auto word = rest.substr(begin, end == std::string_view::npos ? end : end - begin);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end);
  return word;
}

inline std::string_view trim(std::string_view text) noexcept {
  constexpr std::string_view blank = " \t\r\n\v\f";
  const std::size_t begin = text.find_first_not_of(blank);
  if (begin == std::string_view::npos)
    return {};
  return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

// The whole of `text` as a number, or nothing.
template <class T>
std::optional<T> parse_number(std::string_view text) noexcept {
  T value{};
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || end != text.data() + text.size() || text.empty())
    return std::nullopt;
  return value;
}

// "123", "-1" or "0x1003", as sysfs prints numbers.
inline std::optional<std::int64_t> parse_sysfs_number(std::string_view text) noexcept {
  if (!text.starts_with("0x"))
    return parse_number<std::int64_t>(text);
  std::int64_t value = 0;
  const auto [end, code] = std::from_chars(text.data() + 2, text.data() + text.size(), value, 16);
  if (code != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

} // namespace skerry::edge::host
