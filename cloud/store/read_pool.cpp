#include "cloud/store/read_pool.hpp"

namespace skerry::cloud {

read_pool::read_pool(std::size_t threads) {
  for (std::size_t i = 0; i < threads; ++i)
    threads_.emplace_back([this] { run(); });
}

read_pool::~read_pool() {
  {
    const std::lock_guard lock{mutex_};
    ending_ = true;
  }
  wake_.notify_all();
  for (auto& t : threads_)
    t.join();
}

bool read_pool::try_post(std::function<void()> work) {
  {
    const std::lock_guard lock{mutex_};
    if (ending_ || waiting_.size() >= idle_)
      return false;
    waiting_.push_back(std::move(work));
  }
  wake_.notify_one();
  return true;
}

void read_pool::run() {
  std::unique_lock lock{mutex_};
  for (;;) {
    ++idle_;
    wake_.wait(lock, [&] { return ending_ || !waiting_.empty(); });
    --idle_;
    if (ending_)
      return;
    auto work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    work();
    work = {};
    lock.lock();
  }
}

} // namespace skerry::cloud
