#pragma once

// What the parts of the parser share: the tokens with a place among them, and how they complain.

#include "actors/promql/parse_error.hpp"
#include "actors/promql/parser.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::promql {

class parser_cursor {
public:
  using tree = std::unique_ptr<expression>; // while it grows
  using failure = decltype(fail(errc::invalid_argument, std::string{}));

  parser_cursor(std::string_view query, query_memory* memory)
      : query_(query), memory_(memory), tokens_(lex(query)) {}

  [[nodiscard]] const token& next(std::size_t ahead = 0) const noexcept {
    return tokens_[std::min(index_ + ahead, tokens_.size() - 1)];
  }
  const token& take() noexcept { return tokens_[index_ + 1 < tokens_.size() ? index_++ : index_]; }
  [[nodiscard]] std::size_t last_end() const noexcept { return index_ == 0 ? 0 : tokens_[index_ - 1].at.end; }
  [[nodiscard]] failure complain(std::size_t at, std::string_view what) const {
    return parse_failure(query_, at, what);
  }
  [[nodiscard]] failure unexpected(std::string_view context = {}, std::string_view expected = {}) const {
    const auto& t = next();
    if (t.kind == token_kind::error)
      return complain(t.at.begin, t.message);
    if (context.empty() && aggregations_ > 0)
      context = "aggregation";
    std::string what = "unexpected " + describe(t);
    if (!context.empty())
      what += fmt::format(" in {}", context);
    if (!expected.empty())
      what += fmt::format(", expected {}", expected);
    return complain(t.at.begin, what);
  }
  template <class Node>
  [[nodiscard]] result<tree> make(position_range at, Node node, std::uint32_t depth_below,
                                  bool invariant) const {
    BOOST_OUTCOME_TRYV(charge(sizeof(expression) + sizeof(expression_ptr) + allocation_bytes));
    if (depth_below >= tree_depth_max)
      return complain(at.begin, fmt::format("the expression is more than {} levels deep", tree_depth_max));
    return std::make_unique<expression>(expression{at, std::move(node), invariant, depth_below + 1});
  }

  // Counts what stays in the tree.
  [[nodiscard]] result<void> charge(std::uint64_t bytes) const {
    if (memory_ != nullptr && !memory_->take(bytes))
      return memory_->refusal();
    return ok();
  }

  [[nodiscard]] std::string_view query() const noexcept { return query_; }

protected:
  std::size_t aggregations_ = 0; // that the parser is inside of; messages say so

private:
  std::string_view query_;
  query_memory* memory_;
  std::vector<token> tokens_;
  std::size_t index_ = 0;
};

[[nodiscard]] std::string lower(std::string_view text);
[[nodiscard]] bool is_keyword(const token& t, std::string_view word);
[[nodiscard]] bool is_sign(const token& t) noexcept;

} // namespace skerry::promql
