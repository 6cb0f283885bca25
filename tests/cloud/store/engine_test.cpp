// The engine's contract, case by case.

#include "cloud/store/directory.hpp"
#include "schemas/model/set_memory.hpp"
#include "store_fixture.hpp"

#include <csignal>
#include <fstream>
#include <sys/resource.h>
#include <xxhash.h>

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

constexpr std::int64_t second = 1'000'000'000;
const std::int64_t now = 1'700'000'000 * second;
using promql::match_op;

promql::select_request matching(std::vector<promql::matcher> matchers) {
  auto r = everything();
  r.matchers = std::move(matchers);
  return r;
}

} // namespace

TEST_CASE("what was appended is answered from the log and from partitions alike") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto set = make_set("a", 3);
  model m;
  request_builder b{edge_id{1}, "ship"};
  for (int i = 0; i < 10; ++i) {
    b.values("h1", set, now + i * second, {1.0 * i, 2.5, stale_marker()});
    const double values[] = {1.0 * i, 2.5, stale_marker()};
    for (int k = 0; k < 3; ++k)
      m.add("ship", set->members[static_cast<std::size_t>(k)].all, now + i * second, values[k]);
  }
  REQUIRE(append(*s.db, b.take()));
  CHECK(select(*s.db, everything()) == m.expected());
  auto part = everything();
  part.from_ms = now / 1'000'000 + 2000;
  part.to_ms = now / 1'000'000 + 5000;
  CHECK(select(*s.db, part) == m.expected(part.from_ms, part.to_ms));

  s->flush();
  CHECK(s->usage().samples == 30);
  CHECK(s->usage().partitions == 1);
  std::size_t in_log = 0;
  REQUIRE(s->log_identities([&](const auto&, auto, auto) { ++in_log; }));
  CHECK(in_log == 0);
  CHECK(select(*s.db, everything()) == m.expected());
  CHECK(select(*s.db, part) == m.expected(part.from_ms, part.to_ms));

  s.db.reset();
  s = open_store(small_config(dir.path()));
  CHECK(select(*s.db, everything()) == m.expected());
}

TEST_CASE("matchers choose as Prometheus does, in the log and in partitions") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto a = make_set("a", 4, 0, {{"host", "h1"}});
  const auto b = make_set("b", 4, 0, {{"host", "h2"}});
  REQUIRE(append(*s.db, request_builder{edge_id{1}, "ship"}.values("h1", a, now, {1, 2, 3, 4}).take()));
  REQUIRE(append(*s.db, request_builder{edge_id{2}, "farm"}.values("h2", b, now, {1, 2, 3, 4}).take()));
  const auto check = [&] {
    const auto count = [&](std::vector<promql::matcher> m) {
      return select(*s.db, matching(std::move(m))).size();
    };
    CHECK(count({}) == 8);
    CHECK(count({match(match_op::equal, "__name__", "m0")}) == 4);
    CHECK(count({match(match_op::equal, "__name__", "nothing")}) == 0);
    CHECK(count({match(match_op::equal, "__name__", "")}) == 0);
    CHECK(count({match(match_op::equal, "__name__", "job")}) == 0); // a label's name
    CHECK(count({match(match_op::equal, "__name__", "m0"), match(match_op::equal, "__name__", "m1")}) == 0);
    CHECK(count({match(match_op::equal, "__name__", "m0"), match(match_op::equal, "__name__", "")}) == 0);
    CHECK(count({match(match_op::equal, "__name__", "m0"), match(match_op::regex, "__name__", "m.")}) == 4);
    CHECK(count({match(match_op::equal, "job", "a")}) == 4);
    CHECK(count({match(match_op::not_equal, "job", "a")}) == 4);
    CHECK(count({match(match_op::equal, "host", "h1")}) == 4);
    CHECK(count({match(match_op::equal, "site", "farm"), match(match_op::equal, "__name__", "m1")}) == 2);
    CHECK(count({match(match_op::regex, "n", "0|1")}) == 4);
    CHECK(count({match(match_op::not_regex, "n", "0|1")}) == 4);
    CHECK(count({match(match_op::equal, "absent", "")}) == 8);
    CHECK(count({match(match_op::not_equal, "absent", "")}) == 0);
    CHECK(count({match(match_op::not_equal, "absent", "x")}) == 8);
    CHECK(count({match(match_op::regex, "absent", ".*")}) == 8);
    CHECK(count({match(match_op::regex, "job", ".+"), match(match_op::not_regex, "site", "s.*")}) == 4);
    CHECK(count({match(match_op::equal, "host", "")}) == 0);

    CHECK(s->label_names(everything()).value()
          == std::vector<std::string>{"__name__", "host", "job", "n", "site"});
    CHECK(s->label_values("job", everything()).value() == std::vector<std::string>{"a", "b"});
    CHECK(s->label_values("host", everything()).value() == std::vector<std::string>{"h1", "h2"});
    CHECK(s->label_values("n", matching({match(match_op::equal, "__name__", "m1")})).value()
          == std::vector<std::string>{"2", "3"});
    CHECK(s->label_values("site", matching({match(match_op::equal, "job", "b")})).value()
          == std::vector<std::string>{"farm"});
    CHECK(s->label_names(matching({match(match_op::equal, "job", "nothing")})).value().empty());
    std::set<std::string> series;
    REQUIRE(s->series(matching({match(match_op::equal, "n", "3")}),
                      [&](const labels& all) { CHECK(series.insert(to_string(all)).second); }));
    CHECK(series
          == std::set<std::string>{R"(m1{host="h1",job="a",n="3",site="ship"})",
                                   R"(m1{host="h2",job="b",n="3",site="farm"})"});
    const auto metadata = s->metadata().value();
    REQUIRE(metadata.size() == 2);
    CHECK(metadata[1].name == "m1");
    CHECK(metadata[1].help == "help of m1");
    CHECK(metadata[1].type == metric_type::gauge);
  };
  check();
  s->flush();
  check();
}

TEST_CASE("a metric is found in whichever sets of a source have it") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const std::vector<series_set_ptr> sets{make_set("a", 4), make_set("a", 4, 3), make_set("a", 2, 10)};
  frame f;
  f.time_ns = now;
  for (const auto& set : sets)
    f.sections.push_back({set->hash, static_cast<std::uint16_t>(set->members.size()), {}});
  f.values = {0, 1, 2, 3, 30, 4, 5, 6, 10, 11};
  REQUIRE(append(*s.db, request_builder{edge_id{1}, "ship"}.frame_of("h", f, sets).take()));
  for (int i = 0; i < 2; ++i) {
    const auto values = [&](const std::string& metric) {
      std::set<double> found;
      for (const auto& [series, samples] :
           select(*s.db, matching({match(match_op::equal, "__name__", metric)})))
        found.insert(std::bit_cast<double>(samples.at(now / 1'000'000)));
      return found;
    };
    CHECK(values("m0") == std::set<double>{0, 1});
    CHECK(values("m1") == std::set<double>{2, 30}); // in two of them: the greater stays
    CHECK(values("m2") == std::set<double>{4, 5});
    CHECK(values("m5") == std::set<double>{10, 11});
    s->flush();
  }
}

TEST_CASE("series of different sets and edges with the same labels are one") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto a = make_set("a", 2);
  const auto b = make_set("a", 4); // other set, the first two series are the same
  REQUIRE(append(*s.db, request_builder{edge_id{1}, "ship"}.values("h", a, now, {1, 2}).take()));
  s->flush();
  REQUIRE(
      append(*s.db, request_builder{edge_id{2}, "ship"}.values("h", b, now + second, {3, 4, 5, 6}).take()));
  REQUIRE(append(*s.db, request_builder{edge_id{3}, "ship"}.values("h", a, now, {1, 9}).take()));
  for (int i = 0; i < 2; ++i) {
    const auto all = select(*s.db, everything());
    REQUIRE(all.size() == 4);
    const auto& second_series = all.at(R"(m0{job="a",n="1",site="ship"})");
    REQUIRE(second_series.size() == 2);
    CHECK(std::bit_cast<double>(second_series.at(now / 1'000'000)) == 9); // the greater
    s->flush();
  }
}

TEST_CASE("a series has the labels of its data, and its edge's site unless it has one") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto plain = make_set("a", 1);
  const auto odd = make_series_set(
      {{"m", metric_type::gauge, "", ""}},
      {{0, {{"__name__", "m"}, {"a", "1"}, {"host", "x"}, {"hosts", "2"}, {"site", "y"}, {"z", "3"}}},
       {0, {{"__name__", "m"}, {"z", "4"}}}});
  REQUIRE(append(
      *s.db,
      request_builder{edge_id{1}, "ship"}.values("h", plain, now, {1}).values("h", odd, now, {1, 2}).take()));
  REQUIRE(append(*s.db, request_builder{edge_pushed, "remote"}
                            .values("h", plain, now, {3})
                            .values("p", odd, now, {4, 5})
                            .take()));
  for (int i = 0; i < 2; ++i) {
    const auto names = [&](std::vector<promql::matcher> m) {
      std::set<std::string> found;
      for (const auto& [series, samples] : select(*s.db, matching(std::move(m))))
        found.insert(series);
      return found;
    };
    const std::string own = R"(m{a="1",host="x",hosts="2",site="y",z="3"})";
    const std::string ship[] = {R"(m0{job="a",n="0",site="ship"})", R"(m{site="ship",z="4"})"};
    const std::string pushed[] = {R"(m0{job="a",n="0"})", R"(m{z="4"})"};
    CHECK(names({}) == std::set<std::string>{own, ship[0], ship[1], pushed[0], pushed[1]});
    CHECK(names({match(match_op::equal, "site", "ship")}) == std::set<std::string>{ship[0], ship[1]});
    CHECK(names({match(match_op::equal, "site", "y")}) == std::set<std::string>{own});
    CHECK(names({match(match_op::equal, "site", "remote")}).empty());
    CHECK(names({match(match_op::equal, "site", "")}) == std::set<std::string>{pushed[0], pushed[1]});
    CHECK(names({match(match_op::regex, "site", "s.+|y")}) == std::set<std::string>{own, ship[0], ship[1]});
    CHECK(names({match(match_op::equal, "host", "h")}).empty());
    CHECK(names({match(match_op::equal, "host", ""), match(match_op::equal, "z", "4")})
          == std::set<std::string>{ship[1], pushed[1]});
    CHECK(s->label_values("site", everything()).value() == std::vector<std::string>{"ship", "y"});
    CHECK(s->label_values("host", everything()).value() == std::vector<std::string>{"x"});
    CHECK(s->label_names(everything()).value()
          == std::vector<std::string>{"__name__", "a", "host", "hosts", "job", "n", "site", "z"});
    s->flush();
  }
}

TEST_CASE("hosts that have a series with the same labels give it once") {
  const auto cache_bytes = GENERATE(0u, 64u << 20);
  const temporary_directory dir;
  auto config = small_config(dir.path());
  config.read_cache_bytes_max = cache_bytes;
  auto s = open_store(config);
  const auto both = make_set("a", 2, 0, {{"instance", "i"}});
  const auto mine = make_set("a", 2, 10, {{"instance", "i"}});
  const auto page = make_series_set( // tells of others, as a page that is federated
      {{"m0", metric_type::gauge, "", ""}},
      {{0, {{"__name__", "m0"}, {"instance", "i"}, {"job", "a"}, {"n", "1"}}},
       {0, {{"__name__", "m0"}, {"instance", "j"}, {"job", "a"}, {"n", "1"}}},
       {0, {{"__name__", "m0"}, {"instance", "k"}, {"job", "a"}, {"n", "1"}, {"site", "farm"}}}});
  const auto far = make_set("a", 2, 0, {{"instance", "k"}});
  const auto ms = [](int at) { return now / 1'000'000 + at * 1'000; };
  const auto put = [&](std::uint64_t edge, const char* site, const char* host, const series_set_ptr& set,
                       int at, std::vector<double> values, sequence seq) {
    REQUIRE(append(*s.db, request_builder{edge_id{edge}, site, seq}
                              .values(host, set, now + at * second, std::move(values))
                              .take()));
  };
  const auto look = [&] {
    const auto all = select(*s.db, everything());
    CHECK(all.size() == 8); // select() requires each of them once
    const auto values = [&](const std::string& name) {
      std::map<std::int64_t, double> found;
      for (const auto& [time, bits] : all.at(name))
        found.emplace(time, std::bit_cast<double>(bits));
      return found;
    };
    CHECK(values(R"(m0{instance="i",job="a",n="1",site="ship"})")
          == std::map<std::int64_t, double>{{ms(0), 2}, {ms(1), 21}, {ms(2), 31}, {ms(3), 41}});
    CHECK(values(R"(m0{instance="k",job="a",n="1",site="farm"})")
          == std::map<std::int64_t, double>{{ms(3), 43}, {ms(4), 52}});
    // And with whom they were read.
    std::map<std::string, std::set<std::string>> hosts;
    REQUIRE(s->select(everything(), [&](const promql::series_view& view) {
      for (const auto& [site, host] : view.hosts)
        hosts[to_string(view.all)].insert(std::string{site} + "/" + std::string{host});
    }));
    CHECK(hosts[R"(m0{instance="i",job="a",n="1",site="ship"})"]
          == std::set<std::string>{"farm/k", "ship/one", "ship/page", "ship/two"});
    CHECK(hosts[R"(m5{instance="i",job="a",n="10",site="ship"})"].contains("ship/two"));
    CHECK(hosts[R"(m9{job="b",n="18",site="ship"})"] == std::set<std::string>{"ship/alone"});
    std::size_t named = 0;
    std::set<labels> unique;
    REQUIRE(s->series(everything(), [&](const labels& l) {
      ++named;
      unique.insert(l);
    }));
    CHECK(named == 8);
    CHECK(unique.size() == 8);
    auto newest = everything();
    newest.newest_only = true;
    const auto last = *select(*s.db, newest).at(R"(m0{instance="i",job="a",n="1",site="ship"})").rbegin();
    CHECK(last.first == ms(3));
    CHECK(std::bit_cast<double>(last.second) == 41);
  };
  put(1, "ship", "one", both, 0, {0, 1}, 1);
  put(2, "ship", "two", both, 0, {0, 2}, 1); // the same time: the greater stays
  put(2, "ship", "two", both, 1, {20, 21}, 2);
  put(2, "ship", "two", mine, 1, {22, 23}, 3);
  s->flush(); // some of them in a partition, the rest in the log
  put(1, "ship", "one", both, 2, {30, 31}, 2);
  put(3, "ship", "page", page, 3, {41, 42, 43}, 1);
  put(4, "farm", "k", far, 4, {51, 52}, 1);
  put(5, "ship", "alone", make_set("b", 1, 18), 4, {60}, 1);
  look();
  s->flush();
  look();
  s.db.reset();
  s = open_store(config);
  look();
}

TEST_CASE("the value that stays does not depend on the order of arrival") {
  const auto set = make_set("a", 1);
  const double values[] = {1,
                           -1,
                           0.0,
                           -0.0,
                           stale_marker(),
                           std::bit_cast<double>(0x7ff8000000000001),
                           std::bit_cast<double>(0xfff8000000000001)};
  for (const auto a : values)
    for (const auto b : values) {
      CHECK(std::bit_cast<std::uint64_t>(resolve(a, b)) == std::bit_cast<std::uint64_t>(resolve(b, a)));
      if (is_stale(a))
        CHECK(std::bit_cast<std::uint64_t>(resolve(a, b)) == std::bit_cast<std::uint64_t>(b));
    }
  CHECK(resolve(1, -1) == 1);
  CHECK(!std::signbit(resolve(-0.0, 0.0)));

  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  REQUIRE(append(*s.db, request_builder{edge_id{1}, "x", 1}.values("h", set, now, {1}).take()));
  REQUIRE(append(*s.db, request_builder{edge_id{1}, "x", 2}.values("h", set, now, {1}).take()));
  REQUIRE(append(*s.db, request_builder{edge_id{1}, "x", 3}.values("h", set, now, {7}).take()));
  s->flush();
  CHECK(s.metric("skerry_store_duplicates_total") == 1);
  CHECK(s.metric("skerry_store_conflicts_total") == 1);
  CHECK(std::bit_cast<double>(select(*s.db, everything()).begin()->second.begin()->second) == 7);
}

TEST_CASE("a run that is appended twice stands in the log once") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto set = make_set("a", 1);
  const auto twice = [&](sequence first) {
    request_builder b{edge_id{1}, "x", first};
    for (int i = 0; i < 5; ++i)
      b.values("h", set, now + (static_cast<std::int64_t>(first) + i) * second, {1.0});
    return b.take();
  };
  REQUIRE(append(*s.db, twice(1)));
  REQUIRE(append(*s.db, twice(1)));
  REQUIRE(append(*s.db, twice(3))); // overlaps
  std::map<sequence, int> seen;
  REQUIRE(s->log_identities([&](const record_identity& id, auto, auto host) {
    CHECK(host == "h");
    ++seen[id.seq];
  }));
  CHECK(seen == std::map<sequence, int>{{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}, {7, 1}});
  CHECK(s.metric("skerry_store_repeated_records_total") == 8);
}

TEST_CASE("state survives rotation, sealing and restart") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto set = make_set("a", 1);
  REQUIRE(put_state(*s.db, {{"held/1", "one"}, {"held/2", "two"}, {"mark/1", "x"}}));
  REQUIRE(append(*s.db,
                 request_builder{edge_id{1}, "x"}.values("h", set, now, {1}).state("held/1", "more").take()));
  s->flush();
  REQUIRE(put_state(*s.db, {{"held/2", ""}}));
  const std::map<std::string, std::string> held{{"held/1", "more"}};
  CHECK(all_state(*s.db, "held/") == held);
  s.db.reset();
  s = open_store(small_config(dir.path()));
  CHECK(all_state(*s.db, "held/") == held);
  CHECK(all_state(*s.db).size() == 2);
}

TEST_CASE("a lower fence is refused, also after a restart") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto set = make_set("a", 1);
  const auto with_fence = [&](std::uint64_t fence, sequence seq) {
    auto r = request_builder{edge_id{1}, "x", seq}.values("h", set, now, {1}).take();
    r.fence = fence;
    r.shard = 5;
    return r;
  };
  REQUIRE(append(*s.db, with_fence(3, 1)));
  s->flush();
  const auto refused = append(*s.db, with_fence(2, 2));
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::forbidden);
  s.db.reset();
  s = open_store(small_config(dir.path()));
  CHECK(append(*s.db, with_fence(2, 2)).error().code == errc::forbidden);
  CHECK(append(*s.db, with_fence(3, 2)));
}

TEST_CASE("series sets are found in the log, in partitions and after a restart, by edge") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto set = make_set("a", 200);
  REQUIRE(append(
      *s.db, request_builder{edge_id{1}, "x"}.values("h", set, now, std::vector<double>(200, 1.0)).take()));
  const auto check = [&] {
    const auto found = s->find_set(edge_id{1}, set->hash);
    REQUIRE(found);
    CHECK(found->members.size() == 200);
    CHECK(s->find_set(edge_id{2}, set->hash) == nullptr);
    CHECK(s->find_set(edge_id{1}, set_hash{}) == nullptr);
  };
  check();
  s.db.reset();
  s = open_store(small_config(dir.path()));
  check();
  s->flush();
  s.db.reset();
  s = open_store(small_config(dir.path()));
  check();
}

TEST_CASE("an append whose sets are unknown or do not fit is refused whole") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  auto missing = request_builder{edge_id{1}, "x"}.values("h", make_set("a", 2), now, {1, 2}).take();
  missing.sets.clear();
  CHECK(append(*s.db, std::move(missing)).error().code == errc::invalid_argument);
  // A count that is not the set's.
  const auto set = make_set("b", 3);
  frame f;
  f.time_ns = now;
  f.sections.push_back({set->hash, 2, {}});
  f.values = {1, 2};
  CHECK(append(*s.db, request_builder{edge_id{1}, "x"}.frame_of("h", f, {set}).take()).error().code
        == errc::invalid_argument);
  CHECK(append(*s.db,
               request_builder{edge_id{1}, "x"}.note(record_kind::frame, "h", now, as_bytes("junk")).take())
            .error()
            .code
        == errc::unsupported_version);
  std::size_t records = 0;
  REQUIRE(s->log_identities([&](const auto&, auto, auto) { ++records; }));
  CHECK(records == 0);
  // The same stream goes on.
  CHECK(append(*s.db, request_builder{edge_id{1}, "x"}.values("h", set, now, {1, 2, 3}).take()));
  CHECK(select(*s.db, everything()).size() == 3);
}

TEST_CASE("the ledger tells what overlaps a range, from log and partitions, each entry once") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  byte_buffer lost;
  encode_payload(tombstone{10, now, now + 50 * second, 100, 1000, loss_cause::spool_bytes}, lost);
  byte_buffer down;
  encode_payload(not_collected{now + 60 * second, now + 90 * second, loss_cause::node_off, "off"}, down);
  const auto request = [&] {
    return request_builder{edge_id{1}, "x"}
        .note(record_kind::tombstone, "h", now + 50 * second, lost, 10)
        .note(record_kind::not_collected, "h", now + 90 * second, down)
        .note(record_kind::watermark, "h", now + 91 * second, as_bytes(""))
        .take();
  };
  REQUIRE(append(*s.db, request()));
  REQUIRE(append(*s.db, request())); // tombstones are not trimmed
  const auto count = [&](std::int64_t from, std::int64_t to) {
    std::vector<record_kind> kinds;
    REQUIRE(s->ledger(now + from * second, now + to * second, [&](const ledger_entry& e) {
      CHECK(e.site == "x");
      CHECK(e.host == "h");
      CHECK(e.origin.edge == edge_id{1});
      kinds.push_back(e.kind);
    }));
    return kinds;
  };
  for (int i = 0; i < 2; ++i) {
    CHECK(count(0, 100).size() == 2);
    CHECK(count(10, 20) == std::vector{record_kind::tombstone}); // inside of its range
    CHECK(count(70, 80) == std::vector{record_kind::not_collected});
    CHECK(count(52, 55).empty());
    CHECK(count(91, 100).empty());
    s->flush();
  }
}

TEST_CASE("a record of a kind that the store does not read is kept whole, and is no loss") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto unknown = record_kind{200};
  const auto request = [&] {
    return request_builder{edge_id{1}, "x"}
        .note(unknown, "h", now, as_bytes("from the future"))
        .note(record_kind::log_chunk, "h", now + second, as_bytes("lines"))
        .note(record_kind::event, "h", now + 2 * second, as_bytes("door opened"))
        .note(record_kind::alert_transition, "h", now + 3 * second, as_bytes("fires"))
        .note(record_kind::clock_note, "", now + 4 * second, as_bytes("note"))
        .note(record_kind::watermark, "h", now + 5 * second, as_bytes("mark"))
        .take();
  };
  const auto sent = request();
  REQUIRE(append(*s.db, request()));
  const auto kept = [&](std::int64_t from, std::int64_t to) {
    std::vector<record_kind> kinds;
    REQUIRE(s->kept_records(now + from * second, now + to * second, [&](const kept_record& one) {
      const auto record = decode_record(one.bytes).value();
      CHECK(one.site == "x");
      CHECK(one.origin == sent.origin);
      CHECK(std::ranges::equal(one.bytes, sent.records.at(record.seq - 1).bytes)); // as it came
      kinds.push_back(record.kind);
    }));
    return kinds;
  };
  const auto check = [&] {
    CHECK(kept(0, 9)
          == std::vector{unknown, record_kind::log_chunk, record_kind::event, record_kind::alert_transition,
                         record_kind::clock_note});
    CHECK(kept(1, 2) == std::vector{record_kind::log_chunk, record_kind::event});
    REQUIRE(s->ledger(INT64_MIN, INT64_MAX,
                      [](const ledger_entry& e) { FAIL("an entry of kind " << static_cast<int>(e.kind)); }));
  };
  check();
  s.db.reset();
  s = open_store(small_config(dir.path())); // read back from the log
  check();
  REQUIRE(append(*s.db, request())); // a second time
  check();
  s->flush();
  std::size_t in_log = 0;
  REQUIRE(s->log_identities([&](const auto&, auto, auto) { ++in_log; }));
  CHECK(in_log == 0);
  check();
}

TEST_CASE("partitions follow the samples' times, and retention deletes whole ones") {
  const temporary_directory dir;
  auto config = small_config(dir.path());
  config.retention = std::chrono::hours{24 * 5};
  auto s = open_store(config);
  const auto set = make_set("a", 1);
  request_builder b{edge_id{1}, "x"};
  constexpr std::int64_t day = 86'400 * second;
  for (int i = 0; i < 4; ++i)
    b.values("h", set, now - i * day, {1.0 * i});
  b.values("h", set, now - 40 * day, {9}); // past retention when sealed
  REQUIRE(append(*s.db, b.take()));
  s->flush();
  CHECK(s->usage().partitions == 4);
  CHECK(s.metric("skerry_store_expired_samples_total") == 1);
  CHECK(select(*s.db, everything()).begin()->second.size() == 4);
  test_clock().wall += 4 * day;
  test_clock().monotonic += 4 * day;
  REQUIRE(append(*s.db, request_builder{edge_id{1}, "x", 10}.values("h", set, now + 4 * day, {0}).take()));
  s->flush();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  while (s.metric("skerry_store_partitions_expired_total") != 2
         && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  CHECK(s->usage().partitions == 3);
  CHECK(s.metric("skerry_store_partitions_expired_total") == 2);
  CHECK(select(*s.db, everything()).begin()->second.size() == 3);
  test_clock().wall -= 4 * day;
  test_clock().monotonic -= 4 * day;
}

TEST_CASE("times at both ends of int64 are stored and answered") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto set = make_set("a", 1);
  request_builder b{edge_id{1}, "x"};
  const std::int64_t times[] = {INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX};
  for (const auto t : times)
    b.values("h", set, t, {1});
  REQUIRE(append(*s.db, b.take()));
  const auto before = select(*s.db, everything());
  CHECK(before.begin()->second.size() == 4); // in milliseconds
  s->flush();
  CHECK(select(*s.db, everything()) == before);
}

TEST_CASE("labels of any length and content are found") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const std::string long_value(40'000, 'v');
  const std::string long_name(400, 'n');
  const std::string odd{"a\0b\xff", 4};
  std::vector<series> members;
  for (const auto& all :
       {labels{{"__name__", "x"}, {long_name, long_value}},
        labels{{"__name__", "x"}, {long_name, long_value + "2"}}, labels{{"__name__", odd}, {"l", odd}}}) {
    auto sorted = all;
    sort_labels(sorted);
    members.push_back({0, sorted});
  }
  const auto set = make_series_set({{"x", metric_type::gauge, "", ""}}, members);
  REQUIRE(append(*s.db, request_builder{edge_id{1}, "x"}.values("h", set, now, {1, 2, 3}).take()));
  for (int i = 0; i < 2; ++i) {
    CHECK(select(*s.db, matching({match(match_op::equal, long_name, long_value)})).size() == 1);
    CHECK(select(*s.db, matching({match(match_op::not_equal, long_name, long_value)})).size() == 2);
    CHECK(select(*s.db, matching({match(match_op::equal, "l", odd)})).size() == 1);
    CHECK(s->label_values(long_name, everything()).value()
          == std::vector<std::string>{long_value, long_value + "2"});
    CHECK(s->label_names(everything()).value()
          == std::vector<std::string>{"__name__", "l", long_name, "site"});
    s->flush();
  }
}

TEST_CASE("a query stops at its limit and when it is cancelled") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto set = make_set("a", 10);
  request_builder b{edge_id{1}, "x"};
  for (int i = 0; i < 100; ++i)
    b.values("h", set, now + i * second, std::vector<double>(10, 1.0));
  REQUIRE(append(*s.db, b.take()));
  std::atomic<bool> cancelled = true;
  for (int i = 0; i < 2; ++i) {
    auto r = everything();
    r.samples_max = 999;
    CHECK(s->select(r, [](const auto&) {}).error().code == errc::exhausted);
    r.samples_max = 1000;
    CHECK(s->select(r, [](const auto&) {}));
    r.cancelled = &cancelled;
    CHECK(s->select(r, [](const auto&) {}).error().code == errc::cancelled);
    s->flush();
  }
}

TEST_CASE("a store is opened by one process, and only by a build that knows its format") {
  const temporary_directory dir;
  fs::permissions(dir.path(), fs::perms{0755});
  auto s = open_store(small_config(dir.path()));
  CHECK(fs::status(dir.path()).permissions() == fs::perms{0700}); // nobody else reads it
  prometheus::Registry registry;
  const auto second_one = open_embedded_engine(small_config(dir.path()), registry);
  REQUIRE(!second_one);
  CHECK(second_one.error().code == errc::conflict);
  CHECK(second_one.error().message.find(dir.path().string()) != std::string::npos);
  s.db.reset();

  std::ifstream in{dir.path() / "FORMAT"};
  std::string line;
  std::getline(in, line);
  CHECK(line == "skerry-store 3 25db2b68e4ca0fa0");
  std::ofstream{dir.path() / "FORMAT"} << "skerry-store 3 0000000000000000\n"; // damaged: written anew
  s = open_store(small_config(dir.path()));
  s.db.reset();
  const auto refused = [&](unsigned version) {
    const auto text = fmt::format("skerry-store {}", version);
    std::ofstream{dir.path() / "FORMAT"}
        << fmt::format("{} {:016x}\n", text, XXH3_64bits(text.data(), text.size()));
    const auto opened = open_embedded_engine(small_config(dir.path()), registry);
    return !opened && opened.error().code == errc::unsupported_version ? opened.error().message
                                                                       : std::string{};
  };
  CHECK(refused(store_format + 1).find("a newer one") != std::string::npos);
  CHECK(refused(store_format - 1).find("move the directory away") != std::string::npos);
}

TEST_CASE("a bad configuration or directory is a clear error") {
  prometheus::Registry registry;
  embedded_config config;
  CHECK(open_embedded_engine(config, registry).error().code == errc::invalid_argument);
  config.directory = "/proc/no/such/place";
  const auto refused = open_embedded_engine(config, registry);
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::io);
  CHECK(refused.error().message.find("/proc/no") != std::string::npos);
}

TEST_CASE("a full disk refuses appends, and space lets them go on") {
  const temporary_directory dir;
  auto s = open_store(small_config(dir.path()));
  const auto set = make_set("a", 100);
  std::mt19937_64 rng{1};
  const auto request = [&](sequence seq) {
    request_builder b{edge_id{1}, "x", seq};
    for (int i = 0; i < 20; ++i) {
      std::vector<double> values(100);
      for (auto& v : values)
        v = std::bit_cast<double>(rng());
      b.values("h", set, now + (static_cast<std::int64_t>(seq) + i) * second, values);
    }
    return b.take();
  };
  REQUIRE(append(*s.db, request(1)));
  const auto before = select(*s.db, everything());
  // A limit on file sizes stands for the disk's end.
  struct rlimit old {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit small = old;
  small.rlim_cur = 24 << 10;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  CHECK(s->takes_data());
  const auto refused = append(*s.db, request(100));
  // A little room, as where a page came free: no batch fits, so it doesn't say that one does.
  small.rlim_cur = 24 << 10;
  for (const auto& file : fs::recursive_directory_iterator(dir.path()))
    if (file.path().filename() == "data.mdb")
      small.rlim_cur += file.file_size();
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto tries = s.metric("skerry_store_commits_failed_total");
  for (int i = 0; i < 1000 && s.metric("skerry_store_commits_failed_total") < tries + 2 && !s->takes_data();
       ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  const auto tried = s.metric("skerry_store_commits_failed_total") - tries;
  const auto stalled = s->takes_data();
  CHECK(::setrlimit(RLIMIT_FSIZE, &old) == 0);
  std::signal(SIGXFSZ, old_handler);
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::exhausted);
  CHECK_FALSE(stalled);
  CHECK(tried == 2);
  CHECK(select(*s.db, everything()) == before);
  // It finds out by itself that there is room.
  for (int i = 0; i < 1000 && !s->takes_data(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  CHECK(s->takes_data());
  REQUIRE(append(*s.db, request(100)));
  CHECK(select(*s.db, everything()).begin()->second.size() == 40);
  s.db.reset();
  s = open_store(small_config(dir.path()));
  CHECK(select(*s.db, everything()).begin()->second.size() == 40);
}

TEST_CASE("a full queue refuses at once") {
  const temporary_directory dir;
  auto config = small_config(dir.path());
  config.queue_requests_max = 1;
  auto s = open_store(config);
  const auto set = make_set("a", 1);
  std::atomic<int> done = 0;
  std::atomic<int> refused = 0;
  constexpr int n = 2000;
  for (int i = 0; i < n; ++i)
    s->append(
        request_builder{edge_id{1}, "x", static_cast<sequence>(i + 1)}.values("h", set, now + i, {1}).take(),
        [&](const result<void>& how) {
          refused += !how && how.error().code == errc::exhausted;
          ++done;
        });
  s.db.reset(); // finishes what is queued
  CHECK(done == n);
  CHECK(refused > 0);
  CHECK(refused < n);
}

TEST_CASE("a log of many commits is sound when it is opened again") {
  const temporary_directory dir;
  auto config = small_config(dir.path());
  config.log_segment_bytes = 4 << 20;
  auto s = open_store(config);
  for (int i = 0; i < 700; ++i) // keys beyond one byte
    REQUIRE(put_state(*s.db, {{"counter", std::to_string(i)}}));
  for (int restart = 0; restart < 2; ++restart) {
    s.db.reset();
    s = open_store(config);
    CHECK(s.metric("skerry_store_damaged_total") == 0);
    CHECK_FALSE(fs::exists(dir.path() / "damaged"));
    CHECK(all_state(*s.db).at("counter") == "699");
    REQUIRE(put_state(*s.db, {{"counter", "699"}}));
  }
}

namespace {

std::vector<state_update> values_of(edge_id edge, std::size_t count, std::size_t bytes) {
  std::vector<state_update> all;
  for (std::size_t i = 0; i < count; ++i)
    all.push_back({"held/0/" + to_string(edge) + "/" + std::to_string(i), std::string(bytes, 'x')});
  return all;
}

} // namespace

TEST_CASE("a log brings as much as the copy of state that it begins with before it is sealed") {
  const temporary_directory dir;
  auto config = small_config(dir.path());
  config.log_segment_bytes = 64 << 10;
  config.log_bytes_max = 64 << 20;
  auto s = open_store(config);
  REQUIRE(put_state(*s.db, values_of(edge_id{1}, 2000, 1000))); // two megabytes
  const auto set = make_set("a", 250);
  std::mt19937_64 rng{1};
  std::int64_t at = now;
  sequence seq = 1;
  const auto bring = [&](std::uint64_t bytes) { // of values that do not compress, 8 bytes each
    for (std::uint64_t done = 0; done < bytes; done += 8 * 250 * 8) {
      request_builder b{edge_id{2}, "x", seq};
      for (int i = 0; i < 8; ++i, ++seq) {
        std::vector<double> values(250);
        for (auto& v : values)
          v = std::bit_cast<double>(rng());
        b.values("h", set, at += second, values);
      }
      REQUIRE(append(*s.db, b.take()));
    }
  };
  bring(1);
  s->flush(); // the next log begins with a copy
  const auto logs = s.metric("skerry_store_logs_sealed_total");
  bring(1 << 20);
  CHECK(s.metric("skerry_store_logs_sealed_total") == logs);
  bring(3 << 20);
  s->flush(); // seals the one that is open, too
  CHECK(s.metric("skerry_store_logs_sealed_total") - logs >= 2);
  CHECK(s.metric("skerry_store_logs_sealed_total") - logs <= 4);
}

TEST_CASE("state that is larger than the whole log may be stops no append and makes no new logs") {
  const temporary_directory dir;
  auto config = small_config(dir.path());
  config.log_bytes_max = 512 << 10;
  auto s = open_store(config);
  const auto set = make_set("a", 1);
  std::vector<state_update> known;
  for (int i = 0; i < 8000; ++i)
    known.push_back({"host/0/" + std::to_string(i), std::string(200, 'h')});
  REQUIRE(put_state(*s.db, known));
  s->flush();
  for (int restart = 0; restart < 2; ++restart) {
    const auto logs = s.metric("skerry_store_logs_sealed_total");
    std::atomic<int> stored = 0;
    constexpr int appends = 50;
    for (int i = 0; i < appends; ++i) {
      std::promise<result<void>> done;
      auto future = done.get_future();
      s->append(request_builder{edge_id{1}, "x", static_cast<sequence>(restart * appends + i + 1)}
                    .values("h", set, now + restart * appends + i, {1})
                    .take(),
                [&](result<void> how) { done.set_value(std::move(how)); });
      if (future.wait_for(std::chrono::seconds{20}) != std::future_status::ready) {
        s.db.reset(); // it answers
        FAIL("an append waits for ever");
      }
      stored += future.get().has_value();
    }
    CHECK(stored == appends);
    CHECK(s.metric("skerry_store_logs_sealed_total") - logs <= 1);
    CHECK(all_state(*s.db, "host/").size() == known.size());
    s.db.reset();
    s = open_store(config);
  }
  CHECK(all_state(*s.db, "host/").size() == known.size());
}

TEST_CASE("the state of one edge's streams has a bound, at which others and what gets smaller go on") {
  const temporary_directory dir;
  auto config = small_config(dir.path());
  config.state_edge_bytes_max = 256 << 10;
  auto s = open_store(config);
  const edge_id greedy{1}, other{2};
  const std::size_t each = 1024;
  const auto key_bytes = values_of(greedy, 1, each).front().key.size();
  const auto fits = config.state_edge_bytes_max / (each + key_bytes + 2 + state_value_overhead_bytes);
  REQUIRE(put_state(*s.db, values_of(greedy, fits, each)));
  for (int restart = 0; restart < 2; ++restart) {
    INFO(restart);
    const auto over = put_state(*s.db, values_of(greedy, fits + 12, each));
    REQUIRE_FALSE(over);
    CHECK(over.error().code == errc::exhausted);
    CHECK(over.error().message.find("store.state_edge_bytes_max") != std::string::npos);
    CHECK(s.metric("skerry_store_state_refused_total") == 1);
    CHECK(all_state(*s.db, "held/0/" + to_string(greedy)).size() == fits);
    CHECK(put_state(*s.db, values_of(other, 20, each)));                // another edge
    CHECK(put_state(*s.db, values_of(greedy, fits, each - 1)));         // smaller
    CHECK(put_state(*s.db, values_of(greedy, fits, each)));             // as large as before
    CHECK(put_state(*s.db, {{"host/0/1", std::string(1 << 20, 'h')}})); // the node's own
    auto longer = values_of(greedy, 1, 2 * each);
    longer.front().appends = true;
    CHECK_FALSE(put_state(*s.db, longer));
    CHECK(put_state(*s.db, values_of(greedy, 1, 16)));
    longer.front().value.resize(each / 2);
    CHECK(put_state(*s.db, longer));
    CHECK(all_state(*s.db).at(longer.front().key).size() == 16 + each / 2);
    CHECK(put_state(*s.db, values_of(greedy, fits, each)));
    s.db.reset();
    s = open_store(config);
  }
}

TEST_CASE("where all state has no room left every edge still has a little") {
  const temporary_directory dir;
  auto config = small_config(dir.path());
  config.state_bytes_max = 1 << 20;
  config.state_edge_bytes_max = 1 << 20;
  auto s = open_store(config);
  REQUIRE(put_state(*s.db, values_of(edge_id{1}, 800, 1024)));
  const auto over = put_state(*s.db, values_of(edge_id{2}, 300, 1024));
  REQUIRE_FALSE(over);
  CHECK(over.error().message.find("store.state_bytes_max") != std::string::npos);
  for (std::uint64_t edge = 3; edge < 20; ++edge)
    CHECK(put_state(*s.db, values_of(edge_id{edge}, state_edge_bytes_min / 1400, 1024)));
}

TEST_CASE(
    "labels that are small on disk and large in memory have a log sealed, and a bound after a restart too") {
  const temporary_directory dir;
  auto config = small_config(dir.path());
  config.log_segment_bytes = 32 << 20; // no reason to seal
  config.log_bytes_max = 128 << 20;
  config.log_memory_bytes_max = 4 << 20;
  constexpr int sets = 60, members = 200, labels_of_each = 100;
  const auto dense = [](int number) {
    std::vector<series> all;
    for (int i = 0; i < members; ++i) {
      labels of{{std::string{label_name}, "m"}, {"n", std::to_string(i)}, {"set", std::to_string(number)}};
      for (int k = 0; k < labels_of_each; ++k)
        of.push_back({"l" + std::to_string(k), "v"});
      sort_labels(of);
      all.push_back({0, std::move(of)});
    }
    // As ingest has it: without members.
    return without_members(*make_series_set({{"m", metric_type::gauge, "", ""}}, std::move(all)));
  };
  auto s = open_store(config);
  double most = 0;
  for (int i = 0; i < sets; ++i) {
    frame f;
    f.time_ns = now + i;
    const auto set = dense(i);
    f.sections.push_back({set->hash, members, {}});
    f.values.assign(members, 1.0);
    REQUIRE(append(
        *s.db,
        request_builder{edge_id{1}, "x", static_cast<sequence>(i + 1)}.frame_of("h", f, {set}).take()));
    most = std::max(most, s.metric("skerry_store_log_memory_bytes"));
  }
  CHECK(most < static_cast<double>(config.log_memory_bytes_max + (1 << 20)));
  CHECK(most > static_cast<double>(config.log_memory_bytes_max / 4));
  CHECK(s.metric("skerry_store_logs_sealed_total") >= 2);
  s.db.reset();
  s = open_store(config);
  CHECK(s.metric("skerry_store_log_memory_bytes")
        < static_cast<double>(config.log_memory_bytes_max + (1 << 20)));
  CHECK(s.metric("skerry_store_log_memory_bytes") > 0);
  promql::select_request request = everything();
  std::size_t series = 0;
  REQUIRE(s->series(request, [&](const labels&) { ++series; }));
  CHECK(series == static_cast<std::size_t>(sets) * members);
}

// Not of every run: store_test "[measure]" prints what a new log costs where all state has reached its bounds.
TEST_CASE("what beginning a log costs with state at its bound", "[.][measure]") {
  for (const std::size_t hosts : {10'000, 100'000, 500'000}) {
    const temporary_directory dir;
    embedded_config config;
    config.directory = dir.path();
    auto s = open_store(config);
    for (std::size_t from = 0; from < hosts; from += 10'000) {
      std::vector<state_update> known;
      for (std::size_t i = from; i < from + 10'000; ++i)
        known.push_back({"host/0/" + to_string(edge_id{i}), std::string(100, 'h')});
      REQUIRE(put_state(*s.db, known));
    }
    const auto before = s.metric("skerry_store_log_rotation_seconds_total");
    const auto set = make_set("a", 1);
    constexpr int rotations = 5;
    for (int i = 0; i < rotations; ++i) {
      REQUIRE(append(*s.db, request_builder{edge_id{1}, "x", static_cast<sequence>(i + 1)}
                                .values("h", set, now + i, {1})
                                .take()));
      s->flush();
    }
    std::printf("%zu hosts, %.1f MB of state: %.1f ms for a new log\n", hosts,
                s.metric("skerry_store_state_bytes") / 1e6,
                (s.metric("skerry_store_log_rotation_seconds_total") - before) / rotations * 1e3);
    s.db.reset();
    const auto began = std::chrono::steady_clock::now();
    s = open_store(config);
    std::printf("%zu hosts: opened in %.0f ms\n", hosts,
                std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count() * 1e3);
  }
}
