#pragma once

// A few threads that read ahead for queries. Owns its threads; what was posted and not begun is dropped at the end.
// Thread-safe.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace skerry::cloud {

class read_pool {
public:
  explicit read_pool(std::size_t threads);
  ~read_pool();
  read_pool(const read_pool&) = delete;
  read_pool& operator=(const read_pool&) = delete;

  // False: no thread is free or will be soon; do the work yourself. `work` must not throw.
  [[nodiscard]] bool try_post(std::function<void()> work);

private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> waiting_;
  std::size_t idle_ = 0;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

} // namespace skerry::cloud
