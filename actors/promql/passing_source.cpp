#include "actors/promql/passing_source.hpp"

namespace skerry::promql {

class passing_source::passed final : public selected {
public:
  passed(passing_source& by, select_request request, std::unique_ptr<selected> inner)
      : by_(by), request_(std::move(request)), inner_(std::move(inner)) {}
  std::size_t shards() const override { return inner_->shards(); }
  void run(const std::function<void(std::size_t)>& work) override { inner_->run(work); }
  result<void> read(std::size_t shard, const each_series& each) override {
    return inner_->read(shard, by_.pass(request_, each));
  }

private:
  passing_source& by_;
  select_request request_;
  std::unique_ptr<selected> inner_;
};

result<std::unique_ptr<selected>> passing_source::prepare(const select_request& request) {
  auto what = asked(request);
  BOOST_OUTCOME_TRY(found, inner_.prepare(what));
  return std::unique_ptr<selected>{std::make_unique<passed>(*this, std::move(what), std::move(found))};
}

} // namespace skerry::promql
