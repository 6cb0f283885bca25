#pragma once

// How many bytes all pages may hold that are being fetched or wait to be taken in. A page is charged for its memory
// while it grows; the charge goes along with it and is given back by whoever drops it, on any thread.

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

namespace skerry::edge {

inline constexpr std::size_t pages_bytes_max_default = std::size_t{256} << 20;

class page_budget {
public:
  explicit page_budget(std::size_t bytes_max) noexcept : bytes_max_(bytes_max) {}
  [[nodiscard]] std::size_t bytes_max() const noexcept { return bytes_max_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
  friend class page_charge;
  const std::size_t bytes_max_;
  std::atomic<std::size_t> bytes_{0};
};

// What one page is charged. Moved like the page; destroyed, it gives back.
class page_charge {
public:
  page_charge() = default;
  explicit page_charge(std::shared_ptr<page_budget> from) noexcept : from_(std::move(from)) {}
  page_charge(page_charge&& other) noexcept
      : from_(std::move(other.from_)), bytes_(std::exchange(other.bytes_, 0)) {}
  page_charge& operator=(page_charge&& other) noexcept {
    if (this != &other) {
      release();
      from_ = std::move(other.from_);
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }
  ~page_charge() { release(); }

  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  // From now on `bytes` in all. False, and unchanged: it does not fit beside the others. Less always fits, and so does
  // anything where there are no others. One thread at a time charges (the fetcher's).
  [[nodiscard]] bool resize(std::size_t bytes) noexcept {
    const std::size_t others = from_->bytes_ - bytes_;
    if (bytes > bytes_ && others != 0 && others + bytes > from_->bytes_max_)
      return false;
    from_->bytes_ += bytes;
    from_->bytes_ -= bytes_;
    bytes_ = bytes;
    return true;
  }

private:
  void release() noexcept {
    if (from_)
      from_->bytes_ -= std::exchange(bytes_, 0);
  }
  std::shared_ptr<page_budget> from_;
  std::size_t bytes_ = 0;
};

} // namespace skerry::edge
