#include "tests/conformance/script.hpp"

#include "actors/promql/literals.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::conformance {

namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view spaces = " \t\r";
  const auto begin = text.find_first_not_of(spaces);
  if (begin == std::string_view::npos)
    return {};
  return text.substr(begin, text.find_last_not_of(spaces) - begin + 1);
}

// Cuts the first word off.
std::string_view take_word(std::string_view& text) {
  const auto end = std::min(text.find_first_of(" \t"), text.size());
  const auto word = text.substr(0, end);
  text = trim(text.substr(end));
  return word;
}

// Without comments and spaces around; blank ones stay, they end a command.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = trim(text.substr(0, end));
    if (line.starts_with('#'))
      line = {};
    out.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

class script_parser {
public:
  explicit script_parser(std::string_view text) : lines_(lines_of(text)) {}

  [[nodiscard]] auto complain(std::string_view what) const {
    return fail(errc::malformed, fmt::format("line {}: {}", std::min(at_, lines_.size() - 1) + 1, what));
  }

  result<std::vector<command>> run() {
    std::vector<command> out;
    for (; at_ < lines_.size(); ++at_) {
      if (lines_[at_].empty())
        continue;
      command made;
      made.line = at_ + 1;
      auto rest = lines_[at_];
      const auto word = take_word(rest);
      if (word == "clear") {
        made.kind = command_kind::clear;
      } else if (word == "restart") {
        made.kind = command_kind::restart;
      } else if (word == "seal") {
        made.kind = command_kind::seal;
      } else if (word == "load" || word == "load_with_nhcb") {
        made.kind = command_kind::load;
        BOOST_OUTCOME_TRYV(load(rest, made.load));
      } else if (word.starts_with("eval")) {
        made.kind = command_kind::eval;
        BOOST_OUTCOME_TRYV(eval(word, rest, made.eval));
      } else {
        return complain(fmt::format("unknown command \"{}\"", word));
      }
      out.push_back(std::move(made));
    }
    return out;
  }

private:
  result<std::int64_t> duration(std::string_view text) const {
    const bool negative = text.starts_with('-');
    auto parsed = promql::parse_duration_ms(text.substr(negative ? 1 : 0));
    if (!parsed)
      return complain(parsed.error().message);
    return negative ? -parsed.value() : parsed.value();
  }

  // The lines up to a blank one; leaves `at_` on the last of them.
  template <class Each>
  result<void> body(Each each) {
    while (at_ + 1 < lines_.size() && !lines_[at_ + 1].empty()) {
      ++at_;
      BOOST_OUTCOME_TRYV(each(lines_[at_]));
    }
    return ok();
  }

  result<void> load(std::string_view step, load_command& into) {
    BOOST_OUTCOME_TRY(step_ms, duration(step));
    into.step_ms = step_ms;
    return body([&](std::string_view line) -> result<void> {
      auto parsed = parse_series_line(line);
      if (!parsed)
        return complain(parsed.error().message);
      into.series.push_back(std::move(parsed.value()));
      return ok();
    });
  }

  result<void> eval(std::string_view word, std::string_view rest, eval_command& into) {
    into.fails = word == "eval_fail";
    into.ordered = word == "eval_ordered";
    if (word == "eval_warn")
      into.warns = true;
    else if (word == "eval_info")
      into.informs = true;
    else if (word != "eval" && !into.fails && !into.ordered)
      return complain(fmt::format("unknown command \"{}\"", word));
    const auto kind = take_word(rest);
    into.range = kind == "range";
    if (kind != "instant" && kind != "range")
      return complain("eval takes instant or range");
    BOOST_OUTCOME_TRYV(times(rest, into));
    into.query = rest;
    return body([&](std::string_view line) { return expectation(line, into); });
  }

  result<void> times(std::string_view& rest, eval_command& into) {
    const auto optional = [&](std::string_view word, std::int64_t& value) -> result<void> {
      auto after = rest;
      if (take_word(after) != word)
        return into.range ? result<void>{complain(fmt::format("\"{}\" is missing", word))}
                          : result<void>{ok()};
      rest = after;
      BOOST_OUTCOME_TRY(parsed, duration(take_word(rest)));
      value = parsed;
      return ok();
    };
    if (!into.range)
      return optional("at", into.start_ms);
    BOOST_OUTCOME_TRYV(optional("from", into.start_ms));
    BOOST_OUTCOME_TRYV(optional("to", into.end_ms));
    return optional("step", into.step_ms);
  }

  result<void> expectation(std::string_view line, eval_command& into) {
    auto rest = line;
    const auto word = take_word(rest);
    if (word == "expect")
      return expect(rest, into);
    if (into.fails && word == "expected_fail_message") {
      into.fails_with = rest;
      return ok();
    }
    if (into.fails && word == "expected_fail_regexp") {
      into.fails_matching = rest;
      return ok();
    }
    if (rest.empty()) {
      const bool negative = line.starts_with('-') || line.starts_with('+');
      if (const auto number = promql::parse_number(line.substr(negative ? 1 : 0))) {
        into.scalar = line.starts_with('-') ? -number.value() : number.value();
        return ok();
      }
    }
    auto parsed = parse_series_line(line);
    if (!parsed)
      return complain(parsed.error().message);
    into.series.push_back(std::move(parsed.value()));
    return ok();
  }

  result<void> expect(std::string_view rest, eval_command& into) {
    const auto what = take_word(rest);
    std::string_view detail;
    const bool whole = rest.starts_with("msg:");
    const bool pattern = rest.starts_with("regex:");
    if (whole || pattern)
      detail = trim(rest.substr(rest.find(':') + 1));
    if (what == "ordered") {
      into.ordered = true;
    } else if (what == "fail") {
      into.fails = true;
      (pattern ? into.fails_matching : into.fails_with) = detail;
    } else if (what == "warn") {
      into.warns = true;
    } else if (what == "info" || what == "no_info") {
      into.informs = what == "info";
      (pattern ? into.informs_matching : into.informs_with) = detail;
    } else if (what == "string") {
      into.text = promql::unquote(rest);
    } else if (what == "range") {
      eval_command::times at;
      take_word(rest); // vector
      take_word(rest); // from
      BOOST_OUTCOME_TRY(start_ms, duration(take_word(rest)));
      take_word(rest); // to
      take_word(rest);
      take_word(rest); // step
      BOOST_OUTCOME_TRY(step_ms, duration(take_word(rest)));
      into.matrix_times = {start_ms, step_ms};
    } else if (what != "no_warn") { // the engine never warns
      return complain(fmt::format("unknown expectation \"{}\"", what));
    }
    return ok();
  }

  std::vector<std::string_view> lines_;
  std::size_t at_ = 0;
};

} // namespace

result<std::vector<command>> parse_script(std::string_view text) { return script_parser{text}.run(); }

} // namespace skerry::conformance
