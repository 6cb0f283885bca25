// The ledger over a real store: whom entries concern, and what an operator takes back.

#include "cloud/ledger/ledger.hpp"
#include "cloud/ledger/retractions.hpp"
#include "cloud/sites/host_table.hpp"
#include "tests/cloud/store/store_fixture.hpp"

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr edge_id good{7}, other{8};

struct world {
  temporary_directory directory;
  store s = open_store(small_config(directory.path()));
  std::shared_ptr<engine> db{std::move(s.db)};
  std::shared_ptr<host_table> hosts = std::make_shared<host_table>();
  const std::int64_t now = test_clock().wall;
  std::shared_ptr<retractions> taken_back = retractions::open(db).value();
  std::unique_ptr<ledger_reader> ledger = make_ledger(db, hosts, taken_back);

  // Everything up to now is there, says this edge.
  void complete(edge_id edge, std::string_view host, std::int64_t from_ns) {
    const stream_key key{edge, {1, {1}}, stream_id::telemetry};
    hosts->on_watermark("ship", host, key, 1, from_ns);
    hosts->on_watermark("ship", host, key, 2, now);
    hosts->on_held(key, 2, true);
  }
  void not_there(edge_id edge, std::string_view host, std::int64_t from_ns, std::int64_t to_ns) {
    byte_buffer payload;
    encode_payload(not_collected{from_ns, to_ns, loss_cause::node_off, ""}, payload);
    REQUIRE(append(
        *db,
        request_builder{edge, "ship", next++}.note(record_kind::not_collected, host, to_ns, payload).take()));
  }
  [[nodiscard]] std::vector<coverage> states(std::string_view host) const {
    ledger_request request;
    request.from_ns = now - 1000 * second;
    request.to_ns = now;
    request.hosts = {{"ship", std::string{host}}};
    const auto found = ledger->completeness(request);
    REQUIRE(found);
    REQUIRE(found.value().size() == 1);
    std::vector<coverage> out;
    for (const auto& range : found.value().front().ranges)
      out.push_back(range.what);
    return out;
  }
  [[nodiscard]] std::vector<loss_entry> losses() const {
    ledger_request request;
    request.from_ns = now - 1000 * second;
    request.to_ns = now;
    return ledger->losses(request).value();
  }
  sequence next = 1;
};

const std::vector<coverage> all_there{coverage::complete};
const std::vector<coverage> with_gap{coverage::complete, coverage::not_collected, coverage::complete};

} // namespace

TEST_CASE("what an edge says is missing concerns the hosts that it brings, and no others") {
  world w;
  const auto begin = w.now - 2000 * second;
  w.complete(good, "a", begin);
  w.complete(other, "b", begin);
  w.not_there(other, "a", w.now - 500 * second, w.now - 400 * second); // it never brought anything of it
  w.not_there(other, "", w.now - 300 * second, w.now - 200 * second);
  CHECK(w.states("a") == all_there);
  CHECK(w.states("b") == with_gap);
  CHECK(w.losses().size() == 2);                // both stand in the ledger, with the edge that said so
  w.complete(other, "a", w.now - 100 * second); // two machines of one name
  CHECK(w.states("a").size() == 5);
}

TEST_CASE("what an operator took back stays on record and counts for nobody, also after a restart") {
  world w;
  w.complete(good, "a", w.now - 2000 * second);
  w.not_there(good, "a", w.now - 500 * second, w.now - 400 * second);
  w.not_there(good, "a", w.now - 50 * second, w.now - 40 * second);
  CHECK(w.states("a").size() == 5);
  CHECK_FALSE(w.taken_back->add({good, "", w.now - 600 * second, w.now - 300 * second, w.now, ""}));
  CHECK_FALSE(w.taken_back->add({good, "", 0, w.now, w.now, std::string(1025, 'x')}));
  REQUIRE(
      w.taken_back->add({good, "", w.now - 600 * second, w.now - 300 * second, w.now, "clock was wrong"}));
  REQUIRE(w.taken_back->add({other, "", 0, INT64_MAX, w.now, "of another edge"}));
  REQUIRE(w.taken_back->add({good, "b", 0, INT64_MAX, w.now, "of another host"}));
  CHECK(w.states("a") == with_gap);
  auto losses = w.losses();
  REQUIRE(losses.size() == 2);
  CHECK(losses[0].retracted.ends_with("Z: clock was wrong"));
  CHECK(losses[1].retracted.empty());
  w.taken_back = retractions::open(w.db).value();
  w.ledger = make_ledger(w.db, w.hosts, w.taken_back);
  CHECK(w.states("a") == with_gap);
  CHECK(w.losses()[0].retracted.ends_with("Z: clock was wrong"));
}

TEST_CASE("entries are taken back so often and no more") {
  world w;
  for (std::size_t i = 0; i < retractions_max; ++i)
    REQUIRE(w.taken_back->add({good, "", 0, 1, w.now, "again"}));
  const auto full = w.taken_back->add({good, "", 0, 1, w.now, "again"});
  REQUIRE_FALSE(full);
  CHECK(full.error().code == errc::exhausted);
}
