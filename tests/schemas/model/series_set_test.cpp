#include "schemas/model/series.hpp"
#include "tests/schemas/support.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::test;

namespace {

series_set_ptr sample_set() {
  return make_series_set({{"cpu_seconds_total", metric_type::counter, "Time spent.", "seconds"},
                          {"up", metric_type::gauge, "", ""}},
                         {{0, {{"__name__", "cpu_seconds_total"}, {"cpu", "0"}, {"mode", "idle"}}},
                          {0, {{"__name__", "cpu_seconds_total"}, {"cpu", "1"}, {"mode", "idle"}}},
                          {1, {{"__name__", "up"}}}});
}

bool same(const series_set& a, const series_set& b) {
  if (a.hash != b.hash || a.families != b.families || a.members.size() != b.members.size())
    return false;
  for (std::size_t i = 0; i < a.members.size(); ++i)
    if (a.members[i].family != b.members[i].family || a.members[i].all != b.members[i].all)
      return false;
  return true;
}

} // namespace

TEST_CASE("a series set has golden bytes and a golden name") {
  constexpr auto golden =
      "010b116370755f7365636f6e64735f746f74616c0b54696d65207370656e742e077365636f6e647302757000085f5f6e616d65"
      "5f5f036370750130046d6f64650469646c65013102010001020203040403000305000607080900030500060a080901010503";
  const auto set = sample_set();
  CHECK(hex(set->encoded.view) == golden);
  CHECK(to_string(set->hash) == "4be662b0f9b68274978258bbcf41ffe4");
  const auto back = decode_series_set(shared_bytes::take(unhex(golden)));
  REQUIRE(back);
  CHECK(same(*set, *back.value()));
}

TEST_CASE("the name of a set is BLAKE2b-128 of its bytes") {
  CHECK(to_string(hash_set(as_bytes(""))) == "cae66941d9efbd404e4d88758ea67670");
  CHECK(to_string(hash_set(as_bytes("abc"))) == "cf4ab791c62b8d2b2109c90275287816");
}

TEST_CASE("random sets come back, and equal content has an equal name") {
  const auto seed = pick_seed();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  for (int round = 0; round < 60; ++round) {
    std::vector<metric_family> families(1 + random() % 20);
    for (auto& f : families)
      f = {fmt::format("m{}", random() % 1000), metric_type{static_cast<std::uint8_t>(random() % 8)},
           std::string(random() % 200, 'h'), random() % 2 ? "bytes" : ""};
    std::vector<series> members(1 + random() % set_series_max);
    for (auto& m : members) {
      m.family = static_cast<std::uint32_t>(random() % families.size());
      m.all.push_back({std::string{label_name}, families[m.family].name});
      for (auto n = random() % 12; n > 0; --n)
        m.all.push_back(
            {fmt::format("l{}", random() % 50), std::string(random() % 40, static_cast<char>(random()))});
      sort_labels(m.all);
    }
    const auto set = make_series_set(families, members);
    const auto back = decode_series_set(set->encoded);
    REQUIRE(back);
    CHECK(same(*set, *back.value()));
    CHECK(make_series_set(families, members)->hash == set->hash);
    members.back().all.push_back({"zzz", "1"});
    CHECK(make_series_set(families, members)->hash != set->hash);
  }
}

TEST_CASE("damaged sets never crash, and what decodes has another name") {
  const auto set = sample_set();
  each_damage(set->encoded.view, [&](const byte_buffer& in) {
    const auto r = decode_series_set(shared_bytes::take(byte_buffer{in}));
    if (r)
      CHECK(r.value()->hash != set->hash);
    else
      CHECK((r.error().code == errc::malformed || r.error().code == errc::unsupported_version));
  });
}

TEST_CASE("a set that claims more than its bounds is refused") {
  const auto code = [&](std::string_view text) {
    const auto r = decode_series_set(shared_bytes::take(unhex(text)));
    return r ? errc{} : r.error().code;
  };
  CHECK(code("") == errc::malformed);
  // An empty value is no label.
  CHECK_FALSE(decode_series_set(
      make_series_set({{"m", metric_type::gauge, "", ""}}, {{0, {{"__name__", "m"}, {"site", ""}}}})
          ->encoded));
  CHECK(code("02") == errc::unsupported_version);
  CHECK(code("01ffffffffffffffff7f") == errc::malformed); // strings without end
  CHECK(code("0100"
             "01"
             "00000000"
             "00")
        == errc::malformed); // no member
  // Two strings "a", "b"; one family; one member {a="b"}: good. Then: unknown string, unknown family, twice
  // the name.
  CHECK(code("010201610162"
             "0100000000"
             "01"
             "00010001")
        == errc{});
  CHECK(code("010201610162"
             "0100000000"
             "01"
             "00010002")
        == errc::malformed);
  CHECK(code("010201610162"
             "0100000000"
             "01"
             "01010001")
        == errc::malformed);
  CHECK(code("010201610162"
             "0100000000"
             "01"
             "000200010001")
        == errc::malformed);
  CHECK(code("010201610162"
             "0100000000"
             "01"
             "0001000100")
        == errc::malformed); // bytes left over
}

TEST_CASE("a small set that would grow to gigabytes is refused") {
  constexpr std::size_t names = 256;
  byte_buffer bytes;
  byte_writer w{bytes};
  w.fixed(std::uint8_t{1});
  w.varint(names + 1);
  for (std::size_t i = 0; i < names; ++i)
    w.text(fmt::format("n{:03}", i));
  w.text(std::string(label_value_bytes_max, 'x'));
  w.varint(1);
  for (int i = 0; i < 4; ++i)
    w.fixed(std::uint8_t{0});
  w.varint(set_series_max);
  for (std::size_t m = 0; m < set_series_max; ++m) {
    w.varint(0);
    w.varint(names);
    for (std::size_t i = 0; i < names; ++i) {
      w.varint(i);
      w.varint(names);
    }
  }
  CHECK(bytes.size() < 400'000);
  CHECK(decode_series_set(shared_bytes::take(std::move(bytes))).error().code == errc::malformed);
}

TEST_CASE("labels are sorted, empty ones dropped, the last of equal names wins") {
  labels all{{"b", "1"}, {"a", "x"}, {"c", ""}, {"b", "2"}, {"__name__", "m"}};
  sort_labels(all);
  CHECK(to_string(all) == "m{a=\"x\",b=\"2\"}");
  CHECK(value_of(all, "b") == "2");
  CHECK(value_of(all, "c").empty());
  CHECK(to_string(labels{{"a", "q\"\\\n"}}) == "{a=\"q\\\"\\\\\\n\"}");
  CHECK(to_string(labels{}) == "{}");
  labels emptied{{"a", "1"}, {"a", ""}};
  sort_labels(emptied);
  CHECK(emptied.empty());
}
