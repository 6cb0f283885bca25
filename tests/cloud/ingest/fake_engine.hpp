#pragma once

// An engine whose commits a test answers, and a clock that stands still.

#include "actors/node/clock.hpp"
#include "cloud/store/engine.hpp"

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
class fake_engine final : public engine {
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
      s.appends ? state[s.key] += s.value : state[s.key] = s.value;
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
  // Nobody here asks for these.
  series_set_ptr find_set(edge_id, const set_hash&) override { return nullptr; }
  std::optional<std::size_t> series_in_set(edge_id, const set_hash&) override { return std::nullopt; }
  result<void> ledger(std::int64_t, std::int64_t, const std::function<void(const ledger_entry&)>&) override {
    return none();
  }
  result<void>
  log_identities(const std::function<void(const record_identity&, record_kind, std::string_view)>&) override {
    return none();
  }
  [[nodiscard]] engine_usage usage() const override { return {}; }
  void flush() override {}
  result<void> select(const promql::select_request&,
                      const std::function<void(const promql::series_view&)>&) override {
    return none();
  }
  result<void> series(const promql::select_request&, const std::function<void(const labels&)>&) override {
    return none();
  }
  result<std::vector<std::string>> label_names(const promql::select_request&) override { return none(); }
  result<std::vector<std::string>> label_values(std::string_view, const promql::select_request&) override {
    return none();
  }
  result<std::vector<promql::family_metadata>> metadata() override { return none(); }

private:
  static error none() { return {errc::unsupported, "not of this engine"}; }
};

} // namespace skerry::cloud::test
