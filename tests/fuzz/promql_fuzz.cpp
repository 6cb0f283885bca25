// Any text to the PromQL parser: it must answer with a tree or with a message, and what parses must evaluate.

#include "actors/promql/evaluator.hpp"
#include "actors/promql/json.hpp"
#include "actors/promql/parser.hpp"
#include "tests/actors/promql/memory_source.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace skerry::promql;
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  static test::memory_source source = [] {
    test::memory_source made;
    made.add({{"__name__", "up"}, {"a", "b"}}, {{0, 1}, {1'000, stale_marker()}, {2'000, -0.0}});
    return made;
  }();
  const auto selector = parse_selector(text);
  const auto tree = parse(text);
  if (!tree) {
    if (tree.error().message.empty())
      std::abort();
    return 0;
  }
  if (tree.value()->at.end > size)
    std::abort();
  std::string json;
  if (const auto found = evaluate_instant(*tree.value(), source, 2'000, {}))
    append_value(json, found.value());
  if (const auto found = evaluate_range(*tree.value(), source, {0, 5'000, 500}, {}))
    append_value(json, found.value());
  return selector && type_of(*tree.value()) != value_type::vector ? (std::abort(), 1) : 0;
}
