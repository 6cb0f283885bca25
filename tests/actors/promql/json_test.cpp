#include "actors/promql/json.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>
#include <random>

using namespace skerry;
using namespace skerry::promql;

namespace {

template <class F, class T>
std::string made(F f, const T& value) {
  std::string out;
  f(out, value);
  return out;
}

} // namespace

TEST_CASE("numbers as Go prints them") {
  struct row {
    double value;
    std::string sample; // in a vector or matrix
    std::string scalar;
  };
  const auto infinity = std::numeric_limits<double>::infinity();
  const std::vector<row> table{
      {0, "0", "0"},
      {-0.0, "-0", "-0"},
      {1, "1", "1"},
      {-1, "-1", "-1"},
      {0.1, "0.1", "0.1"},
      {0.30000000000000004, "0.30000000000000004", "0.30000000000000004"},
      {1.5, "1.5", "1.5"},
      {-123.456, "-123.456", "-123.456"},
      {1e-6, "0.000001", "0.000001"},
      {1e-7, "1e-07", "0.0000001"},
      {-1.25e-9, "-1.25e-09", "-0.00000000125"},
      {5e-324, "5e-324", "0." + std::string(323, '0') + "5"},
      {9007199254740991, "9007199254740991", "9007199254740991"},
      {9007199254740992, "9007199254740992", "9007199254740992"},
      {123456789012345680000.0, "123456789012345680000", "123456789012345680000"},
      {1e20, "100000000000000000000", "100000000000000000000"},
      {1e21, "1e+21", "1000000000000000000000"},
      {1e23, "1e+23", "1" + std::string(23, '0')},
      {1.7976931348623157e308, "1.7976931348623157e+308", "17976931348623157" + std::string(292, '0')},
      {2251799813685248.5, "2251799813685248.5", "2251799813685248.5"},
      {1447177700.123456, "1447177700.123456", "1447177700.123456"},
      {infinity, "+Inf", "+Inf"},
      {-infinity, "-Inf", "-Inf"},
      {std::nan(""), "NaN", "NaN"},
      {-std::nan(""), "NaN", "NaN"},
  };
  for (const auto& r : table) {
    CHECK(made(append_number, r.value) == r.sample);
    CHECK(made(append_number_plain, r.value) == r.scalar);
  }
}

TEST_CASE("every number reads back bit for bit") {
  std::mt19937_64 random{42};
  for (int i = 0; i < 100'000; ++i) {
    const auto value = std::bit_cast<double>(random());
    if (!std::isfinite(value))
      continue;
    for (const auto& text : {made(append_number, value), made(append_number_plain, value)})
      if (std::bit_cast<std::uint64_t>(std::strtod(text.c_str(), nullptr))
          != std::bit_cast<std::uint64_t>(value))
        FAIL(text);
  }
}

TEST_CASE("times are seconds") {
  struct row {
    std::int64_t ms;
    std::string sample;
    std::string scalar;
  };
  const std::vector<row> table{
      {0, "0", "0"},
      {1, "0.001", "0.001"},
      {50, "0.050", "0.05"},
      {-50, "-0.050", "-0.05"},
      {-1'500, "-1.500", "-1.5"},
      {1'435'781'430'781, "1435781430.781", "1435781430.781"},
      {1'435'781'430'100, "1435781430.100", "1435781430.1"},
      {1'435'781'430'000, "1435781430", "1435781430"},
      {std::numeric_limits<std::int64_t>::min(), "-9223372036854775.808", "-9223372036854775.808"},
  };
  for (const auto& r : table) {
    CHECK(made(append_time, r.ms) == r.sample);
    CHECK(made(append_time_short, r.ms) == r.scalar);
  }
}

TEST_CASE("strings are escaped as Go's JSON escapes them") {
  const std::vector<std::pair<std::string, std::string>> table{
      {"", "\"\""},
      {"a\"b\\c", R"("a\"b\\c")"},
      {"\n\r\t\x01\x7f", "\"\\n\\r\\t\\u0001\x7f\""},
      {"<a&b>", R"("\u003ca\u0026b\u003e")"},
      {"é€😀", "\"é€😀\""},
      {"a\xff"
       "b",
       R"("a\ufffdb")"},
      {"\xc3", R"("\ufffd")"},
      {"\xed\xa0\x80", R"("\ufffd\ufffd\ufffd")"},
      {"\xc0\x80", R"("\ufffd\ufffd")"},
      {"\xf4\x90\x80\x80", R"("\ufffd\ufffd\ufffd\ufffd")"},
      {"\xe2\x80\xa8", R"("\u2028")"},
  };
  for (const auto& [text, json] : table)
    CHECK(made(append_string, std::string_view{text}) == json);
}

TEST_CASE("any bytes give valid JSON") {
  std::mt19937_64 random{7};
  for (int i = 0; i < 2'000; ++i) {
    std::string text(random() % 40, '\0');
    for (auto& c : text)
      c = static_cast<char>(random());
    CHECK(nlohmann::json::accept(made(append_string, std::string_view{text})));
  }
}

TEST_CASE("values in their envelope") {
  const labels up{{"__name__", "up"}, {"job", "p"}};
  const auto json = [](const value& v) {
    std::string out;
    append_value(out, v);
    return out;
  };
  CHECK(json(scalar_value{{1'435'781'430'100, 1e21}})
        == R"({"resultType":"scalar","result":[1435781430.1,"1000000000000000000000"]})");
  CHECK(json(string_value{1'000, "a\n"}) == R"({"resultType":"string","result":[1,"a\n"]})");
  CHECK(json(vector_value{}) == R"({"resultType":"vector","result":[]})");
  CHECK(json(vector_value{{up, {1'100, 1}}, {{}, {1'100, 2}}})
        == R"({"resultType":"vector","result":[{"metric":{"__name__":"up","job":"p"},"value":[1.100,"1"]},)"
           R"({"metric":{},"value":[1.100,"2"]}]})");
  CHECK(json(matrix_value{{up, {{1'000, 1}, {2'000, 0.5}}}})
        == R"({"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"p"},)"
           R"("values":[[1,"1"],[2,"0.5"]]}]})");
}
