// Any text to the PromQL parser: it must answer with a tree or with a message; a tree must print as text that parses
// to the same, and must evaluate.

#include "actors/promql/ast_print.hpp"
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
    made.add({{"__name__", "up"}, {"a", "c"}}, {{500, 1}, {1'500, 1e308}, {2'000, 3}, {2'500, 0}});
    made.add({{"__name__", "b_bucket"}, {"le", "1"}}, {{0, 1}, {2'000, 2}});
    made.add({{"__name__", "b_bucket"}, {"le", "+Inf"}}, {{0, 3}, {2'000, 4}});
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
  const auto printed = to_string(*tree.value());
  if (const auto again = parse(printed);
      again ? to_string(*again.value()) != printed : printed.size() <= query_bytes_max)
    std::abort();
  static_cast<void>(pretty(*tree.value()));
  std::string json;
  evaluate_options options;
  options.samples_max = 1'000; // a query may ask for more than this machine has
  const auto some_time = [&] {
    options.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds{50};
    return options;
  };
  if (const auto found = evaluate_instant(*tree.value(), source, 2'000, some_time()))
    append_value(json, found.value());
  if (const auto found = evaluate_range(*tree.value(), source, {0, 5'000, 500}, some_time()))
    append_value(json, found.value());
  return selector && type_of(*tree.value()) != value_type::vector ? (std::abort(), 1) : 0;
}
