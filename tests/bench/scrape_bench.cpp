// What a sample costs between the received page and the encoded frame.
//
//   scrape_bench [--targets N] [--rounds N] PAGE…
//
// The pages are recorded scrapes of one target, in order; every target gets them round robin, each with its
// own memory, so that caches are as cold as with real targets.

#include "edge/collect/frame_assembler.hpp"
#include "edge/collect/scrape/exposition_parser.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string_view>
#include <time.h>

namespace {

using namespace skerry;
using namespace skerry::edge;

std::int64_t cpu_ns() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

struct labelled : series_resolver {
  frame_assembler* into = nullptr;
  std::string instance;

  series_ref resolve(const metric_family& family, labels& exposed) override {
    exposed.push_back({"instance", instance});
    exposed.push_back({"job", "bench"});
    sort_labels(exposed);
    return into->intern(family, exposed);
  }
};

struct target {
  frame_assembler assembler;
  exposition_parser parser;
  labelled resolver;
};

} // namespace

int main(int argc, char** argv) {
  std::size_t target_count = 200;
  std::size_t rounds = 100;
  std::vector<std::string> pages;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg{argv[i]};
    if (arg == "--targets" && i + 1 < argc) {
      target_count = std::strtoul(argv[++i], nullptr, 10);
    } else if (arg == "--rounds" && i + 1 < argc) {
      rounds = std::strtoul(argv[++i], nullptr, 10);
    } else {
      std::ifstream in{argv[i], std::ios::binary};
      pages.emplace_back(std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{});
    }
  }
  if (pages.empty() || target_count == 0) {
    fmt::print(stderr, "usage: scrape_bench [--targets N] [--rounds N] PAGE…\n");
    return 2;
  }
  std::vector<std::unique_ptr<target>> targets;
  for (std::size_t t = 0; t < target_count; ++t) {
    targets.push_back(std::make_unique<target>(target{{}, exposition_parser{true}, {}}));
    targets.back()->resolver.into = &targets.back()->assembler;
    targets.back()->resolver.instance = fmt::format("host-{:04}:9100", t);
  }

  std::int64_t parse_ns = 0;
  std::int64_t finish_ns = 0;
  std::int64_t encode_ns = 0;
  std::uint64_t samples = 0;
  std::uint64_t page_bytes = 0;
  std::uint64_t frame_bytes = 0;
  value_decoder decoder;
  value_encoder encoder;
  frame decoded;
  byte_buffer bytes;
  std::string page;
  for (std::size_t round = 0; round <= rounds; ++round) {
    for (std::size_t t = 0; t < target_count; ++t) {
      auto& to = *targets[t];
      page = pages[(round + t) % pages.size()];
      const auto size = page.size();
      const auto time_ns = static_cast<std::int64_t>(1'700'000'000'000 + round * 1000) * 1'000'000;
      const auto start = cpu_ns();
      to.assembler.begin();
      const auto report = to.parser.parse(page, exposition_format::text, to.assembler, to.resolver);
      const auto parsed = cpu_ns();
      const auto made = to.assembler.finish(time_ns, time_ns, "host");
      const auto finished = cpu_ns();
      if (round == 0)
        continue; // series are made
      if (t % 8 == 0) {
        if (!decode_frame(made.records.at(0).payload, decoder, decoded))
          return 1;
        bytes.clear();
        const auto from = cpu_ns();
        encoder.encode(decoded.values, bytes);
        encode_ns += (cpu_ns() - from) * 8;
      }
      parse_ns += parsed - start;
      finish_ns += finished - parsed;
      samples += report.kept;
      page_bytes += size;
      for (const auto& record : made.records)
        frame_bytes += record.payload.size();
    }
  }
  std::size_t memory = 0;
  for (const auto& t : targets)
    memory += t->assembler.memory_bytes() + t->parser.memory_bytes();
  const auto per = [&](auto ns) { return static_cast<double>(ns) / static_cast<double>(samples); };
  fmt::print("samples {}  page bytes/sample {:.1f}  frame bytes/sample {:.2f}  memory bytes/series {:.0f}\n",
             samples, per(page_bytes), per(frame_bytes),
             static_cast<double>(memory) * static_cast<double>(rounds) / static_cast<double>(samples));
  fmt::print("ns/sample: parse {:.1f}  assemble {:.1f}  encode {:.1f}  sum {:.1f}\n", per(parse_ns),
             per(finish_ns - encode_ns), per(encode_ns), per(parse_ns + finish_ns));
  return 0;
}
