#include "actors/api/answer_text.hpp"

#include <fmt/format.h>

namespace skerry::api {

namespace {

constexpr std::size_t tail_extra_bytes = 64 << 10; // what comes between two looks mostly fits

} // namespace

answer_text::answer_text(std::shared_ptr<memory_budget> answers)
    : answers_(std::move(answers)), held_(std::make_shared<memory_share>(answers_)) {}

bool answer_text::cut() {
  if (full_)
    return false;
  wanted_ += tail_.capacity();
  full_ = !held_->grow(tail_.capacity());
  if (full_)
    return false;
  pieces_.push_back(std::move(tail_));
  tail_ = std::string{};
  tail_.reserve(piece_bytes + tail_extra_bytes);
  return true;
}

result<http::response> answer_text::take(std::string content_type) {
  http::response out{200, std::move(content_type), {}, {}};
  if (!full_ && pieces_.empty() && tail_.size() <= http::answer_free_bytes) {
    out.body = std::move(tail_);
    return out;
  }
  if (full_ || (!tail_.empty() && !cut())) {
    if (wanted_ > answers_->bytes_max())
      return fail(errc::exhausted, fmt::format("the answer has more than {} bytes (http.answers_bytes_max)",
                                               answers_->bytes_max()));
    return fail(errc::unavailable,
                "the answers that are being written hold all of http.answers_bytes_max; try "
                "again later");
  }
  out.body = std::move(pieces_.front());
  pieces_.erase(pieces_.begin());
  out.more = std::move(pieces_);
  out.held = std::move(held_);
  return out;
}

} // namespace skerry::api
