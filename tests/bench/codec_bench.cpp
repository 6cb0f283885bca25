// The value codec on recorded scrapes: ns and bytes a value. SKERRY_SCRAPES names the files, as a shell
// pattern:
//   SKERRY_SCRAPES='scrapes/*.txt' build/release/bin/codec_bench

#include "schemas/codec/value_codec.hpp"
#include "tests/bench/replay_source.hpp"

#include <benchmark/benchmark.h>
#include <cstdlib>
#include <glob.h>
#include <iostream>

using namespace skerry;
using namespace skerry::bench;

namespace {

// A frame per step and target: 8 targets, so that no table learns one host by heart.
std::vector<std::vector<double>> frames;

bool load() {
  const char* pattern = std::getenv("SKERRY_SCRAPES");
  if (pattern == nullptr) {
    std::cerr << "codec_bench: set SKERRY_SCRAPES to a pattern of recorded scrapes\n";
    return false;
  }
  glob_t found{};
  std::vector<std::string> files;
  if (glob(pattern, 0, nullptr, &found) == 0)
    files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  auto loaded = recording::load(files);
  if (!loaded) {
    std::cerr << "codec_bench: " << loaded.error().message << '\n';
    return false;
  }
  const auto from = std::make_shared<const recording>(std::move(loaded).value());
  for (std::uint32_t t = 0; t < 8; ++t) {
    replay_target target{from, 1, t};
    for (std::uint64_t step = 0; step < from->steps(); ++step) {
      auto& frame = frames.emplace_back();
      for (std::size_t i = 0; i < from->series().size(); ++i)
        frame.push_back(std::strtod(std::string{target.value(i, step)}.c_str(), nullptr));
    }
  }
  return true;
}

void encode(benchmark::State& state) {
  value_encoder encoder;
  byte_buffer out;
  std::size_t at = 0, values = 0, bytes = 0;
  for (auto _ : state) {
    const auto& frame = frames[at++ % frames.size()];
    out.clear();
    encoder.encode(frame, out);
    values += frame.size();
    bytes += out.size();
  }
  state.counters["B/value"] = static_cast<double>(bytes) / static_cast<double>(values);
  state.counters["s/value"] = benchmark::Counter(static_cast<double>(values),
                                                 benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(encode);

void decode(benchmark::State& state) {
  value_encoder encoder;
  value_decoder decoder;
  std::vector<byte_buffer> encoded;
  for (const auto& frame : frames)
    encoder.encode(frame, encoded.emplace_back());
  std::vector<double> out;
  std::size_t at = 0, values = 0;
  for (auto _ : state) {
    const auto i = at++ % frames.size();
    out.resize(frames[i].size());
    if (!decoder.decode(encoded[i], out))
      state.SkipWithError("does not decode");
    values += out.size();
  }
  state.counters["s/value"] = benchmark::Counter(static_cast<double>(values),
                                                 benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(decode);

} // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv) || !load())
    return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
