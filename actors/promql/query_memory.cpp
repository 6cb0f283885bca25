#include "actors/promql/query_memory.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::promql {

bool query_memory::take(std::uint64_t bytes) noexcept {
  const auto before = held_.fetch_add(bytes, std::memory_order_relaxed);
  const auto refuse = [&] {
    held_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  };
  if (bytes > bytes_max_ || before > bytes_max_ - bytes)
    return refuse();
  const auto now = before + bytes;
  if (now <= allowed_.load(std::memory_order_relaxed))
    return true;
  const std::lock_guard lock{mutex_};
  const auto allowed = allowed_.load(std::memory_order_relaxed);
  if (now <= allowed)
    return true;
  const auto missing = now - allowed;
  auto more = std::max(missing, grant_bytes);
  if (!granted_.grow(more)) {
    more = missing;
    if (more == grant_bytes || !granted_.grow(more)) {
      shared_full_.store(true, std::memory_order_relaxed);
      return refuse();
    }
  }
  allowed_.fetch_add(more, std::memory_order_relaxed);
  return true;
}

error query_memory::refusal() const {
  if (shared_full_.load(std::memory_order_relaxed))
    return {errc::unavailable, "the queries that run now hold all the memory that queries may hold "
                               "(query.memory_bytes_max); try again later"};
  return {errc::exhausted, fmt::format("query processing would hold more than {} bytes in memory in query "
                                       "execution (query.memory_each_bytes_max)",
                                       bytes_max_)};
}

} // namespace skerry::promql
