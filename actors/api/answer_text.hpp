#pragma once

// The text of an answer while it is written: in pieces of a bounded size, so that none is copied as it grows, each
// taken from what answers may hold together (http.answers_bytes_max). One thread.

#include "actors/http/server.hpp"
#include "actors/promql/json.hpp"
#include "schemas/memory_budget.hpp"

#include <memory>
#include <string>
#include <vector>

namespace skerry::api {

class answer_text {
public:
  static constexpr std::size_t piece_bytes = 256 << 10;

  // Null: nothing bounds it.
  explicit answer_text(std::shared_ptr<memory_budget> answers);

  // What is appended to.
  [[nodiscard]] std::string& tail() noexcept { return tail_; }
  // Call it after a few kilobytes at the most. False: it does not fit, write no more.
  [[nodiscard]] bool go_on() { return tail_.size() < piece_bytes || cut(); }
  // For who writes JSON.
  [[nodiscard]] promql::may_go_on checkpoint() {
    return [this](std::string&) { return go_on(); };
  }

  // The answer, or why there is none: unavailable (other answers hold what there is), exhausted (it alone is too large).
  [[nodiscard]] result<http::response> take(std::string content_type);

private:
  [[nodiscard]] bool cut();

  std::shared_ptr<memory_budget> answers_;
  std::shared_ptr<memory_share> held_;
  std::vector<std::string> pieces_;
  std::string tail_;
  std::uint64_t wanted_ = 0; // in all
  bool full_ = false;
};

} // namespace skerry::api
