#include "actors/promql/ast_print.hpp"
#include "actors/promql/functions.hpp"
#include "actors/promql/infos.hpp"
#include "actors/promql/parser.hpp"

#include <catch2/catch.hpp>

#include <functional>

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

TEST_CASE("misfits of types and arguments are refused in Prometheus' words") {
  const std::vector<std::pair<std::string, std::string>> table{
      {"rate(up)",
       "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"},
      {"abs(1)", "1:5: parse error: expected type instant vector in call to function \"abs\", got scalar"},
      {"abs(up[5m])",
       "1:5: parse error: expected type instant vector in call to function \"abs\", got range vector"},
      {"abs()", "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 0"},
      {"round(up, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"},
      {"label_join(up, \"a\")",
       "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 2"},
      {"nope(up)", "1:1: parse error: unknown function with name \"nope\""},
      {"abs(up,)", "1:7: parse error: trailing commas not allowed in function call args"},
      {"sum()", "1:1: parse error: no arguments for aggregate expression provided"},
      {"topk(up)",
       "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1"},
      {"topk(up, up)", "1:6: parse error: expected type scalar in aggregation parameter, got instant vector"},
      {"count_values(1, up)", "1:14: parse error: expected type string in aggregation parameter, got scalar"},
      {"sum(1)", "1:5: parse error: expected type instant vector in aggregation expression, got scalar"},
      {"sum by a (up)", "1:8: parse error: unexpected identifier \"a\" in grouping opts, expected \"(\""},
      {"sum by (5) (up)", "1:9: parse error: unexpected number \"5\" in grouping opts, expected label"},
      {"sum(up up)", "1:8: parse error: unexpected identifier \"up\" in aggregation"},
      {"1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"},
      {"1 + bool 1", "1:3: parse error: bool modifier can only be used on comparison operators"},
      {"1 and up", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"},
      {"a and on(x) group_left b", "1:1: parse error: no grouping allowed for \"and\" operation"},
      {"a + on(x) group_left(x) b",
       "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once"},
      {"a + on(x) 1", "1:1: parse error: vector matching only allowed between instant vectors"},
      {"a + group_left b", "1:5: parse error: unexpected <group_left>"},
      {"a + \"x\"", "1:5: parse error: binary expression must contain only scalar and instant vector types"},
      {"-\"x\"", "1:1: parse error: unary expression only allowed on expressions of type scalar or instant "
                 "vector, got \"string\""},
      {"1[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"},
      {"up[5m:1m", "1:9: parse error: unclosed left bracket"},
      {"up[5m:foo]", "1:7: parse error: unexpected colon 'f'"},
      {"up @ foo", "1:6: parse error: unexpected identifier \"foo\" in @, expected timestamp"},
      {"up @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"},
      {"up @ 1 [5m]", "1:8: parse error: no @ modifiers allowed before range"},
      {"up @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"},
      {"1 @ 1", "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector "
                "selector or a "
                "subquery"},
      {"sum(", "1:5: parse error: unclosed left parenthesis"},
      {"1 +", "1:4: parse error: unexpected end of input"},
      {"on", "1:1: parse error: unexpected <on>"},
  };
  for (const auto& [query, message] : table) {
    INFO(query);
    CHECK(error_of(query) == message);
  }
}

TEST_CASE("precedence and associativity") {
  // Printed with parentheses around every operator.
  const std::function<std::string(const expression&)> shape = [&](const expression& e) -> std::string {
    if (const auto* b = std::get_if<binary_expression>(&e.node))
      return fmt::format("({}{}{})", shape(*b->left), to_string(b->op), shape(*b->right));
    if (const auto* u = std::get_if<unary_expression>(&e.node))
      return fmt::format("({}{})", u->negative ? "-" : "+", shape(*u->inner));
    if (const auto* p = std::get_if<paren_expression>(&e.node))
      return shape(*p->inner);
    return to_string(e);
  };
  const std::vector<std::pair<std::string, std::string>> table{
      {"1 + 2 * 3", "(1+(2*3))"},
      {"1 - 2 - 3", "((1-2)-3)"},
      {"2 ^ 3 ^ 4", "(2^(3^4))"},
      {"2 * 3 % 4", "((2*3)%4)"},
      {"-a ^ b", "(-(a^b))"},
      {"-a * b", "((-a)*b)"},
      {"a ^ -b * c", "((a^(-b))*c)"},
      {"-1 ^ 2", "(-(1^2))"},
      {"-1 + 2", "(-1+2)"},
      {"a or b and c unless d", "(aor((bandc)unlessd))"},
      {"a == bool b + c", "(a==(b+c))"},
      {"a < b == c", "((a<b)==c)"},
      {"a atan2 b + c", "((aatan2b)+c)"},
      {"-a offset 5m", "(-a offset 5m)"},
      {"a + b offset 5m", "(a+b offset 5m)"},
      {"a + rate(b[5m:] @ 3) offset 5m", ""},
  };
  for (const auto& [query, expected] : table) {
    INFO(query);
    if (expected.empty())
      CHECK_FALSE(parse(query));
    else
      CHECK(shape(*good(query)) == expected);
  }
}

TEST_CASE("modifiers of operators and aggregations") {
  const auto e = good("a == bool on (x, y) group_right (z) b");
  const auto& b = std::get<binary_expression>(e->node);
  CHECK(b.return_bool);
  CHECK(b.matching.on);
  CHECK(b.matching.card == match_cardinality::one_to_many);
  CHECK(b.matching.labels == std::vector<std::string>{"x", "y"});
  CHECK(b.matching.include == std::vector<std::string>{"z"});
  CHECK(std::get<binary_expression>(good("a and b")->node).matching.card == match_cardinality::many_to_many);
  for (const auto* text : {"sum by (a, by) (up)", "sum(up) by (a, by)", "SUM BY (a, by,) (up)"}) {
    const auto tree = good(text);
    const auto& a = std::get<aggregation>(tree->node);
    CHECK(a.grouping == std::vector<std::string>{"a", "by"});
    CHECK_FALSE(a.without);
  }
  CHECK(std::get<aggregation>(good("topk without () (5, up)")->node).without);
}

TEST_CASE("@, offset and subqueries") {
  const auto when = [](std::string_view text) {
    const auto tree = good(text);
    if (const auto* s = std::get_if<subquery>(&tree->node))
      return s->when;
    return selector_of(*tree).when;
  };
  CHECK(when("up @ 1.5").at_ms == 1'500);
  CHECK(when("up @ -1e3 offset -5m").at_ms == -1'000'000);
  CHECK(when("up offset -5m @ -1e3").offset_ms == -300'000);
  CHECK(when("up[5m] @ start()").at == at_kind::query_start);
  CHECK(when("up[1h:5m] @ end() offset 1s").at == at_kind::query_end);
  CHECK(when("up[1h:] offset 1s").offset_ms == 1'000);
  CHECK(good("up @ 5")->step_invariant);
  CHECK_FALSE(good("up")->step_invariant);
  CHECK(good("sum(rate(up[5m] @ 5)) + 1")->step_invariant);
  CHECK_FALSE(good("timestamp(up @ 5)")->step_invariant);
  const auto tree = good("rate(up[1m])[1h:5m]");
  CHECK(std::get<subquery>(tree->node).step_ms == 300'000);
  CHECK(tree->at == position_range{0, 19});
}

TEST_CASE("a tree prints as Prometheus prints it") {
  const std::vector<std::pair<std::string, std::string>> table{
      {"sum(up)by(a,b)", "sum by (a, b) (up)"},
      {"sum by()(up)", "sum(up)"},
      {"sum without()(up)", "sum without () (up)"},
      {"topk(5,up)", "topk(5, up)"},
      {"a==bool on(x)group_left()b", "a == bool on (x) group_left () b"},
      {"a+ignoring()b", "a + b"},
      {"1+on()2", "1 + 2"},
      {"{b=\"1\",__name__=\"up\",a=~\"x\"}", "{__name__=\"up\",a=~\"x\",b=\"1\"}"},
      {"up{a='q\"'}[90s]offset 1w @ 1.5", "up{a=\"q\\\"\"}[1m30s] @ 1.500 offset 1w"},
      {"rate(up[5m])[1d:]offset -90d", "rate(up[5m])[1d:] offset -90d"},
      {"-(1e6+0.00001)*999999.5", "-(1e+06 + 1e-05) * 999999.5"},
      {"+Inf", "+Inf"},
      {"inf ^ up", "Inf ^ up"}, // Prometheus: "+Inf ^ up", which reads back as another tree
  };
  for (const auto& [query, expected] : table) {
    INFO(query);
    CHECK(to_string(*good(query)) == expected);
    CHECK(to_string(*good(expected)) == expected);
  }
  CHECK(pretty(*good("sum by (a) (rate(up[5m]))"), 10) == "sum by (a) (\n  rate(\n    up[5m]\n  )\n)");
  CHECK(pretty(*good("aaaa + bbbb"), 10) == "  aaaa\n+\n  bbbb");
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
  CHECK(selector.when.offset_ms == -300'000);
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

  CHECK(selector_of(*good("foo[5m] offset 1m")).when.offset_ms == 60'000);
  CHECK(type_of(*good("((up))")) == value_type::vector);
  CHECK(type_of(*good("up[5m]")) == value_type::matrix);
  CHECK(selector_of(*good("{__name__=\"up\"}")).name.empty());
  for (const auto* word : {"sum", "offset", "by", "and", ":a", "start", "without"})
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
  CHECK(
      error_of("1e999")
      == "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e999\": value out of range");

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
  const auto chain = [](std::string_view link, std::size_t count) {
    std::string text = "1";
    for (std::size_t i = 0; i < count; ++i)
      text += link;
    return text;
  };
  CHECK(parse(chain("+1", tree_depth_max - 1)));
  CHECK_FALSE(parse(chain("+1", tree_depth_max)));
  CHECK_FALSE(parse(chain("^1", 20'000)));
  std::string signs(60'000, '-');
  signs.back() = '1';
  CHECK_FALSE(parse(signs));
  CHECK_FALSE(parse(std::string(60'000, '(')));
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

TEST_CASE("a rate of what is no counter by its name is remarked on, each once, with its place") {
  const auto infos = [](std::string_view text) { return infos_of(*parse(text).value(), text); };
  CHECK(infos("rate(load[5m])")
        == std::vector<std::string>{"PromQL info: metric might not be a counter, name does not end in "
                                    "_total/_sum/_count/_bucket: \"load\" (1:6)"});
  CHECK(infos("sum(\n increase(a[1m])) + max_over_time(rate(b[1m])[5m:])").size() == 2);
  CHECK(infos("sum(\n increase(a[1m]))").at(0).ends_with("\"a\" (2:11)"));
  for (const auto* fine : {"rate(a_total[5m])", "rate(a_sum[5m]) / rate(a_count[5m])", "rate(a_bucket[5m])",
                           "delta(a[5m])", "rate({job=\"x\"}[5m])", "a + 1", "rate(a_total[5m:1m])"})
    CHECK(infos(fine).empty());
}
