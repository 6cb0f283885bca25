// Computes again what replay_server served: values of any (target, step) from the recording and the seed.
//
//   replay_values --seed 1 --target 3 --step 17 scrapes/*.txt       the body, as served
//   replay_values --seed 1 --pairs FILE|- --tsv scrapes/*.txt       target, step, series, value for each line
//                                                                   "target step …" of FILE, such as a
//                                                                   journal

#include "tests/bench/replay_source.hpp"

#include <CLI/CLI.hpp>

#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

using namespace skerry::bench;

int main(int argc, char** argv) {
  CLI::App app{"Computes again what replay_server served"};
  std::vector<std::string> files;
  std::string pairs, match;
  std::uint64_t seed = 1, step = 0;
  std::uint32_t target = 0;
  bool tsv = false;
  app.add_option("files", files, "The scrapes that replay_server was given, in the same order")->required();
  app.add_option("--seed", seed, "The seed that it was given (1)");
  app.add_option("--target", target, "Which target (0)");
  app.add_option("--step", step, "Which step (0)");
  app.add_option("--pairs", pairs,
                 "Read lines 'target step …' from this file (-: standard input); '#' starts a comment");
  app.add_flag("--tsv", tsv, "Print target, step, series, value; not the body");
  app.add_option("--match", match, "With --tsv: only series that start with this");
  CLI11_PARSE(app, argc, argv);

  auto loaded = recording::load(files);
  if (!loaded) {
    std::cerr << "replay_values: " << loaded.error().message << '\n';
    return 1;
  }
  const auto from = std::make_shared<const recording>(std::move(loaded).value());
  struct known {
    replay_target source;
    std::vector<std::string> series;
  };
  std::map<std::uint32_t, known> targets;
  std::string out;
  const auto print = [&](std::uint32_t t, std::uint64_t s) {
    auto it = targets.find(t);
    if (it == targets.end()) {
      it = targets.emplace(t, known{replay_target{from, seed, t}, {}}).first;
      for (std::size_t i = 0; i < from->series().size(); ++i)
        it->second.series.push_back(it->second.source.series_text(i));
    }
    if (!tsv) {
      it->second.source.render(s, out);
    } else {
      out.clear();
      const auto line = [&](std::string_view series, std::string_view value) {
        if (series.starts_with(match))
          out.append(std::to_string(t))
              .append(1, '\t')
              .append(std::to_string(s))
              .append(1, '\t')
              .append(series)
              .append(1, '\t')
              .append(value)
              .append(1, '\n');
      };
      for (std::size_t i = 0; i < from->series().size(); ++i)
        line(it->second.series[i], it->second.source.value(i, s));
      line(step_series, std::to_string(s));
    }
    std::cout << out;
  };
  std::ios::sync_with_stdio(false);
  if (pairs.empty()) {
    print(target, step);
    return 0;
  }
  std::ifstream file;
  if (pairs != "-")
    file.open(pairs);
  std::istream& in = pairs == "-" ? std::cin : file;
  if (!in) {
    std::cerr << "replay_values: cannot read " << pairs << '\n';
    return 1;
  }
  for (std::string line; std::getline(in, line);) {
    std::istringstream words{line};
    if (line.empty() || line.front() == '#')
      continue;
    if (!(words >> target >> step)) {
      std::cerr << "replay_values: no 'target step': " << line << '\n';
      return 1;
    }
    print(target, step);
  }
  return 0;
}
