#include "edge/collect/scrape/relabel.hpp"

#include <catch2/catch.hpp>

#include <optional>

using namespace skerry;
using namespace skerry::edge;

namespace {

using a = relabel_action;

labels make(std::initializer_list<label> all) {
  labels out{all};
  sort_labels(out);
  return out;
}

struct table_row {
  const char* what;
  labels before;
  std::vector<relabel_config> rules;
  std::optional<labels> after; // nullopt: dropped
};

relabel_config rule(a action, std::vector<std::string> source, std::string regex, std::string target = "",
                    std::string replacement = "$1", std::string separator = ";", std::uint64_t modulus = 0) {
  return {std::move(source),
          std::move(separator),
          std::move(regex),
          modulus,
          std::move(target),
          std::move(replacement),
          action};
}

std::vector<relabel_rule> compiled(const std::vector<relabel_config>& configs) {
  std::vector<relabel_rule> out;
  for (const auto& config : configs) {
    auto made = relabel_rule::make(config);
    if (!made)
      FAIL(made.error().message);
    out.push_back(made.value());
  }
  return out;
}

} // namespace

TEST_CASE("relabelling does what Prometheus does") {
  const labels abc = make({{"a", "foo"}, {"b", "bar"}, {"c", "baz"}});
  const std::vector<table_row> table{
      {"replace, with a group",
       abc,
       {rule(a::replace, {"a"}, "f(.*)", "d", "${1}-$1")},
       make({{"a", "foo"}, {"b", "bar"}, {"c", "baz"}, {"d", "oo-oo"}})},
      {"the second rule sees what the first did",
       abc,
       {rule(a::replace, {"a", "b"}, "(f).*;b(.*)", "a", "$1$2"),
        rule(a::replace, {"a"}, "(.+)", "d", "<$1>")},
       make({{"a", "far"}, {"b", "bar"}, {"c", "baz"}, {"d", "<far>"}})},
      {"anchored", abc, {rule(a::replace, {"a"}, "o", "d", "x")}, abc},
      {"no match leaves the target",
       make({{"a", "foo"}, {"d", "keep"}}),
       {rule(a::replace, {"a"}, "x.*", "d", "y")},
       make({{"a", "foo"}, {"d", "keep"}})},
      {"an empty result removes",
       make({{"a", "foo"}, {"d", "x"}}),
       {rule(a::replace, {"a"}, "f.*", "d", "")},
       make({{"a", "foo"}})},
      {"an absent label is empty",
       make({{"a", "foo"}}),
       {rule(a::replace, {"nope"}, "(.*)", "d", "x$1")},
       make({{"a", "foo"}, {"d", "x"}})},
      {"target from a group",
       make({{"a", "deck=upper"}}),
       {rule(a::replace, {"a"}, "(.+)=(.+)", "${1}", "${2}")},
       make({{"a", "deck=upper"}, {"deck", "upper"}})},
      {"target that is no name",
       make({{"a", "2nd=upper"}}),
       {rule(a::replace, {"a"}, "(.+)=(.+)", "${1}", "${2}")},
       make({{"a", "2nd=upper"}})},
      {"$1x is the group named 1x",
       make({{"a", "foo"}}),
       {rule(a::replace, {"a"}, "(.*)", "d", "$1x-y")},
       make({{"a", "foo"}, {"d", "-y"}})},
      {"dollars",
       make({{"a", "foo"}}),
       {rule(a::replace, {"a"}, "(.*)", "d", "$$1 $ ${ ${1 $- $99")},
       make({{"a", "foo"}, {"d", "$1 $ ${ ${1 $- "}})},
      {"named groups",
       make({{"a", "foo"}}),
       {rule(a::replace, {"a"}, "(?P<all>.*)", "d", "<$all>")},
       make({{"a", "foo"}, {"d", "<foo>"}})},
      {"separator",
       abc,
       {rule(a::replace, {"a", "b"}, "(.*)", "d", "$1", "//")},
       make({{"a", "foo"}, {"b", "bar"}, {"c", "baz"}, {"d", "foo//bar"}})},
      {"keep", abc, {rule(a::keep, {"a"}, "f.*")}, abc},
      {"keep, no match", abc, {rule(a::keep, {"a"}, "no-match")}, std::nullopt},
      {"keep, alternatives are anchored both", abc, {rule(a::keep, {"a"}, "fo|oo")}, std::nullopt},
      {"drop", abc, {rule(a::drop, {"a"}, "f.*")}, std::nullopt},
      {"drop, no match", abc, {rule(a::drop, {"a"}, "o")}, abc},
      {"drop ends it",
       abc,
       {rule(a::drop, {"a"}, ".*o.*"), rule(a::replace, {"a"}, "f(.*)", "d", "x")},
       std::nullopt},
      {"a dot is not a line break", make({{"a", "x\ny"}}), {rule(a::keep, {"a"}, ".*")}, std::nullopt},
      {"keepequal",
       make({{"a", "x"}, {"b", "x"}}),
       {rule(a::keep_equal, {"a"}, "(.*)", "b")},
       make({{"a", "x"}, {"b", "x"}})},
      {"keepequal differs", abc, {rule(a::keep_equal, {"a"}, "(.*)", "b")}, std::nullopt},
      {"dropequal", make({{"a", "x"}, {"b", "x"}}), {rule(a::drop_equal, {"a"}, "(.*)", "b")}, std::nullopt},
      {"dropequal differs", abc, {rule(a::drop_equal, {"a"}, "(.*)", "b")}, abc},
      {"hashmod",
       make({{"a", "harbour"}}),
       {rule(a::hash_mod, {"a"}, "(.*)", "d", "$1", ";", 997)},
       make({{"a", "harbour"}, {"d", "721"}})},
      {"hashmod with a line break",
       make({{"a", "two\nlines"}}),
       {rule(a::hash_mod, {"a"}, "(.*)", "d", "$1", ";", 7919)},
       make({{"a", "two\nlines"}, {"d", "4645"}})},
      {"labelmap",
       make({{"x", "1"}, {"meta_port", "2"}, {"meta_2nd", "3"}}),
       {rule(a::label_map, {}, "meta_(.+)")},
       make({{"x", "1"}, {"meta_port", "2"}, {"meta_2nd", "3"}, {"port", "2"}})},
      {"labelmap with a text",
       make({{"x", "1"}}),
       {rule(a::label_map, {}, "(x)", "", "was_${1}")},
       make({{"was_x", "1"}, {"x", "1"}})},
      {"labeldrop",
       make({{"a", "1"}, {"tmp_a", "2"}, {"tmp", "3"}}),
       {rule(a::label_drop, {}, "tmp_.*")},
       make({{"a", "1"}, {"tmp", "3"}})},
      {"labelkeep",
       make({{"a", "1"}, {"tmp_a", "2"}, {"tmp", "3"}}),
       {rule(a::label_keep, {}, "tmp_.*")},
       make({{"tmp_a", "2"}})},
      {"case",
       make({{"x", "Brücke 7 ÄÉ"}}),
       {rule(a::lowercase, {"x"}, "(.*)", "l"), rule(a::uppercase, {"x"}, "(.*)", "u")},
       make({{"x", "Brücke 7 ÄÉ"}, {"l", "brücke 7 äé"}, {"u", "BRÜCKE 7 ÄÉ"}})},
  };
  for (const auto& row : table) {
    INFO(row.what);
    auto all = row.before;
    const bool kept = relabel(all, compiled(row.rules));
    CHECK(kept == row.after.has_value());
    if (row.after)
      CHECK(to_string(all) == to_string(*row.after));
  }
}

TEST_CASE("relabel rules that can't be are refused") {
  const std::vector<relabel_config> bad{
      rule(a::hash_mod, {"a"}, "(.*)", "b"),       rule(a::replace, {"a"}, "(.*)"),
      rule(a::replace, {"a"}, "(.*)", "1a"),       rule(a::replace, {"a"}, "(.*)", "a-b"),
      rule(a::replace, {"a"}, "(.*", "b"),         rule(a::replace, {"a-b"}, "(.*)", "b"),
      rule(a::lowercase, {"a"}, "(.*)", "b", "x"), rule(a::lowercase, {"a"}, "(.*)", ""),
      rule(a::keep_equal, {"a"}, "x", "b"),        rule(a::drop_equal, {"a"}, "(.*)", "b", "$1", ","),
      rule(a::label_map, {}, "(.*)", "", "1"),     rule(a::label_drop, {"a"}, "(.*)"),
      rule(a::label_keep, {}, "(.*)", "b"),        rule(a::hash_mod, {"a"}, "(.*)", "${1}", "$1", ";", 4),
  };
  for (const auto& config : bad) {
    INFO(config.target_label << " " << config.regex);
    const auto made = relabel_rule::make(config);
    CHECK_FALSE(made);
  }
  CHECK(parse_relabel_action("KeepEqual").value() == a::keep_equal);
  CHECK_FALSE(parse_relabel_action("nonsense"));
}
