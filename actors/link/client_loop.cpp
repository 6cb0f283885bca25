#include "actors/link/client_loop.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/epoll.h>
#include <system_error>
#include <unistd.h>

namespace skerry::link {

namespace {

constexpr int events_max = 256;               // of one look
constexpr std::size_t sockets_per_client = 3; // itself and the two ends of its monitor
constexpr std::size_t sockets_spare = 64;
constexpr std::size_t sockets_default = 1023; // ZeroMQ's own
constexpr auto sleep_max = std::chrono::hours{1};

} // namespace

client_loop::client_loop(std::size_t clients_max) : context_(1), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0)
    throw std::system_error{errno, std::generic_category(), "epoll_create1"};
  if (const auto sockets = clients_max * sockets_per_client + sockets_spare; sockets > sockets_default)
    (void)zmq_ctx_set(context_.handle(), ZMQ_MAX_SOCKETS, static_cast<int>(sockets));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, wakeup_.fd(), &event) != 0) {
    const auto code = errno;
    ::close(epoll_);
    throw std::system_error{code, std::generic_category(), "epoll_ctl"};
  }
  thread_ = std::thread{[this] { run(); }};
}

client_loop::~client_loop() {
  {
    const std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  wakeup_.signal();
  thread_.join();
  ::close(epoll_);
}

void client_loop::add(member& one) {
  {
    const std::lock_guard lock{mutex_};
    adding_.push_back(&one);
  }
  wakeup_.signal();
}

void client_loop::remove(member& one) {
  std::unique_lock lock{mutex_};
  removing_.push_back(&one);
  wakeup_.signal();
  removed_.wait(lock, [&] { return std::find(removing_.begin(), removing_.end(), &one) == removing_.end(); });
}

void client_loop::wake(member& one) noexcept {
  if (one.woken_.exchange(true, std::memory_order_acq_rel))
    return;
  {
    const std::lock_guard lock{mutex_};
    woken_.push_back(&one); // room was made for each member when it came
  }
  wakeup_.signal();
}

void client_loop::watch(int fd, member& one) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &one;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
    throw std::system_error{errno, std::generic_category(), "epoll_ctl"};
}

void client_loop::unwatch(int fd) noexcept { (void)::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

// Those who go never get another turn; those who came get their first.
void client_loop::take_requests() {
  std::vector<member*> gone;
  std::unique_lock lock{mutex_};
  for (auto* one : adding_) {
    one->due_ = steady::time_point::max();
    due_.insert({one->due_, one});
    turns_.push_back(one);
  }
  adding_.clear();
  woken_.reserve(due_.size() + 1);
  for (auto* one : woken_) {
    one->woken_.store(false, std::memory_order_release);
    turns_.push_back(one);
  }
  woken_.clear();
  if (removing_.empty())
    return;
  gone = removing_;
  for (auto* one : gone)
    std::erase(turns_, one);
  lock.unlock();
  for (auto* one : gone) {
    due_.erase({one->due_, one});
    one->close();
  }
  lock.lock();
  for (auto* one : gone) {
    std::erase(woken_, one); // by its own close()
    std::erase(removing_, one);
  }
  removed_.notify_all();
}

void client_loop::give_turn(member& one) {
  const auto next = one.turn();
  if (next == one.due_)
    return;
  due_.erase({one.due_, &one});
  one.due_ = next;
  due_.insert({next, &one});
}

void client_loop::run() {
  std::array<epoll_event, events_max> events;
  for (;;) {
    const auto now = steady::now();
    auto wait = std::chrono::milliseconds{-1};
    if (!due_.empty() && due_.begin()->first != steady::time_point::max())
      wait = std::clamp<std::chrono::milliseconds>(
          std::chrono::ceil<std::chrono::milliseconds>(due_.begin()->first - now),
          std::chrono::milliseconds{0}, sleep_max);
    const int count = ::epoll_wait(epoll_, events.data(), events_max, static_cast<int>(wait.count()));
    turns_.clear();
    for (int i = 0; i < count; ++i) {
      if (auto* one = static_cast<member*>(events[static_cast<std::size_t>(i)].data.ptr))
        turns_.push_back(one);
      else
        wakeup_.clear();
    }
    const auto after = steady::now();
    for (auto at = due_.begin(); at != due_.end() && at->first <= after; ++at)
      turns_.push_back(at->second);
    take_requests();
    std::sort(turns_.begin(), turns_.end());
    turns_.erase(std::unique(turns_.begin(), turns_.end()), turns_.end());
    for (auto* one : turns_)
      give_turn(*one);
    const std::lock_guard lock{mutex_};
    if (stopping_ && removing_.empty())
      return;
  }
}

} // namespace skerry::link
