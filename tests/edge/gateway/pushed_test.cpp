// Pushes through the gateway: answered after the commit, refused and not kept when the spool takes nothing.

#include "edge/gateway/gateway_core.hpp"
#include "tests/edge/spool/spool_world.hpp"

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::testing;

namespace {

struct fixture {
  explicit fixture(std::uint64_t bytes_max = 1 << 30) {
    auto settings = small_config(dir.path());
    settings.bytes_max = bytes_max;
    store = w.open(settings);
    gateway_core_config config;
    config.limits.policy = full_policy::drop_newest;
    core.emplace(config, store, w.clock,
                 gateway_core::outputs{
                     [this](delivery::committed_runs runs) { handed_over += runs.runs.size(); }, {}});
  }
  collection pushed(std::size_t bytes) {
    collection out;
    out.records.push_back(event_record(w.random, bytes));
    out.samples = 1;
    out.done = [this](const result<void>& how) { answers.push_back(how ? errc{} : how.error().code); };
    return out;
  }

  temporary_directory dir;
  world w;
  std::shared_ptr<spool> store;
  std::optional<gateway_core> core;
  std::size_t handed_over = 0;
  std::vector<errc> answers;
};

} // namespace

TEST_CASE("a push is answered after the commit that holds it") {
  fixture f;
  f.core->take(f.pushed(100));
  f.core->take(f.pushed(100));
  CHECK(f.answers.empty());
  REQUIRE(f.core->commit());
  CHECK(f.answers == std::vector<errc>{errc{}, errc{}});
  CHECK(f.store->usage().records >= 2);
}

TEST_CASE("a full spool refuses pushes at once and keeps what was collected") {
  fixture f{2 << 20};
  while (f.store->commit(stream_id::telemetry, event_records(f.w.random, 1, 20'000), {}))
    ;
  auto collected = f.pushed(100'000);
  collected.done = nullptr;
  f.core->take(std::move(collected));
  f.core->take(f.pushed(100'000));
  CHECK_FALSE(f.core->commit());
  CHECK(f.answers == std::vector<errc>{errc::exhausted});
  CHECK(f.core->queue_bytes() > 100'000);
  CHECK(f.core->queue_bytes() < 200'000);
}

TEST_CASE("a push that waits when the node stops is answered") {
  fixture f;
  f.core->take(f.pushed(100));
  f.core->close();
  CHECK(f.answers == std::vector<errc>{errc{}});
}
