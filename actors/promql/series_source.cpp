#include "actors/promql/series_source.hpp"

namespace skerry::promql {

namespace {

class whole final : public selected {
public:
  whole(series_source& source, select_request request) : source_(source), request_(std::move(request)) {}
  std::size_t shards() const override { return 1; }
  void run(const std::function<void(std::size_t)>& work) override { work(0); }
  result<void> read(std::size_t, const each_series& each) override { return source_.select(request_, each); }

private:
  series_source& source_;
  select_request request_;
};

} // namespace

result<std::unique_ptr<selected>> series_source::prepare(const select_request& request) {
  return std::unique_ptr<selected>{std::make_unique<whole>(*this, request)};
}

} // namespace skerry::promql
