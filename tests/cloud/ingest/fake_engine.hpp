#pragma once

// What shards and ingest need of a store, whose commits a test answers; and a clock that stands still.

#include "actors/base/clock.hpp"
#include "cloud/store/sets.hpp"
#include "cloud/store/writer.hpp"

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace skerry::cloud::test {

inline constexpr std::int64_t second = 1'000'000'000;
inline constexpr std::int64_t now = 1'700'000'000 * second;

class fixed_clock final : public clock_source {
public:
  [[nodiscard]] std::int64_t wall_ns() const noexcept override { return now; }
  [[nodiscard]] std::int64_t monotonic_ns() const noexcept override { return 1; }
};

// Keeps what it is asked to append until the test says how that ends. It stores nothing but state.
class fake_engine final : public store_writer, public state_store, public set_catalog {
public:
  struct asked {
    append_request request;
    std::function<void(result<void>)> done;
  };
  std::deque<asked> open;
  std::map<std::string, std::string> state;

  void succeed() {
    auto next = std::move(open.front());
    open.pop_front();
    for (auto& s : next.request.state)
      if (s.appends)
        state[s.key] += s.value;
      else if (s.value.empty())
        state.erase(s.key);
      else
        state[s.key] = s.value;
    next.done(ok());
  }
  void refuse() {
    auto next = std::move(open.front());
    open.pop_front();
    next.done(fail(errc::exhausted, "the store's queue is full"));
  }

  void append(append_request request, std::function<void(result<void>)> done) override {
    open.push_back({std::move(request), std::move(done)});
  }
  result<void> scan_state(std::string_view prefix,
                          const std::function<void(std::string_view, std::string_view)>& each) override {
    for (const auto& [name, value] : state)
      if (name.starts_with(prefix))
        each(name, value);
    return ok();
  }
  void put_state(std::vector<state_update> updates, std::function<void(result<void>)> done) override {
    append_request request;
    request.state = std::move(updates);
    open.push_back({std::move(request), std::move(done)});
  }
  series_set_ptr find_set(edge_id, const set_hash&) override { return nullptr; }
  std::optional<std::size_t> series_in_set(edge_id, const set_hash&) override { return std::nullopt; }
};

} // namespace skerry::cloud::test
