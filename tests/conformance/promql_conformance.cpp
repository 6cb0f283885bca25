// promql_conformance [--sealed] FILE…: runs scripts of Prometheus' test language against the real store and engine.
//
// Prints, per file, how many cases passed and failed, and each failed one with its line, what was expected and
// what came. With --sealed, what was loaded is moved into partitions before it is queried.
// Exit codes: 0 all passed, 1 a case failed, 2 a file can't be read or has no case, or a store can't be made.

#include "tests/conformance/check.hpp"
#include "tests/conformance/loaded_store.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <fstream>
#include <sstream>

namespace skerry::conformance {

namespace {

struct tally {
  std::size_t passed = 0;
  std::size_t failed = 0;
};

// Loads, clears and so on; no eval.
result<void> change_store(const command& c, std::unique_ptr<loaded_store>& store, bool sealed) {
  if (c.kind == command_kind::clear) {
    store.reset();
    BOOST_OUTCOME_TRY(fresh, loaded_store::make());
    store = std::move(fresh);
  } else if (c.kind == command_kind::load) {
    BOOST_OUTCOME_TRYV(store->load(c.load));
  } else if (c.kind == command_kind::restart) {
    BOOST_OUTCOME_TRYV(store->restart());
  }
  if (c.kind == command_kind::seal || (c.kind == command_kind::load && sealed))
    store->seal();
  return ok();
}

result<tally> run_script(const std::string& file, const std::vector<command>& script, bool sealed) {
  tally done;
  BOOST_OUTCOME_TRY(store, loaded_store::make());
  for (const auto& c : script) {
    if (c.kind != command_kind::eval) {
      BOOST_OUTCOME_TRYV(change_store(c, store, sealed));
      continue;
    }
    const auto wrong = check(c.eval, store->source());
    ++(wrong.empty() ? done.passed : done.failed);
    if (!wrong.empty())
      fmt::print("{}:{}: {}\n  {}\n", file, c.line, c.eval.query, wrong);
  }
  return done;
}

result<tally> run_file(const std::string& file, bool sealed) {
  std::ifstream in{file};
  std::stringstream text;
  text << in.rdbuf();
  if (!in)
    return fail(errc::io, "can't be read");
  BOOST_OUTCOME_TRY(script, parse_script(text.str()));
  return run_script(file, script, sealed);
}

int run(const std::vector<std::string>& files, bool sealed) {
  tally all;
  bool broken = files.empty();
  for (const auto& file : files) {
    const auto done = run_file(file, sealed);
    if (!done) {
      fmt::print("{}: {}\n", file, done.error().message);
      broken = true;
      continue;
    }
    fmt::print("{}: {} passed, {} failed\n", file, done.value().passed, done.value().failed);
    if (done.value().passed + done.value().failed == 0) {
      fmt::print("{}: there is no case in it\n", file);
      broken = true;
    }
    all.passed += done.value().passed;
    all.failed += done.value().failed;
  }
  fmt::print("{} passed, {} failed\n", all.passed, all.failed);
  return broken ? 2 : all.failed > 0 ? 1 : 0;
}

} // namespace

} // namespace skerry::conformance

int main(int argc, char** argv) {
  std::vector<std::string> files{argv + 1, argv + argc};
  const bool sealed = !files.empty() && files[0] == "--sealed";
  if (sealed)
    files.erase(files.begin());
  if (files.empty() || files[0].starts_with('-')) {
    fmt::print("usage: promql_conformance [--sealed] FILE…\n");
    return 2;
  }
  spdlog::set_level(spdlog::level::err);
  return skerry::conformance::run(files, sealed);
}
