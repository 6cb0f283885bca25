// The bytes of a store of version 1: what an installed cloud has on its disk. They never change.

#include "cloud/store/damage_ledger.hpp"
#include "cloud/store/directory.hpp"
#include "cloud/store/log_format.hpp"
#include "cloud/store/partition_format.hpp"
#include "cloud/store/partition_writer.hpp"
#include "cloud/store/store_metrics.hpp"
#include "cloud/store/symbols.hpp"
#include "tests/cloud/store/store_fixture.hpp"
#include "tests/schemas/support.hpp"

#include <fstream>
#include <iterator>

using namespace skerry;
using namespace skerry::cloud;
using skerry::cloud::test::temporary_directory;
using skerry::test::hex;
using skerry::test::unhex;
namespace fs = std::filesystem;

namespace {

const stream_key origin{edge_id{0x1122334455667788},
                        {300, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
                        stream_id::telemetry};

series_set_ptr sample_set() {
  return make_series_set({{"m", metric_type::gauge, "H.", ""}}, {{0, {{"__name__", "m"}}}});
}

void put(const fs::path& file, std::string_view bytes) { std::ofstream{file, std::ios::binary} << bytes; }

std::string bytes_of(const fs::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

} // namespace

TEST_CASE("golden bytes of a store's FORMAT") {
  constexpr std::string_view golden = "skerry-store 3 25db2b68e4ca0fa0\n";
  CHECK(store_format == 3);
  const temporary_directory directory;
  const auto file = directory.path() / "FORMAT";
  REQUIRE(check_format(directory.path()));
  CHECK(bytes_of(file) == golden);
  // Were it not read as sound, it would be written anew.
  put(file, golden);
  const auto long_ago = fs::file_time_type{} + std::chrono::hours{1};
  fs::last_write_time(file, long_ago);
  REQUIRE(check_format(directory.path()));
  CHECK(fs::last_write_time(file) == long_ago);
}

TEST_CASE("golden bytes of a log entry's header") {
  constexpr std::string_view golden =
      "536b4c6501020000040000000400000008070605040302012c01000000000000084da1fdcac1829b68656164626f6479";
  byte_buffer made;
  encode_entry(entry_kind::append, 0x0102030405060708, 300, as_bytes("head"), 4, made);
  byte_writer{made}.bytes(as_bytes("body"));
  CHECK(hex(made) == golden);
  const auto bytes = unhex(golden);
  const auto read = decode_entry(bytes);
  REQUIRE(read);
  CHECK(read.value().kind == entry_kind::append);
  CHECK(read.value().log == 0x0102030405060708);
  CHECK(read.value().serial == 300);
  CHECK(as_text(read.value().head) == "head");
  CHECK(as_text(read.value().body) == "body");
  CHECK(read.value().bytes == bytes.size());
  // Kinds stand on disk as these numbers.
  CHECK(static_cast<int>(entry_kind::start) == 1);
  CHECK(static_cast<int>(entry_kind::append) == 2);
  CHECK(static_cast<int>(entry_kind::set) == 3);
  CHECK(static_cast<int>(entry_kind::reset) == 4);
  CHECK(static_cast<int>(entry_kind::state) == 5);
  CHECK(static_cast<int>(entry_kind::more) == 6);
}

TEST_CASE("golden bytes of an envelope") {
  constexpr std::string_view golden =
      "ac0205ff07054e6f7272618877665544332211ac020102030405060708090a0b0c0d0e0f10020201040403";
  envelope from;
  from.fence = 300;
  from.tenant = 5;
  from.shard = 1023;
  from.site = "Norra";
  from.origin = origin;
  from.ranges.add({1, 5});
  from.ranges.add({9, 12});
  byte_buffer made;
  encode_envelope(from, made);
  CHECK(hex(made) == golden);
  const auto read = decode_envelope(unhex(golden));
  REQUIRE(read);
  CHECK(read.value().fence == from.fence);
  CHECK(read.value().tenant == from.tenant);
  CHECK(read.value().shard == from.shard);
  CHECK(read.value().site == from.site);
  CHECK(read.value().origin == from.origin);
  CHECK(read.value().ranges == from.ranges);
}

TEST_CASE("golden bytes of the file that names damage") {
  constexpr std::string_view golden = "536b446d010000000100000029000000cea85ea3907a302800054e6f727261077"
                                      "36869702d3031ffffffffffffffff00002a36fe9c9717ac020807060504030201";
  const temporary_directory dir;
  prometheus::Registry registry;
  store_metrics metrics{registry};
  {
    damage_ledger made{dir.path() / "damage", metrics};
    made.note({"Norra", "ship-01", -1, 1'700'000'000'000'000'000, 300, 0x0102030405060708}, "block",
              "a test");
    REQUIRE(made.flush());
  }
  const auto all = bytes_of(dir.path() / "damage");
  CHECK(hex(as_bytes(all).first(golden.size() / 2)) == golden);
  CHECK(all.size() == 8192 + golden.size() / 2);
  CHECK(hex(as_bytes(all).subspan(8192)) == golden);
  put(dir.path() / "damage", as_text(unhex(std::string{golden})));
  damage_ledger read{dir.path() / "damage", metrics};
  REQUIRE(read.load(0));
  REQUIRE(read.size() == 1);
  read.each(INT64_MIN, INT64_MAX, [](const damage& one) {
    CHECK(one.site == "Norra");
    CHECK(one.host == "ship-01");
    CHECK(one.from_ns == -1);
    CHECK(one.to_ns == 1'700'000'000'000'000'000);
    CHECK(one.samples == 300);
    CHECK(one.thing == 0x0102030405060708);
  });
}

TEST_CASE("golden bytes of an envelope with the times of what it holds") {
  // Ten seconds before 1970 to 5 s; the log from 300 s before that to 1 s after.
  constexpr std::string_view golden = "01000201780100000000000000010100000000000000000000000000000002"
                                      "010100130fac0201";
  envelope from;
  from.shard = 2;
  from.site = "x";
  from.origin = {edge_id{1}, {1, {1}}, stream_id::telemetry};
  from.ranges.add({1, 1});
  from.records = {-9'500'000'000, 5'999'999'999};
  from.log = {-309'000'000'001, 6'000'000'000};
  byte_buffer made;
  encode_envelope(from, made);
  CHECK(hex(made) == golden);
  const auto read = decode_envelope(unhex(golden));
  REQUIRE(read);
  CHECK(read.value().ranges == from.ranges);
  CHECK(read.value().records.oldest_ns == -10'000'000'000);
  CHECK(read.value().records.newest_ns == 5'999'999'999);
  CHECK(read.value().log.oldest_ns == -310'000'000'000);
  CHECK(read.value().log.newest_ns == 6'999'999'999);
  CHECK_FALSE(decode_envelope(unhex(std::string{golden.substr(0, golden.size() - 2)})));
  CHECK_FALSE(decode_envelope(unhex(std::string{golden} + "00")));
  for (const auto extreme : {INT64_MIN, INT64_MAX}) { // whatever times are, what is claimed covers them
    from.records = from.log = {extreme, extreme};
    made.clear();
    encode_envelope(from, made);
    const auto again = decode_envelope(made);
    REQUIRE(again);
    CHECK(again.value().records.oldest_ns <= extreme);
    CHECK(again.value().records.newest_ns >= extreme);
  }
}

// Another release of zstd may compress otherwise: the compressed part must decode, and what is before it is fixed.
TEST_CASE("golden bytes of a log's set entry") {
  constexpr std::string_view golden = "88776655443322119ff19205259133d1fc6cdbd8263432751b28b52ffd201bd9000001"
                                      "04016d02482e00085f5f6e616d655f5f01020001020100010300";
  constexpr std::size_t fixed_bytes = 8 + 16 + 1;
  const auto set = sample_set();
  byte_buffer made;
  encode_set_entry(origin.edge, *set, made);
  REQUIRE(made.size() > fixed_bytes);
  CHECK(hex(bytes_view{made}.first(fixed_bytes)) == golden.substr(0, 2 * fixed_bytes));
  for (const auto& bytes : {unhex(golden), made}) {
    const auto read = decode_set_entry(bytes);
    REQUIRE(read);
    CHECK(read.value().edge == origin.edge);
    CHECK(read.value().hash == set->hash);
    const auto unpacked = unpack_set(read.value().hash, read.value().plain_bytes, read.value().packed);
    REQUIRE(unpacked);
    CHECK(hex(unpacked.value()->encoded.view) == hex(set->encoded.view));
  }
}

TEST_CASE("golden bytes of a log's state entry") {
  constexpr std::string_view golden = "020668656c642f780200ff04676f6e6500";
  const std::vector<state_pair> pairs{{"held/x", std::string_view{"\x00\xff", 2}}, {"gone", ""}};
  byte_buffer made;
  encode_state(pairs, made);
  CHECK(hex(made) == golden);
  std::vector<std::pair<std::string, std::string>> read;
  const auto bytes = unhex(golden);
  REQUIRE(decode_state(bytes, [&](const state_pair& pair) { read.emplace_back(pair); }));
  REQUIRE(read.size() == pairs.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    CHECK(read[i].first == pairs[i].first);
    CHECK(read[i].second == pairs[i].second);
  }
}

namespace {

constexpr std::string_view not_compared = "zstd";

struct golden_value {
  const char* database;
  std::string_view key;
  std::string_view value; // with its checksum
};

// A partition with one source of one series, one block, one ledger entry and one record that is kept whole, in the order of databases and keys.
const std::vector<golden_value> golden_partition{
    {"meta", "666f726d6174", "2ed99e4e74cb33ce02"},
    {"meta", "6c6f670102030405060708",
     "7de69e0e9feadbd700002a36fe9c97178051010000000000"}, // older versions wrote no plan: "9960d005948cc808"
    {"meta", "6e6577657374",
     "50b035c3fa25da21005ed0b200000000"}, // may be missing: older versions did not write it
    {"meta", "73616d706c6573", "eee65324c4dd974f2c01000000000000"},
    {"source", "00000000",
     "5bcad455ff786d860000000088776655443322119ff19205259133d1fc6cdbd826343275054e6f72726107736869702d3031"
     "c294d3380580062d"},
    {"source_key", "11223344556677889ff19205259133d1fc6cdbd8263432756c5cd04f03b66db8",
     "1c41576b6780e3e600000000"},
    {"set", "9ff19205259133d1fc6cdbd826343275",
     "58c0ff5e862d508a1b28b52ffd201bd900000104016d02482e00085f5f6e616d655f5f01020001020100010300"},
    {"block", "000000007fffffffc4653600000000000000012c00000000", "bcd7acb8ff65d4af80d0acf30e00002c03ac02"},
    {"extent", "000000000000012c00000000",
     "77686174206120626c6f636b2069732c20676f6c64656e206279746573206f6620697473206f776e20736179"},
    {"posting", "00", "81de94c77cf4674a013a3000000100000000000000100000000000"},
    {"posting", "5f5f6e616d655f5f006d", "ec15ee10a199909e013a3000000100000000000000100000000000"},
    {"posting", "73697465004e6f727261", "2736822421a54289013a3000000100000000000000100000000000"},
    {"family", "15a7234484b8a3380b8e27682bc30139", "28e1c12883605ae902016d02482e00"},
    {"ledger", "7fffffffc4653600d4f2eb3872047cc542b277e965092875",
     "f711de748cd0790d0000000007ac028877665544332211ac020102030405060708090a0b0c0d0e0f1002054e6f7272610773686"
     "9702d30317061796c6f6164"},
    {"record", "7fffffffc46536001ca2c17f027297d6e7ac6a22d8229982",
     "1fa7e31f61475b8b000000008877665544332211ac020102030405060708090a0b0c0d0e0f1002054e6f727261536b01c836000"
     "000c1b227ac1e1140e52d01000000000000df3d9db800020700003665c4ffffffff736869702d30317061796c6f6164"},
};

constexpr std::uint64_t log_id = 0x0807060504030201;
constexpr std::uint64_t log_number = 300;
constexpr std::int64_t first_ns = -1'000'000'000;
const std::vector<std::int64_t> times{first_ns, 2'000'000'000, 3'000'000'000};
constexpr std::string_view block_bytes = "what a block is, golden bytes of its own say";
const partition_id id{0, 86'400};
const seal_plan plan{1'700'000'000'000'000'000, 86'400};

partition_source sample_source() { return {0, 0, origin.edge, sample_set()->hash, "Norra", "ship-01"}; }

ledger_entry sample_ledger() {
  const auto payload = as_bytes("payload");
  return {tenant_default,         "Norra", "ship-01", origin,
          record_kind::tombstone, 300,     first_ns,  {payload.begin(), payload.end()}};
}

kept_record sample_record() {
  kept_record out{tenant_default, "Norra", origin, {}};
  encode_record(record_kind{200}, origin, 301, first_ns, "ship-01", as_bytes("payload"), out.bytes);
  return out;
}

constexpr const char* databases[] = {"meta",   "source",  "source_key", "set",    "block",
                                     "extent", "posting", "family",     "ledger", "record"};

} // namespace

TEST_CASE("golden bytes of a partition are written") {
  const temporary_directory directory;
  {
    auto made = partition::open(directory.path(), id, false);
    REQUIRE(made);
    auto writer = partition_writer::begin(*made.value(), {log_number, log_id}, plan, seal_step_pages);
    REQUIRE(writer);
    const auto source =
        writer.value().source(sample_source(), [] { return result<series_set_ptr>{sample_set()}; });
    REQUIRE(source);
    REQUIRE(writer.value().block(source.value(), times, 300, as_bytes(block_bytes)));
    REQUIRE(writer.value().ledger(sample_ledger()));
    REQUIRE(writer.value().record(sample_record()));
    REQUIRE(writer.value().commit({log_id}));
  }
  auto env = lmdb_env::open(directory.path(), 16 << 20, 12);
  REQUIRE(env);
  std::vector<std::string> found;
  for (const char* name : databases) {
    MDB_dbi db = 0;
    const lmdb_env::database_request request[] = {{name, 0, &db}};
    REQUIRE(env.value()->databases(request));
    auto txn = env.value()->read();
    REQUIRE(txn);
    auto cursor = lmdb_cursor::open(txn.value(), db);
    REQUIRE(cursor);
    for (auto op = MDB_FIRST;; op = MDB_NEXT) {
      const auto item = cursor.value().move(op);
      REQUIRE(item);
      if (!item.value())
        break;
      const auto& [key, value] = *item.value();
      // Another release of zstd may compress a set otherwise; that the golden one decodes is tested below.
      const auto shown = std::string_view{name} == "set" ? std::string{not_compared} : hex(value);
      found.push_back(fmt::format("{} {} {}", name, hex(key), shown));
    }
  }
  std::vector<std::string> golden;
  for (const auto& at : golden_partition)
    golden.push_back(fmt::format("{} {} {}", at.database, at.key,
                                 std::string_view{at.database} == "set" ? not_compared : at.value));
  CHECK(found == golden);
}

TEST_CASE("golden bytes of a log of which only a part is in a partition") {
  const temporary_directory directory;
  {
    auto made = partition::open(directory.path(), id, false);
    REQUIRE(made);
    {
      auto writer = partition_writer::begin(*made.value(), {log_number, log_id}, plan, 1);
      REQUIRE(writer);
      const auto source =
          writer.value().source(sample_source(), [] { return result<series_set_ptr>{sample_set()}; });
      REQUIRE(source);
      REQUIRE(writer.value().block(source.value(), times, 300, as_bytes(block_bytes))); // after a step
    }                                                                                   // it goes no further
    const auto reader = made.value()->read();
    REQUIRE(reader);
    CHECK(reader.value().plans_of(log_id).value().empty());
    const auto begun = reader.value().begun(log_id).value();
    REQUIRE(begun);
    CHECK(begun->plan == plan);
    CHECK(begun->extent == 0);
    CHECK(begun->part == 0);
    CHECK_FALSE(reader.value().begun(log_id + 1).value());
  }
  auto env = lmdb_env::open(directory.path(), 16 << 20, 12);
  REQUIRE(env);
  MDB_dbi meta = 0;
  const lmdb_env::database_request request[] = {{"meta", 0, &meta}};
  REQUIRE(env.value()->databases(request));
  auto txn = env.value()->read();
  REQUIRE(txn);
  const auto key = "part" + std::string{as_text(std::as_bytes(std::span{&log_id, 1}))};
  const auto value = txn.value().get(meta, as_bytes(key));
  REQUIRE(value);
  REQUIRE(value.value());
  CHECK(hex(*value.value()) == "03139d7edeadbc4600002a36fe9c971780510100000000000000000000000000");
}

TEST_CASE("golden bytes of a partition are read") {
  const temporary_directory directory;
  {
    auto env = lmdb_env::open(directory.path(), 16 << 20, 12);
    REQUIRE(env);
    for (const char* name : databases) {
      MDB_dbi db = 0;
      const lmdb_env::database_request request[] = {{name, 0, &db}};
      REQUIRE(env.value()->databases(request));
      auto txn = env.value()->write();
      REQUIRE(txn);
      for (const auto& at : golden_partition)
        if (std::string_view{at.database} == name)
          REQUIRE(txn.value().put(db, unhex(at.key), unhex(at.value)));
      REQUIRE(txn.value().commit());
    }
  }
  const auto opened = partition::open(directory.path(), id, true);
  if (!opened)
    FAIL(opened.error().message);
  const auto reader = opened.value()->read();
  REQUIRE(reader);
  const auto& in = reader.value();
  CHECK(in.samples().value() == 300);
  CHECK(in.plans_of(log_id).value() == std::vector{plan});
  CHECK(in.plans_of(log_id + 1).value().empty());

  CHECK(in.find_source(sample_source()).value() == std::optional<std::uint32_t>{0});
  const auto source = in.source(0);
  REQUIRE(source);
  CHECK(source.value().edge == origin.edge);
  CHECK(source.value().set == sample_set()->hash);
  CHECK(source.value().site == "Norra");
  CHECK(source.value().host == "ship-01");
  CHECK(source.value().kin == set_kin(*sample_set()));
  const auto set = in.set(sample_set()->hash);
  REQUIRE(set);
  REQUIRE(set.value());
  CHECK(hex(set.value()->encoded.view) == hex(sample_set()->encoded.view));

  std::vector<block_place> blocks;
  REQUIRE(in.each_block(0, INT64_MIN, INT64_MAX, [&](const block_place& place) {
    blocks.push_back(place);
    return ok();
  }));
  REQUIRE(blocks.size() == 1);
  CHECK(blocks[0].first_ns == times.front());
  CHECK(blocks[0].last_ns == times.back());
  CHECK(blocks[0].log == log_number);
  CHECK(blocks[0].rows == times.size());
  CHECK(blocks[0].samples == 300);
  const auto block = in.block(blocks[0]);
  REQUIRE(block);
  CHECK(as_text(block.value()) == block_bytes);

  std::vector<std::string> values;
  REQUIRE(in.each_label_value("site", [&](std::string_view value) { values.emplace_back(value); }));
  CHECK(values == std::vector<std::string>{"Norra"});
  const auto all = in.match({});
  REQUIRE(all);
  CHECK(all.value().cardinality() == 1);
  CHECK(all.value().contains(0u));

  std::vector<promql::family_metadata> families;
  REQUIRE(in.each_family([&](promql::family_metadata family) { families.push_back(std::move(family)); }));
  CHECK(families == std::vector<promql::family_metadata>{{"m", metric_type::gauge, "H.", ""}});

  std::vector<ledger_entry> ledger;
  REQUIRE(in.ledger(INT64_MIN, INT64_MAX, [&](const ledger_entry& entry) { ledger.push_back(entry); }));
  REQUIRE(ledger.size() == 1);
  CHECK(ledger[0].site == "Norra");
  CHECK(ledger[0].host == "ship-01");
  CHECK(ledger[0].origin == origin);
  CHECK(ledger[0].kind == record_kind::tombstone);
  CHECK(ledger[0].seq == 300);
  CHECK(ledger[0].time_ns == first_ns);
  CHECK(hex(ledger[0].payload) == hex(as_bytes("payload")));

  std::vector<kept_record> records;
  REQUIRE(in.records(INT64_MIN, INT64_MAX, [&](const kept_record& record) { records.push_back(record); }));
  REQUIRE(records.size() == 1);
  CHECK(records[0].site == "Norra");
  CHECK(records[0].origin == origin);
  CHECK(hex(records[0].bytes) == hex(sample_record().bytes));
}

TEST_CASE("golden keys of long labels and golden names of partitions") {
  const auto name = make_posting_key(std::string(161, 'n'), "v");
  CHECK_FALSE(name.exact);
  CHECK(name.key
        == std::string(140, 'n') + std::string{as_text(unhex("ff2f5b53d54b2fc1032faf4f414ff5e58b"))}
               + std::string{"\0v", 2});
  const auto value = make_posting_key("n", std::string(301, 'v'));
  CHECK_FALSE(value.exact);
  CHECK(value.key
        == std::string{"n\0", 2} + std::string(280, 'v')
               + std::string{as_text(unhex("ffd31595f3b581d3b39b614fb577cbbde7"))});
  CHECK(to_string(partition_id{-86'400, 86'400}) == "-86400-86400");
  CHECK(parse_partition_id("-86400-86400") == std::optional{partition_id{-86'400, 86'400}});

  // As a posting with a long label stands behind its key.
  const auto posting = unhex("00036e616d0276613a300000010000000000000010000000"
                             "0700");
  const auto content = read_posting(posting);
  REQUIRE(content);
  CHECK_FALSE(content.value().exact);
  CHECK(content.value().name == "nam");
  CHECK(content.value().value == "va");
  const auto bitmap = read_bitmap(content.value().bitmap);
  REQUIRE(bitmap);
  CHECK(bitmap.value() == Roaring::bitmapOf(1, 7));
}
