#include "actors/promql/parser.hpp"

#include <catch2/catch.hpp>

using namespace skerry;
using namespace skerry::promql;

namespace {

std::string error_of(std::string_view query) {
  const auto parsed = parse(query);
  return parsed ? "no error" : parsed.error().message;
}

expression_ptr good(std::string_view query) {
  INFO(query);
  auto parsed = parse(query);
  if (!parsed)
    FAIL(parsed.error().message);
  return std::move(parsed.value());
}

const vector_selector& selector_of(const expression& e) {
  if (const auto* m = std::get_if<matrix_selector>(&e.node))
    return m->selector;
  if (const auto* p = std::get_if<paren_expression>(&e.node))
    return selector_of(*p->inner);
  return std::get<vector_selector>(e.node);
}

} // namespace

TEST_CASE("what Prometheus 2.42 refuses is refused in its words and at its place") {
  const std::vector<std::pair<std::string, std::string>> table{
      {"", "1:1: parse error: no expression found in input"},
      {"   ", "1:1: parse error: no expression found in input"},
      {"# comment", "1:1: parse error: no expression found in input"},
      {"up{", "1:4: parse error: unexpected end of input inside braces"},
      {"up{a", "1:5: parse error: unexpected end of input inside braces"},
      {"up{a=", "1:6: parse error: unexpected end of input inside braces"},
      {"up{a=\"b\"", "1:9: parse error: unexpected end of input inside braces"},
      {"up{,}", "1:4: parse error: unexpected \",\" in label matching, expected identifier or \"}\""},
      {"{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"},
      {"{a=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"},
      {R"(up{a="\q"})", "1:6: parse error: unknown escape sequence U+0071 'q'"},
      {"up{a=\"x", "1:6: parse error: unterminated quoted string"},
      {"\"abc", "1:1: parse error: unterminated quoted string"},
      {"\"abc\ndef\"", "1:1: parse error: unterminated quoted string"},
      {"`abc", "1:1: parse error: unterminated raw string"},
      {"foo bar", "1:5: parse error: unexpected identifier \"bar\""},
      {"foo\n  bar", "2:3: parse error: unexpected identifier \"bar\""},
      {"foo{} bar", "1:7: parse error: unexpected identifier \"bar\""},
      {"foo{}[5m", "1:9: parse error: unclosed left bracket"},
      {"foo{}[5]", "1:7: parse error: missing unit character in duration"},
      {"foo{}[0s]", "1:7: parse error: duration must be greater than 0"},
      {"foo[5m][5m]", "1:8: parse error: ranges only allowed for vector selectors"},
      {"foo offset", "1:11: parse error: unexpected end of input in offset, expected duration"},
      {"foo offset 5", "1:12: parse error: unexpected number \"5\" in offset, expected duration"},
      {"foo offset 5m offset 5m", "1:1: parse error: offset may not be set multiple times"},
      {"up offset 5m[5m]", "1:13: parse error: no offset modifiers allowed before range"},
      {"1_000", "1:1: parse error: bad number or duration syntax: \"1\""},
      {"(up", "1:4: parse error: unclosed left parenthesis"},
      {"up)", "1:3: parse error: unexpected right parenthesis ')'"},
      {"up{__name__=\"x\"}", "1:1: parse error: metric name must not be set twice: \"up\" or \"x\""},
      {"up{a!\"b\"}", "1:5: parse error: unexpected character after '!' inside braces: '\"'"},
      {"up{a==\"b\"}", "1:6: parse error: unexpected \"=\" in label matching, expected string"},
      {"up{a=\"b\" c=\"d\"}",
       "1:10: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\""},
      {"up{1a=\"b\"}", "1:4: parse error: unexpected character inside braces: '1'"},
      {"up{a=b}", "1:6: parse error: unexpected identifier \"b\" in label matching, expected string"},
      {"up{a=\"b\"}}", "1:10: parse error: unexpected character: '}'"},
      {"&", "1:1: parse error: unexpected character: '&'"},
      {"$", "1:1: parse error: unexpected character: '$'"},
      {"é", "1:1: parse error: unexpected character: 'é'"},
      {"up[1m1h]", "1:4: parse error: not a valid duration string: \"1m1h\""},
      {"up[5m5]", "1:4: parse error: bad duration syntax: \"5m5\""},
      {"up[-5m]", "1:4: parse error: missing unit character in duration"},
      {"up[5y1000000w]", "1:4: parse error: duration out of range"},
      {"(up)[5m]", "1:5: parse error: ranges only allowed for vector selectors"},
      {"1[5m]", "1:2: parse error: ranges only allowed for vector selectors"},
      {"\"a\"[5m]", "1:4: parse error: ranges only allowed for vector selectors"},
      {"1 offset 5m",
       "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector "
       "selector or a subquery"},
      {"(up) offset 5m",
       "1:1: parse error: offset modifier must be preceded by an instant vector selector or range "
       "vector selector or a subquery"},
      {"bool", "1:1: parse error: unexpected <bool>"},
      {"nan{}", "1:4: parse error: unexpected \"{\""},
  };
  for (const auto& [query, message] : table) {
    INFO(query);
    CHECK(error_of(query) == message);
  }
}

TEST_CASE("what this version does not evaluate is named with its place") {
  const std::vector<std::pair<std::string, std::string>> table{
      {"up + 1", "1:4: parse error: the binary operator \"+\" is not supported"},
      {"(up == 1)", "1:5: parse error: the binary operator \"==\" is not supported"},
      {"up and up", "1:4: parse error: the binary operator \"and\" is not supported"},
      {"-up", "1:1: parse error: the unary operator \"-\" is not supported"},
      {"sum(up)", "1:1: parse error: the aggregation \"sum\" is not supported"},
      {"sum by (a) (up)", "1:1: parse error: the aggregation \"sum\" is not supported"},
      {"rate(up[5m])", "1:1: parse error: the function \"rate\" is not supported"},
      {"up[5m:1m]", "1:3: parse error: a subquery is not supported"},
      {"up @ 1", "1:4: parse error: the modifier \"@\" is not supported"},
  };
  for (const auto& [query, message] : table) {
    INFO(query);
    CHECK_THAT(error_of(query), Catch::Matchers::StartsWith(message));
  }
}

TEST_CASE("selectors keep name, matchers, offset, range and place") {
  const auto plain = good("up");
  CHECK(plain->at == position_range{0, 2});
  CHECK(selector_of(*plain).name == "up");

  const std::string_view text = "  a:b{x=\"1\", y!='2',z=~`3\\d`, w!~\"4\",}[1h30m] offset -5m # end";
  const auto full = good(text);
  CHECK(full->at.begin == 2);
  CHECK(full->at.end == text.find(" # end"));
  const auto& selector = selector_of(*full);
  CHECK(selector.offset_ms == -300'000);
  CHECK(std::get<matrix_selector>(full->node).range_ms == 5'400'000);
  REQUIRE(selector.matchers.size() == 5);
  CHECK(selector.matchers[0].op() == match_op::equal);
  CHECK(selector.matchers[1].op() == match_op::not_equal);
  CHECK(selector.matchers[1].value() == "2");
  CHECK(selector.matchers[2].op() == match_op::regex);
  CHECK(selector.matchers[2].value() == "3\\d");
  CHECK(selector.matchers[3].op() == match_op::not_regex);
  CHECK(selector.matchers[4].name() == "__name__");
  CHECK(selector.matchers[4].value() == "a:b");

  CHECK(selector_of(*good("foo[5m] offset 1m")).offset_ms == 60'000);
  CHECK(type_of(*good("((up))")) == value_type::vector);
  CHECK(type_of(*good("up[5m]")) == value_type::matrix);
  CHECK(selector_of(*good("{__name__=\"up\"}")).name.empty());
  for (const auto* word : {"sum", "offset", "by", "and", ":a", "start"})
    CHECK(selector_of(*good(word)).name == word);
}

TEST_CASE("number and string literals") {
  const auto number = [](std::string_view query) {
    return std::get<number_literal>(good(query)->node).value;
  };
  CHECK(number("1") == 1);
  CHECK(number("-1.5") == -1.5);
  CHECK(number("+2") == 2);
  CHECK(std::signbit(number("-0")));
  CHECK(number("0x1F") == 31);
  CHECK(number("017") == 15);
  CHECK(number("08") == 8);
  CHECK(number(".5") == 0.5);
  CHECK(number("5e-324") == 5e-324);
  CHECK(number("1e-999") == 0);
  CHECK(number("123456789012345678901234") == 123456789012345678901234.0);
  CHECK(std::isinf(number("-Inf")));
  CHECK(std::isnan(number("NaN")));
  CHECK(error_of("1e999") == "1:1: parse error: error parsing number: \"1e999\": invalid syntax");

  const auto text = [](std::string_view query) { return std::get<string_literal>(good(query)->node).text; };
  CHECK(text(R"("a\nb\t\"\\")") == "a\nb\t\"\\");
  CHECK(text(R"('a"b\'')") == "a\"b'");
  CHECK(text(R"(`a\nb`)") == "a\\nb");
  CHECK(text(R"("\xff\101\u00e9\U0001F600")")
        == "\xff"
           "Aé\xF0\x9F\x98\x80");
}

TEST_CASE("durations as Prometheus reads them") {
  const auto ms = [](std::string_view text) { return parse_duration_ms(text).value(); };
  CHECK(ms("0") == 0);
  CHECK(ms("1y2w3d4h5m6s7ms") == ((365LL + 14 + 3) * 86'400 + 4 * 3'600 + 5 * 60 + 6) * 1'000 + 7);
  for (const auto* bad :
       {"", "1", "s", "1h1h", "1s1m", "-1s", "1.5h", "1 s", "99999999999999999999s", "300y"})
    CHECK_FALSE(parse_duration_ms(bad));
}

TEST_CASE("match[] takes a selector alone") {
  CHECK(parse_selector("up{a=\"b\"}").value().size() == 2);
  CHECK(parse_selector("sum(up)").error().message == "1:4: parse error: unexpected \"(\"");
  CHECK(parse_selector("up[5m]").error().message == "1:3: parse error: unexpected \"[\"");
  CHECK_FALSE(parse_selector("1"));
  CHECK_FALSE(parse_selector(""));
}

TEST_CASE("a query is bounded in bytes, depth and matchers") {
  CHECK_FALSE(parse(std::string(query_bytes_max + 1, 'a')));
  const auto nested = [](std::size_t depth) {
    std::string text = "up";
    text.insert(0, depth, '(');
    text.append(depth, ')');
    return text;
  };
  CHECK(parse(nested(depth_max)));
  CHECK_FALSE(parse(nested(depth_max + 1)));
  std::string many = "up{";
  for (std::size_t i = 0; i <= matchers_max; ++i)
    many += "a=\"b\",";
  CHECK_FALSE(parse(many + "}"));
}

TEST_CASE("matchers are anchored and see an absent label as empty") {
  const auto make = [](match_op op, std::string value) {
    return matcher::make(op, "a", std::move(value)).value();
  };
  CHECK(make(match_op::equal, "").matches(""));
  CHECK(make(match_op::not_equal, "x").matches(""));
  CHECK(make(match_op::regex, "a|b.").matches("bc"));
  CHECK_FALSE(make(match_op::regex, "a|b.").matches("abc"));
  CHECK(make(match_op::not_regex, "a.*").matches("ba"));
  CHECK(make(match_op::regex, "plain").matches("plain"));
  CHECK_FALSE(make(match_op::regex, "plain").matches("plains"));
  CHECK(make(match_op::regex, "(?i:PRO).*").matches("production"));
  const auto bad = matcher::make(match_op::regex, "a", "(");
  REQUIRE_FALSE(bad);
  CHECK(bad.error().message == "error parsing regexp: missing ): ^(?:()$");
  CHECK(error_of("up{a=~\"(\"}") == "1:4: parse error: " + bad.error().message);
}
