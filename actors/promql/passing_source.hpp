#pragma once

// Stands before another source: sees, counts or changes the series that pass. Everything else it hands on.

#include "actors/promql/series_source.hpp"

namespace skerry::promql {

class passing_source : public series_source {
public:
  // `inner` outlives it.
  explicit passing_source(series_source& inner) : inner_(inner) {}

  result<void> select(const select_request& request, const each_series& each) final {
    const auto what = asked(request);
    return inner_.select(what, pass(what, each));
  }
  result<std::unique_ptr<selected>> prepare(const select_request& request) final;
  result<void> series(const select_request& request,
                      const std::function<void(const labels&)>& each) override {
    return inner_.series(request, each);
  }
  result<std::vector<std::string>> label_names(const select_request& request) override {
    return inner_.label_names(request);
  }
  result<std::vector<std::string>> label_values(std::string_view name,
                                                const select_request& request) override {
    return inner_.label_values(name, request);
  }
  result<std::vector<family_metadata>> metadata() override { return inner_.metadata(); }

protected:
  // What is asked of the inner source for it, and then given to pass().
  [[nodiscard]] virtual select_request asked(const select_request& request) { return request; }
  // What takes the place of `each`, which outlives it, for one select() or one shard. What it returns is called by one
  // thread; several may be at work.
  [[nodiscard]] virtual each_series pass(const select_request& request, const each_series& each) = 0;
  [[nodiscard]] series_source& inner() noexcept { return inner_; }

private:
  class passed;

  series_source& inner_;
};

} // namespace skerry::promql
