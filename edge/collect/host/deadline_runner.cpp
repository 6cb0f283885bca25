#include "edge/collect/host/deadline_runner.hpp"

#include <condition_variable>
#include <mutex>
#include <pthread.h>
#include <system_error>
#include <utility>

namespace skerry::edge::host {

struct deadline_runner::helper {
  std::mutex mutex;
  std::condition_variable changed;
  std::shared_ptr<job> next; // guarded by mutex, like all below
  bool busy = false;
  bool stop = false;
  bool left_behind = false;
  std::shared_ptr<std::atomic<std::size_t>> stuck;
};

deadline_runner::deadline_runner(std::size_t stuck_max)
    : stuck_max_(stuck_max), stuck_(std::make_shared<std::atomic<std::size_t>>(0)) {}

deadline_runner::~deadline_runner() {
  if (!helper_)
    return;
  {
    const std::lock_guard lock(helper_->mutex);
    helper_->stop = true;
  }
  helper_->changed.notify_all();
  thread_.join();
}

void deadline_runner::serve(std::shared_ptr<helper> self) {
  ::pthread_setname_np(::pthread_self(), "host-collect");
  std::unique_lock lock(self->mutex);
  for (;;) {
    self->changed.wait(lock, [&] { return self->next || self->stop; });
    if (!self->next)
      return;
    auto current = std::exchange(self->next, nullptr);
    lock.unlock();
    try {
      current->work();
    } catch (...) { // what it was to say is missing, which its caller sees
    }
    lock.lock();
    current->finished.store(true);
    self->busy = false;
    if (self->left_behind) {
      --*self->stuck;
      return;
    }
    self->changed.notify_all();
  }
}

deadline_runner::outcome deadline_runner::run(const std::shared_ptr<job>& what,
                                              std::chrono::nanoseconds time_max) {
  if (!helper_) {
    if (stuck_->load() >= stuck_max_)
      return outcome::refused;
    auto fresh = std::make_shared<helper>();
    fresh->stuck = stuck_;
    try {
      thread_ = std::thread(serve, fresh);
    } catch (const std::system_error&) {
      return outcome::refused; // no thread to be had; the next collection tries again
    }
    helper_ = std::move(fresh);
  }
  std::unique_lock lock(helper_->mutex);
  helper_->next = what;
  helper_->busy = true;
  helper_->changed.notify_all();
  if (helper_->changed.wait_for(lock, time_max, [&] { return !helper_->busy; }))
    return outcome::done;
  helper_->left_behind = true;
  ++*stuck_;
  lock.unlock();
  thread_.detach();
  helper_.reset();
  return outcome::late;
}

} // namespace skerry::edge::host
