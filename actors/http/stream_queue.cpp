#include "actors/http/stream_queue.hpp"

namespace skerry::http {

namespace {

// What one message takes in a queue besides its text.
constexpr std::size_t message_extra_bytes = 64;

std::size_t size_of(const stream_message& one) noexcept {
  return one.event.size() + one.id.size() + one.data.size() + message_extra_bytes;
}

std::size_t beyond_free(std::size_t bytes) noexcept {
  return bytes > answer_free_bytes ? bytes - answer_free_bytes : 0;
}

} // namespace

std::string_view to_string(stream_end why) noexcept {
  switch (why) {
  case stream_end::none: return "none";
  case stream_end::overflow: return "overflow";
  case stream_end::finished: return "finished";
  case stream_end::stopping: return "stopping";
  case stream_end::timeout: return "write_timeout";
  case stream_end::client: return "client";
  }
  return "unknown";
}

bool stream_queue::push(stream_message_ptr message) {
  const auto size = size_of(*message);
  const std::lock_guard lock{mutex_};
  if (end_ != stream_end::none)
    return false;
  const auto messages = waiting_.size() + writing_messages_;
  const bool fits = messages == 0 || (messages < messages_max_ && bytes_ + size <= bytes_max_);
  const auto more = beyond_free(bytes_ + size) - beyond_free(bytes_);
  if (!fits || (more != 0 && !held_.grow(more))) {
    end_ = stream_end::overflow;
    missed_ = waiting_.size() + 1;
    waiting_.clear();
    let_go(bytes_ - writing_bytes_);
    wake();
    return false;
  }
  bytes_ += size;
  waiting_.push_back(std::move(message));
  wake();
  return true;
}

void stream_queue::end(stream_end why) {
  const std::lock_guard lock{mutex_};
  if (end_ != stream_end::none && (end_ != stream_end::finished || why == stream_end::finished))
    return;
  end_ = why;
  if (why != stream_end::finished) {
    waiting_.clear();
    let_go(bytes_ - writing_bytes_);
  }
  wake();
}

void stream_queue::attach(std::function<void()> wake_with) {
  const std::lock_guard lock{mutex_};
  wake_ = std::move(wake_with);
  if (!waiting_.empty() || end_ != stream_end::none)
    wake();
}

stream_queue::taken stream_queue::take(std::size_t bytes) {
  const std::lock_guard lock{mutex_};
  woken_ = false;
  taken out;
  while (!waiting_.empty() && (out.messages.empty() || writing_bytes_ < bytes)) {
    writing_bytes_ += size_of(*waiting_.front());
    ++writing_messages_;
    out.messages.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  if (waiting_.empty())
    waiting_.shrink_to_fit();
  if (out.messages.empty()) {
    out.end = end_;
    out.missed = missed_;
  }
  return out;
}

void stream_queue::written() {
  const std::lock_guard lock{mutex_};
  let_go(std::exchange(writing_bytes_, 0));
  writing_messages_ = 0;
}

std::size_t stream_queue::bytes() const {
  const std::lock_guard lock{mutex_};
  return bytes_;
}

void stream_queue::wake() {
  if (wake_ && !std::exchange(woken_, true))
    wake_();
}

void stream_queue::let_go(std::size_t bytes) {
  bytes_ -= bytes;
  held_.shrink_to(beyond_free(bytes_));
}

} // namespace skerry::http
