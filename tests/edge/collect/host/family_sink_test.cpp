#include "edge/collect/host/family_sink.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::edge;
using namespace skerry::edge::host;

namespace {

std::string value_of_label(std::string_view text) {
  std::vector<collected_family> out;
  family_sink sink(out);
  sink.begin();
  sink.begin_collector(10);
  open_family f{"f", metric_type::gauge, "h"};
  sink.add(f, 1, {{"l", text}});
  sink.finish();
  return std::string(value_of(out.at(0).samples.at(0).all, "l"));
}

void fill(family_sink& sink, double value, std::string_view device, bool with_middle = true) {
  sink.begin();
  sink.begin_collector(100);
  sink.single("first", metric_type::counter, "one", value);
  open_family middle{"middle", metric_type::gauge, "two"};
  open_family last{"last", metric_type::gauge, "three"};
  if (with_middle)
    sink.add(middle, value, {{"device", device}, {"empty", ""}});
  sink.add(last, value, {{"device", device}});
  sink.add(last, value + 1, {{"device", "other"}});
  sink.finish();
}

} // namespace

TEST_CASE("a sample carries its name and its labels, without the empty ones", "[host][sink]") {
  std::vector<collected_family> out;
  family_sink sink(out);
  fill(sink, 5, "a");
  REQUIRE(out.size() == 3);
  CHECK(out[0].family == metric_family{"first", metric_type::counter, "one", ""});
  CHECK(out[1].samples.at(0).all == labels{{"__name__", "middle"}, {"device", "a"}});
  CHECK(out[2].samples.at(1).all == labels{{"__name__", "last"}, {"device", "other"}});
  CHECK(out[2].samples.at(1).value == 6);
}

TEST_CASE("a second collection writes values in place and keeps all text", "[host][sink]") {
  std::vector<collected_family> out;
  family_sink sink(out);
  fill(sink, 5, "a device with a name too long for the string itself");
  const char* text = out[2].samples[0].all[1].value.data();
  fill(sink, 7, "a device with a name too long for the string itself");
  CHECK(out[2].samples[0].all[1].value.data() == text);
  CHECK(out[2].samples[0].value == 7);
  fill(sink, 8, "b");
  CHECK(value_of(out[2].samples[0].all, "device") == "b");
}

TEST_CASE("what is gone leaves nothing behind, and what comes back is whole", "[host][sink]") {
  std::vector<collected_family> out;
  family_sink sink(out);
  fill(sink, 1, "a");
  const auto whole = out;
  fill(sink, 1, "a", false);
  REQUIRE(out.size() == 2);
  CHECK(out[1].family.name == "last");
  CHECK(out[1].family.help == "three");
  CHECK(out[1].samples.size() == 2);
  CHECK(out[1].samples[0].all == labels{{"__name__", "last"}, {"device", "a"}});
  fill(sink, 1, "a");
  REQUIRE(out.size() == 3);
  for (std::size_t i = 0; i < out.size(); ++i) {
    CHECK(out[i].family == whole[i].family);
    REQUIRE(out[i].samples.size() == whole[i].samples.size());
    for (std::size_t s = 0; s < out[i].samples.size(); ++s)
      CHECK(out[i].samples[s].all == whole[i].samples[s].all);
  }
}

TEST_CASE("samples beyond a collector's bound are dropped and counted", "[host][sink]") {
  std::vector<collected_family> out;
  family_sink sink(out);
  sink.begin();
  sink.begin_collector(2);
  open_family f{"f", metric_type::gauge, "h"};
  for (const auto* device : {"a", "b", "c", "d"})
    sink.add(f, 1, {{"device", device}});
  CHECK(sink.dropped() == 2);
  sink.begin_collector(2); // the next collector has its own bound
  sink.single("g", metric_type::gauge, "h", 1);
  CHECK(sink.dropped() == 0);
  sink.finish();
  CHECK(out.size() == 2);
  CHECK(out[0].samples.size() == 2);
}

TEST_CASE("label values become UTF-8 and are cut", "[host][sink]") {
  CHECK(value_of_label("plain") == "plain");
  CHECK(value_of_label("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80")
        == "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
  const std::string bad = "\xef\xbf\xbd";
  CHECK(value_of_label("a\xffz") == "a" + bad + "z");
  CHECK(value_of_label("\xc3") == bad);                               // cut short
  CHECK(value_of_label("\xc0\xaf") == bad + bad);                     // overlong
  CHECK(value_of_label("\xed\xa0\x80") == bad + bad + bad);           // a surrogate
  CHECK(value_of_label("\xf5\x80\x80\x80") == bad + bad + bad + bad); // beyond Unicode
  CHECK(value_of_label(std::string(label_bytes_max + 5, 'x')).size() == label_bytes_max);
  std::string wide;
  while (wide.size() <= label_bytes_max)
    wide += "\xe2\x82\xac";
  CHECK(value_of_label(wide).size() == label_bytes_max / 3 * 3); // never half a character
}

TEST_CASE("one sink's families can be added to another's", "[host][sink]") {
  std::vector<collected_family> from;
  family_sink a(from);
  fill(a, 5, "x");
  std::vector<collected_family> out;
  family_sink b(out);
  b.begin();
  b.begin_collector(100);
  b.append(from);
  b.finish();
  REQUIRE(out.size() == from.size());
  CHECK(out[2].family == from[2].family);
  CHECK(out[2].samples[1].all == from[2].samples[1].all);
  CHECK(out[2].samples[1].value == from[2].samples[1].value);
}
