// A disk that is full to the last page: what needs room says so and is tried again; nothing ends the process.

#include "cloud/store/lmdb.hpp"
#include "store_fixture.hpp"
#include "tests/actors/base/small_disk.hpp"

using namespace skerry;
using namespace skerry::cloud;
using namespace skerry::cloud::test;

namespace {

enum failed : int { none, not_filled, wrong_error, half_made, not_opened, not_stored, too_roomy, lost };

// An environment is made with so much room; then there is some, and it is made.
int make_environment(const fs::path& disk, std::size_t pages) {
  if (!skerry::test::leave_free(disk, pages))
    return not_filled;
  const auto directory = disk / "env";
  const auto open = [&]() -> result<std::unique_ptr<lmdb_env>> {
    BOOST_OUTCOME_TRY(env, lmdb_env::open(directory, 1 << 20, 1));
    MDB_dbi db = 0;
    const lmdb_env::database_request request{"a", 0, &db};
    BOOST_OUTCOME_TRYV(env->databases({&request, 1}));
    BOOST_OUTCOME_TRYV(env->read()); // takes a slot among the readers
    return env;
  };
  if (const auto full = open(); !full && full.error().code != errc::exhausted)
    return wrong_error;
  else if (full && pages == 0)
    return too_roomy;
  std::error_code ec;
  fs::remove(disk / "filler", ec);
  if (!open())
    return not_opened;
  fs::remove_all(directory, ec);
  return none;
}

int store_fills_up(const fs::path& disk) {
  auto config = small_config(disk / "store");
  config.log_segment_bytes = 64 << 10;
  model m;
  const auto set = make_set("a", 200);
  sequence seq = 0;
  const auto put = [&](store& s) {
    std::vector<double> values;
    for (std::size_t i = 0; i < set->members.size(); ++i)
      values.push_back(static_cast<double>(seq * 1'000 + i) * 0.37);
    const auto time = test_clock().wall_ns() + static_cast<std::int64_t>(seq) * 1'000'000'000;
    request_builder r{edge_id{1}, "x", seq + 1};
    r.values("h", set, time, values);
    if (!append(*s.db, r.take()))
      return false;
    ++seq;
    for (std::size_t i = 0; i < values.size(); ++i)
      m.add("x", set->members[i].all, time, values[i]);
    return true;
  };
  // Whatever is free when a log is to be begun, or a partition to be made.
  for (std::size_t pages = 0; pages < 40; ++pages) {
    auto s = open_store(config); // a sealer that does not wait because it failed
    if (!put(s))
      return not_stored;
    if (!skerry::test::leave_free(disk, pages))
      return not_filled;
    for (int i = 0; i < 3; ++i)
      (void)put(s);
    s->flush();
    std::error_code ec;
    fs::remove(disk / "filler", ec);
    if (!put(s))
      return not_stored;
  }
  auto s = open_store(config);
  s->flush();
  if (select(*s.db, everything()) != m.expected())
    return lost;
  s.db.reset();
  s = open_store(config);
  return select(*s.db, everything()) == m.expected() && s.metric("skerry_store_damage_rows") == 0 ? none
                                                                                                  : lost;
}

void check(const std::optional<int>& status) {
  if (!status) {
    WARN("skipped: a file system of its own can't be mounted here");
    return;
  }
  INFO("signal " << (WIFSIGNALED(*status) ? WTERMSIG(*status) : 0));
  REQUIRE(WIFEXITED(*status));
  CHECK(WEXITSTATUS(*status) == none);
}

} // namespace

TEST_CASE("an environment is made on a full disk or refused, and never ends the process") {
  check(skerry::test::on_small_disk(512, [](const fs::path& disk) {
    for (std::size_t pages = 0; pages < 24; ++pages)
      if (const auto how = make_environment(disk, pages); how != none)
        return how;
    return static_cast<int>(none);
  }));
}

TEST_CASE("a store on a disk that is full again and again loses nothing that it took") {
  check(skerry::test::on_small_disk(16 << 10, [](const fs::path& disk) {
    spdlog::default_logger()->set_level(spdlog::level::off);
    return store_fills_up(disk);
  }));
}
