#include "cloud/sites/host_table.hpp"
#include "tests/schemas/support.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <thread>

using namespace skerry;
using namespace skerry::cloud;

namespace {

const stream_key key{edge_id{7}, {2, {1}}, stream_id::telemetry};
constexpr std::int64_t second = 1'000'000'000;

// A whole frame of one series set, which another node's clock dates.
void saw(host_table& to, std::string_view host, edge_id edge, std::uint64_t set, std::uint32_t series,
         std::int64_t time_ns) {
  const frame_seen::set one{set, series, series};
  to.on_frame("ship", host, {edge, time_ns, time_ns, true, std::span{&one, 1}});
}

host_view only_host(const host_table& of) {
  const auto all = of.hosts();
  REQUIRE(all.size() == 1);
  return all.front();
}

} // namespace

TEST_CASE("a watermark is live when it comes and complete when everything before it is held") {
  host_table hosts;
  hosts.on_watermark("ship", "a", key, 10, 100 * second);
  CHECK(only_host(hosts).live_watermark_ns == 100 * second);
  CHECK(only_host(hosts).complete_watermark_ns == 0);
  hosts.on_held(key, 9, true);
  CHECK(only_host(hosts).complete_watermark_ns == 0);
  hosts.on_held(key, 10, false); // an older epoch has holes
  CHECK(only_host(hosts).complete_watermark_ns == 0);
  hosts.on_held(key, 10, true);
  CHECK(only_host(hosts).complete_watermark_ns == 100 * second);
}

TEST_CASE("a host of an edge is that also when something else of it was pushed last") {
  host_table hosts;
  saw(hosts, "a", edge_pushed, 1, 5, 100 * second);
  CHECK(only_host(hosts).only_pushed());
  saw(hosts, "a", key.edge, 2, 500, 200 * second);
  hosts.on_watermark("ship", "a", key, 20, 200 * second);
  CHECK_FALSE(only_host(hosts).only_pushed());
  saw(hosts, "a", edge_pushed, 1, 5, 300 * second);
  CHECK_FALSE(only_host(hosts).only_pushed());
}

TEST_CASE("the backlog does not turn a host's watermarks or series back") {
  host_table hosts;
  saw(hosts, "a", key.edge, 1, 500, 200 * second);
  hosts.on_watermark("ship", "a", key, 20, 200 * second);
  saw(hosts, "a", key.edge, 1, 300, 100 * second);
  hosts.on_watermark("ship", "a", key, 5, 100 * second);
  CHECK(only_host(hosts).series == 500);
  CHECK(only_host(hosts).samples == 800);
  CHECK(only_host(hosts).live_watermark_ns == 200 * second);
  hosts.on_held(key, 20, true);
  CHECK(only_host(hosts).complete_watermark_ns == 200 * second);
}

TEST_CASE("series of several sources add up; one that fell silent no longer counts") {
  host_table hosts;
  saw(hosts, "a", key.edge, 1, 100, 10 * second);
  saw(hosts, "a", key.edge, 2, 20, 11 * second);
  CHECK(only_host(hosts).series == 120);
  saw(hosts, "a", key.edge, 1, 100, 400 * second);
  CHECK(only_host(hosts).series == 100);
}

TEST_CASE("times that targets claim say nothing of when a host was seen") {
  host_table hosts;
  saw(hosts, "a", key.edge, 1, 5, 100 * second);
  hosts.on_watermark("ship", "a", key, 1, 100 * second);
  // One sample from 1970, one from the future: what a target exposes with timestamps.
  const frame_seen::set one{1, 1, 13};
  hosts.on_frame("ship", "a", {key.edge, 1, 0, false, std::span{&one, 1}});
  hosts.on_frame("ship", "a", {key.edge, 900 * second, 0, false, std::span{&one, 1}});
  const auto host = only_host(hosts);
  CHECK(host.first_sample_ns == 100 * second);
  CHECK(host.last_sample_ns == 100 * second);
  CHECK(host.samples == 7);
}

TEST_CASE("a page whose samples have times of their own has all of its series") {
  host_table hosts;
  const auto claimed = [&](std::int64_t time_ns) {
    const frame_seen::set one{1, 1, 13};
    hosts.on_frame("ship", "a", {key.edge, time_ns, 0, false, std::span{&one, 1}});
  };
  const frame_seen::set whole{1, 5, 13}; // what is said of the scrape itself
  for (const auto at : {100 * second, 115 * second}) {
    hosts.on_frame("ship", "a", {key.edge, at, at, true, std::span{&whole, 1}});
    for (int i = 1; i <= 8; ++i)
      claimed(at - i * second);
    CHECK(only_host(hosts).series == 13);
  }
  // Nothing new of them for long: what there is now is what the newest whole frame had.
  const auto later = 500 * second;
  hosts.on_frame("ship", "a", {key.edge, later, later, true, std::span{&whole, 1}});
  CHECK(only_host(hosts).series == 5);
}

TEST_CASE("a host of which only claimed times are known is forgotten by them") {
  host_table hosts;
  const frame_seen::set one{1, 1, 1};
  hosts.on_frame("ship", "a", {key.edge, 50 * second, 0, false, std::span{&one, 1}});
  hosts.forget_before(40 * second);
  CHECK(hosts.hosts().size() == 1);
  hosts.forget_before(60 * second);
  CHECK(hosts.hosts().empty());
}

TEST_CASE("what a host was is the same after a restart") {
  host_table before;
  saw(before, "a", key.edge, 1, 100, 10 * second);
  before.on_watermark("ship", "a", key, 1, 10 * second);
  before.on_held(key, 1, true);
  host_table after;
  for (const auto& [name, value] : before.take_changes())
    after.restore(name, value);
  CHECK(before.take_changes().empty()); // only what changed since
  const auto host = only_host(after);
  CHECK(host.site == "ship");
  CHECK(host.host == "a");
  CHECK(host.edge == key.edge);
  CHECK(host.series == 100);
  CHECK(host.complete_watermark_ns == 10 * second);
  after.restore("host/0/0123456789abcdef", "damaged"); // is left out
  CHECK(after.hosts().size() == 1);
}

TEST_CASE("a host that was silent for longer than the retention is dropped, and so is its state") {
  host_table hosts;
  saw(hosts, "old", key.edge, 1, 100, 10 * second);
  saw(hosts, "waits", key.edge, 1, 100, 10 * second);
  hosts.on_watermark("ship", "waits", key, 3, 10 * second);
  saw(hosts, "new", key.edge, 1, 100, 100 * second);
  hosts.on_watermark("ship", "old", key, 1, 10 * second);
  hosts.on_held(key, 1, true); // the watermark at 3 waits
  const auto kept = hosts.take_changes();
  REQUIRE(kept.size() == 3);
  hosts.forget_before(50 * second);
  CHECK(hosts.hosts().size() == 2);
  hosts.on_held(key, 3, true);
  hosts.forget_before(50 * second);
  CHECK(only_host(hosts).host == "new");
  auto changes = hosts.take_changes();
  std::erase_if(changes, [](const auto& change) { return !change.second.empty(); });
  CHECK(changes.size() == 2);
}

// As it was written first, and with what was appended since. None of it changes: a later version only appends.
TEST_CASE("golden bytes of a host's state") {
  const std::string golden_key = "host/0/a5a3a5f37d317b4b";
  const std::string golden =
      "04736869700161ac0200e40b540200000000e40b5402000000001a7118020000008877665544332211";
  const std::string first_sample = "00ca9a3b00000000";
  host_table made;
  saw(made, "a", edge_id{0x1122334455667788}, 1, 300, 1 * second);
  saw(made, "a", edge_id{0x1122334455667788}, 1, 300, 10 * second);
  const stream_key its{edge_id{0x1122334455667788}, {2, {1}}, stream_id::telemetry};
  made.on_watermark("ship", "a", its, 1, 9 * second);
  made.on_held(its, 1, true);
  made.on_watermark("ship", "a", its, 2, 10 * second);
  auto written = made.take_changes();
  REQUIRE(written.size() == 1);
  CHECK(written[0].first == golden_key);
  CHECK(skerry::test::hex(as_bytes(written[0].second)) == golden + first_sample);
  made.on_watermark("ship", "a", key, 1, 10 * second);
  made.on_held(key, 1, true);
  written = made.take_changes();
  const std::string two_edges = "02070000000000000000e40b540200000000e40b540200000000e40b5402000000"
                                "887766554433221100ca9a3b0000000000e40b5402000000001a711802000000";
  CHECK(skerry::test::hex(as_bytes(written[0].second)) == golden + first_sample + two_edges);
  for (const auto& appended : {std::string{}, first_sample, first_sample + two_edges + "0102"}) {
    host_table read;
    read.restore(golden_key, as_text(skerry::test::unhex(golden + appended)));
    const auto host = only_host(read);
    CHECK(host.site == "ship");
    CHECK(host.host == "a");
    CHECK(host.edge == edge_id{0x1122334455667788});
    CHECK(host.series == 300);
    CHECK(host.first_sample_ns == (appended.empty() ? 0 : second));
    CHECK(host.last_sample_ns == 10 * second);
    CHECK(host.live_watermark_ns == 10 * second);
    CHECK(host.complete_watermark_ns == 9 * second);
  }
}

TEST_CASE("a host's state that is cut short is left out") {
  host_table made;
  made.on_watermark("ship", "a", key, 1, 9 * second);
  const auto oldest_version = made.take_changes().at(0).second.size() - 8;
  made.on_watermark("ship", "a", {edge_id{8}, {1, {1}}, stream_id::telemetry}, 1, 9 * second);
  const auto written = made.take_changes();
  REQUIRE(written.size() == 1);
  for (std::size_t keep = 0; keep < written[0].second.size(); ++keep) {
    if (keep >= oldest_version && keep <= oldest_version + 8)
      continue; // an older version ended here
    host_table read;
    read.restore(written[0].first, std::string_view{written[0].second}.substr(0, keep));
    CHECK(read.hosts().empty());
  }
}

TEST_CASE("watermarks that nobody can speak for any more are given up, and later ones tell") {
  host_table hosts;
  hosts.on_watermark("ship", "a", key, 10, 100 * second);
  hosts.on_held(key, 9, true);
  hosts.disown(key);
  hosts.on_watermark("ship", "a", key, 11, 110 * second);
  CHECK(only_host(hosts).live_watermark_ns == 110 * second);
  hosts.on_held(key, 11, true); // nothing waits
  CHECK(only_host(hosts).complete_watermark_ns == 0);
  hosts.on_watermark("ship", "a", key, 12, 120 * second);
  hosts.on_held(key, 12, true);
  CHECK(only_host(hosts).complete_watermark_ns == 120 * second);
}

TEST_CASE("what shards and what ingest tell may come in any order") {
  struct step {
    bool watermark = false;
    sequence seq = 0;
    bool older_complete = false;
  };
  // Three watermarks, and the stream as it is held in the end: with its older epochs, which had holes first.
  const std::vector<step> told{{false, 5, false}, {false, 25, true}};
  std::vector<int> order{0, 1, 2, 3, 4}; // watermarks at 10, 20 and 30, then `told` in its order
  do {
    host_table hosts;
    std::size_t next = 0;
    for (const auto what : order)
      if (what < 3)
        hosts.on_watermark("ship", "a", key, static_cast<sequence>(10 * (what + 1)), (what + 1) * second);
      else
        hosts.on_held(key, told[next].seq, told[next].older_complete), ++next;
    CAPTURE(order);
    CHECK(only_host(hosts).live_watermark_ns == 3 * second);
    CHECK(only_host(hosts).complete_watermark_ns == 2 * second);
    hosts.on_held(key, 30, true);
    CHECK(only_host(hosts).complete_watermark_ns == 3 * second);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("a stream that was let go says nothing of watermarks that come under its name later") {
  host_table hosts;
  hosts.on_watermark("ship", "a", key, 10, 100 * second);
  hosts.on_held(key, 20, true);
  hosts.let_go(key);
  CHECK(only_host(hosts).complete_watermark_ns == 100 * second);
  hosts.on_watermark("ship", "a", key, 15, 150 * second);
  CHECK(only_host(hosts).complete_watermark_ns == 100 * second);
}

TEST_CASE("the hosts that are known have places, also those that are read back, until they go") {
  const auto places = std::make_shared<host_admission>(host_limits{.hosts_max = 4, .site_hosts_max = 2});
  host_table before;
  for (const auto* name : {"a", "b", "c"})
    before.on_watermark("ship", name, key, 1, 100 * second);
  host_table after{places};
  for (const auto& [name, value] : before.take_changes())
    after.restore(name, value);
  CHECK(after.hosts().size() == 3); // beyond the bound of its site
  CHECK(places->size() == 3);
  CHECK(places->admit("ship", "c", key.edge));
  CHECK_FALSE(places->admit("ship", "d", key.edge));
  saw(after, "d", key.edge, 1, 5, 200 * second); // it was admitted before the others came
  CHECK(places->size() == 4);
  after.forget_before(150 * second);
  CHECK(only_host(after).host == "d");
  CHECK(places->size() == 1);
  CHECK(places->admit("ship", "e", key.edge));
  CHECK_FALSE(places->admit("ship", "f", key.edge));
}

TEST_CASE("what a part has stored is taken at once, each record for its host") {
  host_table hosts;
  run_builder builder{key, 7};
  for (const auto* host : {"a", "a", "b"})
    builder.append(record_kind::frame, second, host, as_bytes("x"));
  const auto from = std::move(builder).finish();
  const auto records = decode_records(from).value();
  committed_effects what;
  what.site = "ship";
  what.origin = key;
  for (std::uint32_t i = 0; i < 3; ++i) {
    what.frames.push_back({records[i], i + 1, {key.edge, second, second, true, {}}, i, 1});
    what.sets.push_back({i, i + 1, i + 1});
  }
  what.watermarks.push_back(records[2]);
  hosts.apply(what);
  const auto all = hosts.hosts();
  REQUIRE(all.size() == 2);
  CHECK(all[0].samples == 3);
  CHECK(all[0].live_watermark_ns == 0);
  CHECK(all[1].samples == 3);
  CHECK(all[1].live_watermark_ns == second);
}

TEST_CASE("within a site another edge that names a host completes nothing of it") {
  host_table hosts;
  const stream_key other{edge_id{8}, {5, {2}}, stream_id::telemetry};
  hosts.on_watermark("ship", "a", key, 1, 100 * second);
  hosts.on_held(key, 1, true);
  hosts.on_watermark("ship", "a", key, 3, 130 * second); // 2 is missing
  hosts.on_watermark("ship", "a", other, 1, 130 * second);
  hosts.on_held(other, 1, true);
  auto host = only_host(hosts);
  CHECK(host.live_watermark_ns == 130 * second);
  CHECK(host.complete_watermark_ns == 100 * second);
  REQUIRE(host.statements.size() == 2);
  CHECK(host.statements[0].edge == key.edge);
  CHECK(host.statements[0].complete_watermark_ns == 100 * second);
  CHECK(host.statements[1].complete_watermark_ns == 130 * second);
  hosts.on_held(key, 3, true);
  CHECK(only_host(hosts).complete_watermark_ns == 130 * second);

  host_table again;
  for (const auto& [name, value] : hosts.take_changes())
    again.restore(name, value);
  host = only_host(again);
  REQUIRE(host.statements.size() == 2);
  CHECK(host.statements[1].edge == other.edge);
  CHECK(host.statements[1].live_watermark_ns == 130 * second);
}

TEST_CASE("an edge that goes on without a host, or was revoked, holds back nobody who has it now") {
  host_table hosts;
  const stream_key heir{edge_id{8}, {5, {2}}, stream_id::telemetry};
  const auto tell = [&](std::string_view host, const stream_key& of, sequence seq, std::int64_t at) {
    hosts.on_watermark("ship", host, of, seq, at);
    hosts.on_held(of, seq, true);
  };
  const auto complete = [&](std::string_view host) {
    const host_table::host_name name{"ship", std::string{host}};
    const auto found = hosts.hosts(std::span{&name, 1});
    REQUIRE(found.size() == 1);
    return found.front().complete_watermark_ns;
  };
  tell("moved", key, 1, 100 * second);
  tell("moved", heir, 1, 2000 * second);
  CHECK(complete("moved") == 100 * second); // silent, as far as anybody knows
  tell("stays", key, 2, 2000 * second);
  CHECK(complete("moved") == 2000 * second);
  tell("stays", heir, 2, 4000 * second);
  CHECK(complete("stays") == 2000 * second);
  hosts.end(key.edge, 3000 * second);
  CHECK(complete("stays") == 4000 * second);
  tell("stays", key, 3, 3500 * second); // it joined again
  CHECK(complete("stays") == 3500 * second);
  // Where nobody has it now, what was said last stands.
  hosts.end(key.edge, 9000 * second);
  hosts.end(heir.edge, 9000 * second);
  CHECK(complete("stays") == 3500 * second);
}

TEST_CASE("readers see whole hosts in order while the writer goes on") {
  constexpr int known = 2'000, rounds = 3;
  host_table hosts;
  std::atomic<bool> over = false;
  std::thread writer{[&] {
    for (int round = 1; round <= rounds; ++round)
      for (int i = 0; i < known; ++i) {
        const auto name = std::to_string(i);
        hosts.on_watermark("ship", name, key, static_cast<sequence>(round * known + i), round * second);
        saw(hosts, name, key.edge, 1, 7, round * second);
        if (i % 100 == 0)
          hosts.on_held(key, static_cast<sequence>(round * known + i), true);
      }
    over = true;
  }};
  const auto sorted = [](const host_view& a, const host_view& b) {
    return std::pair{a.site, a.host} < std::pair{b.site, b.host};
  };
  for (bool last = false; !last;) {
    last = over;
    const auto all = hosts.hosts();
    CHECK(std::is_sorted(all.begin(), all.end(), sorted));
    CHECK(std::adjacent_find(all.begin(), all.end(),
                             [](const auto& a, const auto& b) { return a.host == b.host; })
          == all.end());
    CHECK(hosts.samples().size() <= 1);
  }
  writer.join();
  CHECK(hosts.hosts().size() == known);
}
