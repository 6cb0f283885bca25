// The bytes of a spool of version 1: what an installed edge has on its disk. They never change.

#include "edge/spool/segment.hpp"
#include "edge/spool/state_file.hpp"
#include "tests/edge/spool/spool_world.hpp"
#include "tests/schemas/support.hpp"

#include <fstream>
#include <iterator>
#include <lmdb.h>

using namespace skerry;
using namespace skerry::edge;
using skerry::edge::testing::temporary_directory;
using skerry::test::hex;
using skerry::test::unhex;
namespace fs = std::filesystem;

namespace {

const stream_key key{edge_id{0x1122334455667788},
                     {3, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
                     stream_id::telemetry};

range_set ranges(std::initializer_list<sequence_range> of) {
  range_set out;
  for (const auto& range : of)
    out.add(range);
  return out;
}

series_set_ptr sample_set() {
  return make_series_set({{"m", metric_type::gauge, "H.", ""}}, {{0, {{"__name__", "m"}}}});
}

segment_stream sample_stream() {
  segment_stream out;
  out.stored = ranges({{1, 5}, {9, 12}});
  out.records = 9;
  out.bytes = 1000;
  out.from_ns = -5;
  out.to_ns = 1'700'000'000'000'000'000;
  out.last_commit_ns = 1'700'000'000'000'000'001;
  out.last_digest = 0x0102030405060708;
  return out;
}

// In the one transaction that LMDB counts as the first.
segment_head sample_head() { return {7, 1, 1, 300, 2, key.epoch}; }

constexpr std::string_view golden_run_key =
    "00000000112233445566778800000000000000030102030405060708090a0b0c0d0e0f1002000000000000012c";
constexpr std::string_view golden_set_key = "0000000011223344556677889ff19205259133d1fc6cdbd826343275";
constexpr std::string_view golden_stream_key =
    "5300000000112233445566778800000000000000030102030405060708090a0b0c0d0e0f1002";
constexpr std::string_view golden_head =
    "534b4844170000002ed9a9a78802fc8e070101ac0202030102030405060708090a0b0c0d0e0f10";
constexpr std::string_view golden_index =
    "534b49584900000013627381a65bb38600000000112233445566778800000000000000030102030405060708090a0b0c0d0e0f10"
    "0209e807098080d0e2c6bfce972f8280d0e2c6bfce972f0807060504030201050201040403";
constexpr std::string_view golden_released = "534b524c2d0000007f5d82cbf6edd7100000000011223344556677880000000"
                                             "0000000030102030405060708090a0b0c0d0e0f10029003050201040403";
constexpr std::string_view golden_set =
    "534b53542400000088776655443322119ff19205259133d1fc6cdbd8263432751b000000000000006121a20c41b3a39628b52ffd"
    "201bd900000104016d02482e00085f5f6e616d655f5f01020001020100010300";

std::string bytes_of(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void put(const fs::path& file, std::string_view bytes) { std::ofstream{file, std::ios::binary} << bytes; }

} // namespace

TEST_CASE("golden bytes of a spool's FORMAT") {
  constexpr std::string_view golden = "skerry-spool 1 e5d5deba2597e152\n";
  CHECK(spool_format_version == 1);
  CHECK(format_text(1) == golden);
  const temporary_directory directory;
  bool healed = true;
  put(directory.path() / "FORMAT", golden);
  REQUIRE(check_format(directory.path(), healed));
  CHECK_FALSE(healed);
}

TEST_CASE("golden bytes of a spool's STATE") {
  constexpr std::size_t slot_bytes = 64 << 10;
  constexpr std::string_view golden_first =
      "534b5341150000000100000000000000b07aeaaa436d7855030102030405060708090a0b0c0d0e0f1000010100";
  constexpr std::string_view golden_second =
      "534b53414f0000000200000000000000b7d91e7b9a09742c030102030405060708090a0b0c0d0e0f10018080d0e2c6bfce972f"
      "ac020100000000112233445566778800000000000000030102030405060708090a0b0c0d0e0f10029003050201040403030107"
      "00";
  spool_state first;
  first.epoch = key.epoch;
  first.last_commit_ns = -1;
  auto second = first;
  second.clean = true;
  second.last_commit_ns = 1'700'000'000'000'000'000;
  second.next_segment = 300;
  second.streams[key] = {400, ranges({{1, 5}, {9, 12}}), ranges({{7, 7}})};

  const temporary_directory directory;
  const auto file = directory.path() / "STATE";
  const std::string zeros(slot_bytes, '\0');
  const auto padded = [&](std::string_view golden) {
    const auto bytes = unhex(golden);
    return std::string{as_text(bytes)} + zeros.substr(bytes.size());
  };
  const auto slot = [&](std::size_t number, std::size_t bytes) {
    return hex(as_bytes(bytes_of(file)).subspan(number * slot_bytes, bytes));
  };
  const auto same = [](const spool_state& one, const spool_state& other) {
    CHECK(one.epoch == other.epoch);
    CHECK(one.clean == other.clean);
    CHECK(one.last_commit_ns == other.last_commit_ns);
    CHECK(one.next_segment == other.next_segment);
    REQUIRE(one.streams.size() == other.streams.size());
    for (const auto& [stream, memory] : one.streams) {
      REQUIRE(other.streams.contains(stream));
      CHECK(memory.last == other.streams.at(stream).last);
      CHECK(memory.released == other.streams.at(stream).released);
      CHECK(memory.lost == other.streams.at(stream).lost);
    }
  };

  SECTION("written") {
    state_file out{file};
    REQUIRE(out.store(first));
    REQUIRE(bytes_of(file).size() == 2 * slot_bytes);
    CHECK(slot(1, golden_first.size() / 2) == golden_first);
    REQUIRE(out.store(second));
    CHECK(bytes_of(file) == padded(golden_second) + padded(golden_first));
    CHECK(slot(0, golden_second.size() / 2) == golden_second);
  }
  SECTION("read, of the first generation") {
    put(file, zeros + padded(golden_first));
    const auto loaded = state_file{file}.load();
    REQUIRE(loaded);
    REQUIRE(loaded.value().found);
    CHECK_FALSE(loaded.value().damaged);
    same(loaded.value().state, first);
  }
  SECTION("read, of the second") {
    put(file, padded(golden_second) + padded(golden_first));
    const auto loaded = state_file{file}.load();
    REQUIRE(loaded);
    REQUIRE(loaded.value().found);
    CHECK_FALSE(loaded.value().damaged);
    same(loaded.value().state, second);
  }
}

TEST_CASE("golden bytes of what stands in a segment are written") {
  CHECK(hex(encode_run_key(key, 300)) == golden_run_key);
  CHECK(hex(encode_set_key({key.edge, sample_set()->hash})) == golden_set_key);
  CHECK(hex(encode_stream_key('S', key)) == golden_stream_key);
  CHECK(hex(encode_head(sample_head())) == golden_head);
  CHECK(hex(encode_index_entry(key, sample_stream())) == golden_index);
  CHECK(hex(encode_index_entry(key, released_entry{400, ranges({{1, 5}, {9, 12}})})) == golden_released);
}

TEST_CASE("golden bytes of index entries are read") {
  std::size_t used = 0;
  const auto bytes = unhex(golden_index);
  const auto index = decode_index_entry(bytes, used);
  REQUIRE(index);
  CHECK(used == bytes.size());
  CHECK(index.value().key == key);
  REQUIRE(index.value().stream);
  const auto& stream = *index.value().stream;
  CHECK(stream.stored == sample_stream().stored);
  CHECK(stream.records == sample_stream().records);
  CHECK(stream.bytes == sample_stream().bytes);
  CHECK(stream.from_ns == sample_stream().from_ns);
  CHECK(stream.to_ns == sample_stream().to_ns);
  CHECK(stream.last_commit_ns == sample_stream().last_commit_ns);
  CHECK(stream.last_digest == sample_stream().last_digest);

  const auto released = decode_index_entry(unhex(golden_released), used);
  REQUIRE(released);
  CHECK(released.value().key == key);
  REQUIRE(released.value().released);
  CHECK(released.value().released->last == 400);
  CHECK(released.value().released->released == ranges({{1, 5}, {9, 12}}));

  const auto plain = unhex(golden_stream_key);
  byte_reader in{bytes_view{plain}.subspan(1)};
  const auto taken = take_stream_key(in);
  REQUIRE(taken);
  CHECK(taken.value() == key);
  CHECK(in.remaining() == 0);
}

// Another release of zstd may compress otherwise: the compressed part must decode, and what is around it is fixed.
TEST_CASE("golden bytes of a stored set") {
  const auto set = sample_set();
  const auto golden = unhex(golden_set);
  const auto read = decode_set_value(golden);
  REQUIRE(read);
  CHECK(read.value().bytes == golden.size());
  CHECK(read.value().name == set_name{key.edge, set->hash});
  const auto content = expand_set(read.value());
  REQUIRE(content);
  CHECK(hex(content.value().view) == hex(set->encoded.view));

  const auto made = encode_set_value({key.edge, set->hash}, set->encoded.view);
  REQUIRE(made.size() > set_header_bytes);
  CHECK(hex(bytes_view{made}.first(4)) == golden_set.substr(0, 8));
  CHECK(hex(bytes_view{made}.subspan(8, 32))
        == golden_set.substr(16, 64)); // edge, hash, encoded_bytes, codec
  const auto again = decode_set_value(made);
  REQUIRE(again);
  CHECK(again.value().bytes == made.size());
  const auto expanded = expand_set(again.value());
  REQUIRE(expanded);
  CHECK(hex(expanded.value().view) == hex(set->encoded.view));
}

// Names of databases, and keys and head, which only a whole segment's reader decodes.
TEST_CASE("a segment with golden bytes is read") {
  run_builder builder{key, 300};
  builder.append(record_kind::event, 1000, "h", as_bytes("x"));
  const auto stored = std::move(builder).finish();
  const temporary_directory directory;
  MDB_env* env = nullptr;
  REQUIRE(mdb_env_create(&env) == 0);
  const std::unique_ptr<MDB_env, decltype(&mdb_env_close)> closer{env, &mdb_env_close};
  REQUIRE(mdb_env_set_maxdbs(env, 3) == 0);
  REQUIRE(mdb_env_open(env, directory.path().c_str(), 0, 0600) == 0);
  MDB_txn* txn = nullptr;
  REQUIRE(mdb_txn_begin(env, nullptr, 0, &txn) == 0);
  const auto put_entry = [&](const char* database, bytes_view k, bytes_view v) {
    MDB_dbi to = 0;
    REQUIRE(mdb_dbi_open(txn, database, database != nullptr ? MDB_CREATE : 0, &to) == 0);
    MDB_val at{k.size(), const_cast<std::byte*>(k.data())};
    MDB_val value{v.size(), const_cast<std::byte*>(v.data())};
    REQUIRE(mdb_put(txn, to, &at, &value, 0) == 0);
  };
  put_entry("runs", unhex(golden_run_key), stored.bytes.view);
  put_entry("sets", unhex(golden_set_key), unhex(golden_set));
  put_entry("index", unhex(golden_stream_key), unhex(golden_index));
  put_entry(nullptr, as_bytes("head"), unhex(golden_head));
  REQUIRE(mdb_txn_commit(txn) == 0);

  const auto reader = segment_reader::open(directory.path());
  REQUIRE(reader);
  const auto index = reader.value().load_index();
  if (!index)
    FAIL(index.error().message);
  const auto& head = index.value().head;
  CHECK(head.number == sample_head().number);
  CHECK(head.transaction == sample_head().transaction);
  CHECK(head.streams == sample_head().streams);
  CHECK(head.runs == sample_head().runs);
  CHECK(head.sets == sample_head().sets);
  CHECK(head.writer == sample_head().writer);
  REQUIRE(index.value().streams.contains(key));
  CHECK(index.value().streams.at(key).stored == sample_stream().stored);
  const auto found = reader.value().find_run(key, 300);
  REQUIRE(found);
  REQUIRE(found.value());
  CHECK(found.value()->header.first == 300);
  const auto set = reader.value().find_set({key.edge, sample_set()->hash});
  REQUIRE(set);
  REQUIRE(set.value());
  CHECK(hex(*set.value()) == golden_set);
}
