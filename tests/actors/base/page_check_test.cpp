// The check of LMDB's pages: it finds nothing wrong with any file that LMDB wrote, and notices when a meta page lies
// about its transaction.

#include "actors/base/page_check.hpp"
#include "tests/actors/base/temporary_folder.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <lmdb.h>
#include <map>
#include <optional>
#include <random>

using namespace skerry;
using skerry::test::temporary_folder;

namespace {

namespace fs = std::filesystem;
using content = std::map<std::string, std::string>; // "database/key" -> value

constexpr std::size_t page = 4096;
constexpr std::size_t transaction_at = 16 + 128; // of a meta page

std::string slurp(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void spill(const fs::path& file, const std::string& bytes) {
  std::ofstream{file, std::ios::binary | std::ios::trunc} << bytes;
}

void flip(const fs::path& file, std::size_t bit) {
  std::fstream f{file, std::ios::in | std::ios::out | std::ios::binary};
  f.seekg(static_cast<std::streamoff>(bit / 8));
  const auto byte = static_cast<char>(f.get() ^ (1 << bit % 8));
  f.seekp(static_cast<std::streamoff>(bit / 8));
  f.put(byte);
}

class environment {
public:
  explicit environment(const fs::path& directory) {
    fs::create_directories(directory);
    REQUIRE(mdb_env_create(&env_) == 0);
    REQUIRE(mdb_env_set_maxdbs(env_, 8) == 0);
    REQUIRE(mdb_env_set_mapsize(env_, 64 << 20) == 0);
    REQUIRE(mdb_env_open(env_, directory.c_str(), MDB_NOSYNC, 0600) == 0);
  }
  ~environment() { mdb_env_close(env_); }
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;

  // One transaction: some puts and deletes in some of two named databases; of nothing at all now and then.
  void change(std::mt19937_64& random, content& model) {
    MDB_txn* txn = nullptr;
    REQUIRE(mdb_txn_begin(env_, nullptr, 0, &txn) == 0);
    for (const std::string name : {"a", "b"}) {
      if (random() % 3 == 0)
        continue;
      MDB_dbi table = 0;
      REQUIRE(mdb_dbi_open(txn, name.c_str(), MDB_CREATE, &table) == 0);
      for (std::size_t i = random() % 20; i > 0; --i) {
        auto key = std::to_string(random() % 200);
        MDB_val k{key.size(), key.data()};
        if (random() % 3 == 0) {
          (void)mdb_del(txn, table, &k, nullptr);
          model.erase(name + "/" + key);
          continue;
        }
        std::string value(random() % (random() % 8 == 0 ? 9'000 : 200),
                          static_cast<char>('a' + random() % 26));
        MDB_val v{value.size(), value.data()};
        REQUIRE(mdb_put(txn, table, &k, &v, 0) == 0);
        model[name + "/" + key] = value;
      }
      if (random() % 40 == 0) {
        REQUIRE(mdb_drop(txn, table, 0) == 0);
        std::erase_if(model, [&](const auto& entry) { return entry.first.starts_with(name + "/"); });
      }
    }
    REQUIRE(mdb_txn_commit(txn) == 0);
  }

private:
  MDB_env* env_ = nullptr;
};

// What the check gives its caller, where it passes.
std::optional<content> checked(const fs::path& file, std::string* why = nullptr) {
  content out;
  page_check_options options;
  options.each = [&](std::string_view database, bytes_view key, bytes_view value) {
    out[std::string{database} + "/" + std::string{as_text(key)}] = as_text(value);
    return true;
  };
  const auto done = check_pages(file, options);
  if (!done && why != nullptr)
    *why = done.error().message;
  return done ? std::optional{out} : std::nullopt;
}

} // namespace

TEST_CASE("after every commit a file passes, and a flipped bit in a transaction's number never shows other "
          "content") {
  const char* given = std::getenv("SKERRY_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  const temporary_folder folder;
  const auto flipped = folder.path() / "flipped";
  for (int round = 0; round < 5; ++round) {
    const auto directory = folder.path() / std::to_string(round);
    const auto file = directory / "data.mdb";
    content model;
    environment env{directory};
    for (int commit = 0; commit < 40; ++commit) {
      INFO("round " << round << " commit " << commit);
      std::string why;
      const auto found = checked(file, &why);
      INFO(why);
      REQUIRE(found);
      REQUIRE(*found == model);
      spill(flipped, slurp(file));
      for (const auto meta : {std::size_t{0}, page})
        for (std::size_t bit = 0; bit < 64; ++bit) {
          flip(flipped, (meta + transaction_at) * 8 + bit);
          if (const auto shown = checked(flipped); shown && *shown != model)
            FAIL("meta page " << meta / page << ", bit " << bit << ": other content, and nobody notices");
          flip(flipped, (meta + transaction_at) * 8 + bit);
        }
      env.change(random, model);
    }
  }
}

TEST_CASE("a first commit without content is no damage") {
  const temporary_folder folder;
  const auto file = folder.path() / "data.mdb";
  CHECK(checked(file)); // absent
  MDB_env* env = nullptr;
  REQUIRE(mdb_env_create(&env) == 0);
  REQUIRE(mdb_env_open(env, folder.path().c_str(), MDB_NOSYNC, 0600) == 0);
  for (int commit = 0; commit < 4; ++commit) {
    MDB_txn* txn = nullptr;
    MDB_dbi main = 0;
    REQUIRE(mdb_txn_begin(env, nullptr, 0, &txn) == 0);
    REQUIRE(mdb_dbi_open(txn, nullptr, commit == 0 ? MDB_INTEGERKEY | MDB_CREATE : 0, &main) == 0);
    if (commit > 0) {
      std::uint64_t number = static_cast<std::uint64_t>(commit);
      MDB_val k{sizeof number, &number};
      REQUIRE(mdb_put(txn, main, &k, &k, 0) == 0);
    }
    REQUIRE(mdb_txn_commit(txn) == 0);
    std::string why;
    INFO("commit " << commit);
    const auto found = checked(file, &why);
    INFO(why);
    CHECK(found);
  }
  mdb_env_close(env);
}
