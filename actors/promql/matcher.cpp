#include "actors/promql/series_source.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

namespace skerry::promql {

namespace {

constexpr std::int64_t regex_memory_max = 8 << 20;

} // namespace

result<matcher> matcher::make(match_op op, std::string name, std::string value) {
  matcher m;
  m.op_ = op;
  m.name_ = std::move(name);
  m.value_ = std::move(value);
  if (op == match_op::regex || op == match_op::not_regex) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(regex_memory_max);
    auto compiled = std::make_shared<const re2::RE2>("^(?:" + m.value_ + ")$", options);
    if (!compiled->ok())
      return fail(errc::invalid_argument, fmt::format("error parsing regexp: {}", compiled->error()));
    // Without any operator of its own it is a comparison, which is much faster.
    if (m.value_.find_first_of("\\.+*?()|[]{}^$") != std::string::npos)
      m.regex_ = std::move(compiled);
  }
  return m;
}

bool matcher::matches(std::string_view text) const {
  const bool same =
      regex_ ? re2::RE2::FullMatch(re2::StringPiece{text.data(), text.size()}, *regex_) : text == value_;
  return same == (op_ == match_op::equal || op_ == match_op::regex);
}

} // namespace skerry::promql
