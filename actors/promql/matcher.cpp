#include "actors/promql/query_memory.hpp"
#include "actors/promql/regex.hpp"
#include "actors/promql/series_source.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::promql {

namespace {

constexpr std::int64_t regex_memory_max = 8 << 20;
// What nearly all get along with; a quarter of it holds the program.
constexpr std::int64_t regex_memory_usual = 1 << 20;
constexpr std::int64_t memory_per_character = 64;

} // namespace

result<compiled_regex> compile_regex(const std::string& pattern) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  const auto compile = [&](std::int64_t memory_max) {
    options.set_max_mem(memory_max);
    return std::make_unique<const re2::RE2>("^(?:" + pattern + ")$", options);
  };
  auto memory_max =
      std::min(regex_memory_max,
               regex_memory_usual + memory_per_character * static_cast<std::int64_t>(pattern.size()));
  auto made = compile(memory_max);
  if (made->error_code() == re2::RE2::ErrorPatternTooLarge && memory_max < regex_memory_max)
    made = compile(memory_max = regex_memory_max);
  if (!made->ok())
    return fail(errc::invalid_argument, made->error());
  return compiled_regex{std::move(made), static_cast<std::uint64_t>(memory_max)};
}

result<matcher> matcher::make(match_op op, std::string name, std::string value) {
  matcher m;
  m.op_ = op;
  m.name_ = std::move(name);
  m.value_ = std::move(value);
  if (op == match_op::regex || op == match_op::not_regex) {
    auto compiled = compile_regex(m.value_);
    if (!compiled)
      return fail(errc::invalid_argument, fmt::format("error parsing regexp: {}", compiled.error().message));
    // Without any operator of its own it is a comparison, which is much faster.
    if (m.value_.find_first_of("\\.+*?()|[]{}^$") != std::string::npos) {
      m.regex_ = std::move(compiled.value().regex);
      m.matching_bytes_ = compiled.value().memory_max;
    }
  }
  return m;
}

std::uint64_t matcher::memory_bytes() const {
  constexpr std::uint64_t bytes_per_instruction = 32; // forwards, backwards, and what they were made from
  constexpr std::uint64_t regex_bytes = 4 << 10;      // besides
  const auto bytes = sizeof *this + memory_of(name_) + memory_of(value_);
  return regex_ ? bytes + regex_bytes + 2 * value_.size()
                      + bytes_per_instruction * static_cast<std::uint64_t>(regex_->ProgramSize())
                : bytes;
}

bool matcher::matches(std::string_view text) const {
  const bool same =
      regex_ ? re2::RE2::FullMatch(re2::StringPiece{text.data(), text.size()}, *regex_) : text == value_;
  return same == (op_ == match_op::equal || op_ == match_op::regex);
}

} // namespace skerry::promql
