// What a pushed sample costs between the decoded request and its encoded frame.
//
//   push_bench [--series N] [--requests N]
//
// A sender with N series on ten hosts sends all of them with each request, 15 s apart. Two in a hundred are new.

#include "actors/push/push_assembler.hpp"
#include "tests/actors/push/write_builder.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>
#include <time.h>

namespace {

using namespace skerry;
using namespace skerry::push;

std::int64_t cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

std::string make_request(std::size_t series, std::size_t number) {
  write_builder out;
  for (std::size_t i = 0; i < series; ++i) {
    const auto id = i % 50 == 0 ? i + number * series : i;
    out.series(
        {{"__name__", fmt::format("metric_{}", i % 300)},
         {"host", fmt::format("host-{}", i % 10)},
         {"id", std::to_string(id)},
         {"job", "bench"}},
        {{static_cast<std::int64_t>(1'700'000'000'000 + number * 15'000), static_cast<double>(i * number)}});
  }
  return out.message();
}

} // namespace

int main(int argc, char** argv) {
  std::size_t series = 5'000, requests = 100;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view arg{argv[i]};
    (arg == "--series" ? series : requests) = std::strtoul(argv[i + 1], nullptr, 10);
  }
  push_assembler assembler;
  write_request request;
  std::int64_t spent_ns = 0;
  std::uint64_t samples = 0;
  for (std::size_t number = 0; number <= requests; ++number) {
    if (!request.decode_message(make_request(series, number)))
      return 1;
    const auto start = cpu_ns();
    const auto made = assembler.add(request, {"bench"});
    if (number == 0)
      continue; // series are made
    spent_ns += cpu_ns() - start;
    samples += made.samples;
  }
  fmt::print("samples {}  ns/sample {:.1f}  series {}  memory bytes/series {:.0f}\n", samples,
             static_cast<double>(spent_ns) / static_cast<double>(samples), assembler.series_count(),
             static_cast<double>(assembler.memory_bytes()) / static_cast<double>(assembler.series_count()));
  return 0;
}
