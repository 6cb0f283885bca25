#include "edge/collect/host/name_filter.hpp"

#include <re2/re2.h>

namespace skerry::edge::host {

namespace {

RE2::Options options() {
  RE2::Options all;
  all.set_log_errors(false);
  all.set_max_mem(1 << 20);
  return all;
}

} // namespace

name_filter::name_filter(const std::string& expression)
    : expression_(std::make_unique<RE2>(expression, options())) {}
name_filter::name_filter(name_filter&&) noexcept = default;
name_filter::~name_filter() = default;

bool name_filter::matches(std::string_view name) {
  if (const auto found = known_.find(name); found != known_.end())
    return found->second;
  const bool answer = RE2::PartialMatch(re2::StringPiece(name.data(), name.size()), *expression_);
  if (known_.size() >= filter_names_max)
    known_.clear();
  known_.emplace(name, answer);
  return answer;
}

std::string name_filter::compile_error(const std::string& expression) {
  const RE2 compiled(expression, options());
  return compiled.ok() ? "" : compiled.error();
}

} // namespace skerry::edge::host
