#include "actors/promql/literals.hpp"
#include "tests/conformance/script.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

namespace skerry::conformance {

namespace {

class reader {
public:
  explicit reader(std::string_view text) : text_(text) {}

  result<series_line> run() {
    series_line out;
    BOOST_OUTCOME_TRYV(metric(out.metric));
    if (text_.find("{{", at_) != std::string_view::npos || peek() == '@') {
      out.unsupported = true;
      return out;
    }
    while (skip_spaces(), !at_end()) {
      BOOST_OUTCOME_TRYV(values(out.values));
    }
    return out;
  }

private:
  [[nodiscard]] bool at_end() const { return at_ >= text_.size(); }
  [[nodiscard]] char peek() const { return at_end() ? '\0' : text_[at_]; }
  void skip_spaces() {
    while (peek() == ' ' || peek() == '\t')
      ++at_;
  }
  [[nodiscard]] auto complain(std::string_view what) const {
    return fail(errc::malformed, fmt::format("{} at column {} of: {}", what, at_ + 1, text_));
  }
  static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
  }
  std::string_view word() {
    const auto begin = at_;
    while (is_word(peek()))
      ++at_;
    return text_.substr(begin, at_ - begin);
  }

  result<void> metric(labels& into) {
    if (const auto name = word(); !name.empty())
      into.push_back({std::string{label_name}, std::string{name}});
    const auto before_spaces = at_;
    skip_spaces();
    if (peek() != '{' || text_.substr(at_).starts_with("{{")) { // {{ begins a histogram
      at_ = before_spaces;
      return ok();
    }
    ++at_;
    while (skip_spaces(), peek() != '}') {
      const auto name = word();
      if (name.empty())
        return complain("a label's name is missing");
      skip_spaces();
      if (peek() != '=')
        return complain("a = is missing");
      ++at_;
      skip_spaces();
      BOOST_OUTCOME_TRY(value, quoted());
      into.push_back({std::string{name}, std::move(value)});
      skip_spaces();
      if (peek() == ',')
        ++at_;
      else if (peek() != '}')
        return complain("a comma or } is missing");
    }
    ++at_;
    sort_labels(into);
    return ok();
  }

  result<std::string> quoted() {
    const auto quote = peek();
    if (quote != '"' && quote != '\'' && quote != '`')
      return complain("a quoted string is missing");
    const auto begin = at_++;
    while (!at_end() && peek() != quote)
      at_ += peek() == '\\' && quote != '`' ? 2 : 1;
    if (at_end())
      return complain("the string does not end");
    ++at_;
    return promql::unquote(text_.substr(begin, at_ - begin));
  }

  // One value, or several: 3x2 is 3 3 3, 3+1x2 is 3 4 5, _x2 is nothing twice.
  result<void> values(std::vector<std::optional<double>>& into) {
    if (peek() == '_') {
      ++at_;
      std::size_t times = 1;
      if (peek() == 'x') {
        BOOST_OUTCOME_TRY(given, repetitions());
        times = given;
      }
      into.insert(into.end(), times, std::nullopt);
      return ok();
    }
    BOOST_OUTCOME_TRY(first, number());
    double step = 0;
    if (peek() == '+' || peek() == '-') {
      BOOST_OUTCOME_TRY(given, number());
      step = given;
      if (peek() != 'x')
        return complain("an x with the number of steps is missing");
    }
    std::size_t times = 0;
    if (peek() == 'x') {
      BOOST_OUTCOME_TRY(given, repetitions());
      times = given;
    }
    auto value = first;
    for (std::size_t i = 0; i <= times; ++i) {
      into.emplace_back(value);
      if (step != 0)
        value += step;
    }
    if (!at_end() && peek() != ' ' && peek() != '\t')
      return complain("a space is missing");
    return ok();
  }

  result<std::size_t> repetitions() {
    ++at_;
    std::size_t count = 0;
    const auto [stop, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), count);
    if (error != std::errc{} || count > sequence_max)
      return complain("a number of repetitions is missing or too large");
    at_ = static_cast<std::size_t>(stop - text_.data());
    return count;
  }

  result<double> number() {
    double sign = 1;
    if (peek() == '+' || peek() == '-')
      sign = text_[at_++] == '-' ? -1 : 1;
    if ((peek() >= 'a' && peek() <= 'z') || (peek() >= 'A' && peek() <= 'Z')) {
      const auto begin = at_;
      while ((peek() >= 'a' && peek() <= 'z' && peek() != 'x') || (peek() >= 'A' && peek() <= 'Z'))
        ++at_;
      const auto name = text_.substr(begin, at_ - begin);
      if (name == "stale")
        return std::bit_cast<double>(std::uint64_t{0x7ff0000000000002});
      if (name == "Inf" || name == "inf")
        return sign * std::numeric_limits<double>::infinity();
      if (name == "NaN" || name == "nan")
        return std::numeric_limits<double>::quiet_NaN();
      return complain("unknown word");
    }
    double value = 0;
    const auto [stop, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc{})
      return complain("a number is missing");
    at_ = static_cast<std::size_t>(stop - text_.data());
    return sign * value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

} // namespace

result<series_line> parse_series_line(std::string_view text) { return reader{text}.run(); }

} // namespace skerry::conformance
