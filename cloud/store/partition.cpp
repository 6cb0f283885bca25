#include "cloud/store/partition.hpp"

#include "actors/base/page_check.hpp"
#include "cloud/store/log_format.hpp"
#include "cloud/store/partition_format.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace skerry::cloud {

namespace {

constexpr std::uint64_t map_bytes_min = std::uint64_t{16} << 30; // address space, not disk
constexpr unsigned databases = 12;
constexpr std::int64_t hot_spans = 8;   // younger than this many spans: fine partitions
constexpr std::int64_t warm_spans = 64; // younger: archive partitions of archive_spans
constexpr std::int64_t archive_spans = 16;
constexpr std::int64_t ancient_spans = 1024;

stream_key read_origin(byte_reader& r) {
  stream_key key;
  key.edge = edge_id{r.fixed<std::uint64_t>()};
  key.epoch.boot_counter = r.varint();
  key.epoch.random = r.fixed<std::array<std::uint8_t, 16>>();
  key.stream = stream_id{r.fixed<std::uint8_t>()};
  return key;
}

} // namespace

bool partition_id::contains(std::int64_t time_ns) const noexcept {
  return static_cast<wide>(time_ns) >= static_cast<wide>(start_s) * ns_per_s
         && static_cast<wide>(time_ns) < (static_cast<wide>(start_s) + span_s) * ns_per_s;
}

bool partition_id::overlaps(std::int64_t from_ns, std::int64_t to_ns) const noexcept {
  return static_cast<wide>(to_ns) >= static_cast<wide>(start_s) * ns_per_s
         && static_cast<wide>(from_ns) < (static_cast<wide>(start_s) + span_s) * ns_per_s;
}

bool partition_id::ends_before(std::int64_t time_ns) const noexcept {
  return (static_cast<wide>(start_s) + span_s) * ns_per_s <= static_cast<wide>(time_ns);
}

std::int64_t partition_id::first_ns() const noexcept {
  return static_cast<std::int64_t>(std::max<wide>(static_cast<wide>(start_s) * ns_per_s, INT64_MIN));
}

std::int64_t partition_id::last_ns() const noexcept {
  return static_cast<std::int64_t>(
      std::min<wide>((static_cast<wide>(start_s) + span_s) * ns_per_s - 1, INT64_MAX));
}

partition_id partition_of(std::int64_t time_ns, std::int64_t span_s) noexcept {
  auto second = time_ns / ns_per_s;
  if (time_ns % ns_per_s < 0)
    --second;
  auto start = second / span_s * span_s;
  if (start > second)
    start -= span_s;
  return {start, span_s};
}

partition_id partition_for(std::int64_t time_ns, const seal_plan& plan) noexcept {
  const auto age_s = (static_cast<wide>(plan.now_ns) - time_ns) / ns_per_s;
  const auto hot_s = static_cast<wide>(plan.span_s) * hot_spans;
  if (age_s < hot_s && age_s > -hot_s)
    return partition_of(time_ns, plan.span_s);
  if (age_s < static_cast<wide>(plan.span_s) * warm_spans && age_s > 0)
    return partition_of(time_ns, plan.span_s * archive_spans);
  return partition_of(time_ns, plan.span_s * ancient_spans);
}

std::string to_string(const partition_id& id) { return fmt::format("{}-{}", id.start_s, id.span_s); }

std::optional<partition_id> parse_partition_id(std::string_view name) {
  const auto dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0)
    return std::nullopt;
  partition_id id;
  const auto* end = name.data() + name.size();
  const auto start = std::from_chars(name.data(), name.data() + dash, id.start_s);
  const auto span = std::from_chars(name.data() + dash + 1, end, id.span_s);
  if (start.ec != std::errc{} || start.ptr != name.data() + dash || span.ec != std::errc{} || span.ptr != end
      || id.span_s <= 0)
    return std::nullopt;
  return id;
}

result<void> partition::check(const std::filesystem::path& directory,
                              const std::function<bool(std::uint64_t)>& pace) {
  page_check_options options;
  options.skip_large = extent_database;
  options.each = [&](std::string_view database, bytes_view key, bytes_view value) {
    if (pace && !pace(key.size() + value.size()))
      return false;
    return database == extent_database || checked_value(key, value).has_value();
  };
  return check_pages(directory / "data.mdb", options);
}

result<std::shared_ptr<partition>> partition::open(const std::filesystem::path& directory,
                                                   const partition_id& id, bool check) {
  const auto file = directory / "data.mdb";
  if (check) {
    remove_unfinished(directory);
    BOOST_OUTCOME_TRYV(partition::check(directory));
  }
  std::error_code ec;
  const auto size = std::filesystem::file_size(file, ec);
  std::shared_ptr<partition> p{new partition};
  p->id_ = id;
  BOOST_OUTCOME_TRY(env, lmdb_env::open(directory, std::max(map_bytes_min, ec ? 0 : size * 4), databases));
  p->env_ = std::move(env);
  const lmdb_env::database_request all[] = {
      {"meta", 0, &p->meta_},       {"source", 0, &p->source_}, {"source_key", 0, &p->source_key_},
      {"set", 0, &p->set_},         {"block", 0, &p->block_},   {"extent", 0, &p->extent_},
      {"posting", 0, &p->posting_}, {"family", 0, &p->family_}, {"ledger", 0, &p->ledger_},
      {"record", 0, &p->record_},
  };
  BOOST_OUTCOME_TRYV(p->env_->databases(all));
  BOOST_OUTCOME_TRY(reader, p->read());
  BOOST_OUTCOME_TRY(format, reader.get(p->meta_, as_bytes(meta_format)));
  if (format && (format->size() != 1 || static_cast<std::uint8_t>((*format)[0]) != partition_version))
    return fail(errc::unsupported_version,
                fmt::format("partition {} is of another format than this build knows ({})",
                            directory.string(), partition_version));
  return p;
}

result<partition_reader> partition::read() const {
  BOOST_OUTCOME_TRY(txn, env_->read());
  return partition_reader{*this, std::move(txn)};
}

result<std::optional<bytes_view>> partition_reader::get(MDB_dbi db, bytes_view key) const {
  BOOST_OUTCOME_TRY(stored, txn_.get(db, key));
  if (!stored)
    return std::optional<bytes_view>{};
  const auto value = checked_value(key, *stored);
  if (!value)
    return fail(errc::corrupt,
                fmt::format("a value of partition {} does not match its checksum", to_string(owner_->id())));
  return value;
}

namespace {

result<partition_source> decode_source(std::uint32_t number, bytes_view value) {
  byte_reader r{value};
  partition_source s;
  s.number = number;
  s.tenant = r.fixed<std::uint32_t>();
  s.edge = edge_id{r.fixed<std::uint64_t>()};
  s.set.bytes = r.fixed<std::array<std::uint8_t, 16>>();
  s.site = r.text();
  s.host = r.text();
  s.kin = r.fixed<std::uint64_t>();
  if (r.failed())
    return fail(errc::corrupt, "a source does not decode");
  return s;
}

} // namespace

result<partition_source> partition_reader::source(std::uint32_t number) const {
  BOOST_OUTCOME_TRY(value, get(owner_->source_, key_builder{}.number(number).view()));
  if (!value)
    return fail(errc::corrupt, fmt::format("source {} is missing", number));
  return decode_source(number, *value);
}

result<void> partition_reader::each_source(const std::function<void(const partition_source&)>& each) const {
  BOOST_OUTCOME_TRY(cursor, lmdb_cursor::open(txn_, owner_->source_));
  for (auto op = MDB_FIRST;; op = MDB_NEXT) {
    BOOST_OUTCOME_TRY(item, cursor.move(op));
    if (!item)
      return ok();
    const auto value = checked_value(item->key, item->value);
    if (!value || item->key.size() != 4)
      return fail(errc::corrupt, "a source does not decode");
    BOOST_OUTCOME_TRY(s, decode_source(key_u32(item->key, 0), *value));
    each(s);
  }
}

result<std::optional<std::uint32_t>> partition_reader::find_source(const partition_source& like) const {
  // Host ids that collide lie one after the other.
  for (std::uint64_t probe = 0;; ++probe) {
    BOOST_OUTCOME_TRY(value, get(owner_->source_key_, source_lookup_key(like, probe).view()));
    if (!value)
      return std::optional<std::uint32_t>{};
    std::uint32_t number = 0;
    if (value->size() == sizeof number)
      std::memcpy(&number, value->data(), sizeof number);
    BOOST_OUTCOME_TRY(s, source(number));
    if (s.site == like.site && s.host == like.host && s.tenant == like.tenant)
      return std::optional{number};
  }
}

result<series_set_ptr> partition_reader::set(const set_hash& hash) const {
  BOOST_OUTCOME_TRY(value, get(owner_->set_, std::as_bytes(std::span{hash.bytes})));
  if (!value)
    return series_set_ptr{};
  byte_reader r{*value};
  const auto plain_bytes = r.varint();
  return unpack_set(hash, plain_bytes, r.rest());
}

result<bool> partition_reader::holds_set(edge_id edge, const set_hash& hash) const {
  key_builder key;
  key.number(static_cast<std::uint64_t>(edge)).bytes(std::as_bytes(std::span{hash.bytes}));
  BOOST_OUTCOME_TRY(cursor, lmdb_cursor::open(txn_, owner_->source_key_));
  BOOST_OUTCOME_TRY(item, cursor.move(MDB_SET_RANGE, key.view()));
  return item && as_text(item->key).starts_with(as_text(key.view()));
}

result<void> partition_reader::each_block(std::uint32_t source, std::int64_t from_ns, std::int64_t to_ns,
                                          const std::function<result<void>(const block_place&)>& each) const {
  BOOST_OUTCOME_TRY(cursor, lmdb_cursor::open(txn_, owner_->block_));
  const auto first = key_builder{}.number(source);
  auto op = MDB_SET_RANGE;
  for (;; op = MDB_NEXT) {
    BOOST_OUTCOME_TRY(item, cursor.move(op, op == MDB_SET_RANGE ? first.view() : bytes_view{}));
    if (!item || item->key.size() != 24 || key_u32(item->key, 0) != source)
      return ok();
    const auto value = checked_value(item->key, item->value);
    if (!value)
      return fail(errc::corrupt, "a block's entry does not match its checksum");
    block_place at;
    at.source = source;
    at.first_ns = key_time(item->key, 4);
    at.log = key_u64(item->key, 12);
    at.part = key_u32(item->key, 20);
    if (at.first_ns > to_ns)
      return ok();
    byte_reader r{*value};
    at.last_ns = static_cast<std::int64_t>(static_cast<std::uint64_t>(at.first_ns) + r.varint());
    at.extent = static_cast<std::uint32_t>(r.varint());
    at.offset = static_cast<std::uint32_t>(r.varint());
    at.bytes = static_cast<std::uint32_t>(r.varint());
    at.rows = static_cast<std::uint32_t>(r.varint());
    at.samples = static_cast<std::uint32_t>(r.varint());
    if (r.failed())
      return fail(errc::corrupt, "a block's entry does not decode");
    if (at.last_ns >= from_ns) {
      BOOST_OUTCOME_TRYV(each(at));
    }
  }
}

result<bytes_view> partition_reader::block(const block_place& at) const {
  BOOST_OUTCOME_TRY(extent, txn_.get(owner_->extent_, key_builder{}.number(at.log).number(at.extent).view()));
  if (!extent || at.offset > extent->size() || at.bytes > extent->size() - at.offset)
    return fail(errc::corrupt, fmt::format("a block of partition {} is missing", to_string(owner_->id())));
  return extent->subspan(at.offset, at.bytes);
}

result<std::optional<Roaring>> partition_reader::posting(std::string_view name,
                                                         std::string_view value) const {
  const auto key = make_posting_key(name, value);
  BOOST_OUTCOME_TRY(stored, get(owner_->posting_, as_bytes(key.key)));
  if (!stored)
    return std::optional<Roaring>{};
  BOOST_OUTCOME_TRY(content, read_posting(*stored));
  if (!content.exact && (content.name != name || content.value != value))
    return std::optional<Roaring>{};
  BOOST_OUTCOME_TRY(bitmap, read_bitmap(content.bitmap));
  return std::optional{std::move(bitmap)};
}

result<void>
partition_reader::each_posting(std::string_view name,
                               const std::function<result<void>(const posting_view&)>& each) const {
  const auto prefix = posting_prefix(name);
  BOOST_OUTCOME_TRY(cursor, lmdb_cursor::open(txn_, owner_->posting_));
  for (auto op = MDB_SET_RANGE;; op = MDB_NEXT) {
    BOOST_OUTCOME_TRY(item, cursor.move(op, op == MDB_SET_RANGE ? as_bytes(prefix) : bytes_view{}));
    if (!item || !as_text(item->key).starts_with(prefix))
      return ok();
    const auto stored = checked_value(item->key, item->value);
    if (!stored)
      return fail(errc::corrupt, "a posting does not match its checksum");
    BOOST_OUTCOME_TRY(content, read_posting(*stored));
    if (content.exact)
      content.value = as_text(item->key).substr(prefix.size());
    else if (content.name != name)
      continue;
    BOOST_OUTCOME_TRYV(each({content.value, content.bitmap}));
  }
}

result<Roaring> partition_reader::match(std::span<const promql::matcher> matchers) const {
  std::optional<Roaring> found;
  std::vector<Roaring> without;
  const auto keep = [&](Roaring&& these) {
    if (found)
      *found &= these;
    else
      found = std::move(these);
  };
  for (const auto& m : matchers) {
    // An absent label has the value "": where that matches, series go whose value does not match.
    const bool absent_matches = m.matches("");
    if (m.op() == promql::match_op::equal && !absent_matches) {
      BOOST_OUTCOME_TRY(bitmap, posting(m.name(), m.value()));
      keep(bitmap ? std::move(*bitmap) : Roaring{});
    } else {
      Roaring some;
      BOOST_OUTCOME_TRYV(each_posting(m.name(), [&](const posting_view& p) -> result<void> {
        if (m.matches(p.value) != absent_matches) {
          BOOST_OUTCOME_TRY(bitmap, read_bitmap(p.bitmap));
          some |= bitmap;
        }
        return ok();
      }));
      if (absent_matches)
        without.push_back(std::move(some));
      else
        keep(std::move(some));
    }
    if (found && found->isEmpty())
      return std::move(*found);
  }
  if (!found) {
    BOOST_OUTCOME_TRY(all, posting("", ""));
    found = all ? std::move(*all) : Roaring{};
  }
  for (const auto& w : without)
    *found -= w;
  return std::move(*found);
}

result<void> partition_reader::each_label_name(const std::function<void(std::string_view)>& each) const {
  BOOST_OUTCOME_TRY(cursor, lmdb_cursor::open(txn_, owner_->posting_));
  std::string next{'\x01'}; // behind the empty name, which stands for all series
  for (;;) {
    BOOST_OUTCOME_TRY(item, cursor.move(MDB_SET_RANGE, as_bytes(next)));
    if (!item)
      return ok();
    const auto name = as_text(item->key).substr(0, as_text(item->key).find('\0'));
    const auto stored = checked_value(item->key, item->value);
    if (!stored)
      return fail(errc::corrupt, "a posting does not match its checksum");
    BOOST_OUTCOME_TRY(content, read_posting(*stored));
    each(content.exact ? name : content.name);
    next = name;
    next += '\x01';
  }
}

result<void> partition_reader::each_label_value(std::string_view name,
                                                const std::function<void(std::string_view)>& each) const {
  return each_posting(name, [&](const posting_view& p) -> result<void> {
    each(p.value);
    return ok();
  });
}

result<void> partition_reader::each_family(const std::function<void(promql::family_metadata)>& each) const {
  BOOST_OUTCOME_TRY(cursor, lmdb_cursor::open(txn_, owner_->family_));
  for (auto op = MDB_FIRST;; op = MDB_NEXT) {
    BOOST_OUTCOME_TRY(item, cursor.move(op));
    if (!item)
      return ok();
    const auto value = checked_value(item->key, item->value);
    if (!value)
      return fail(errc::corrupt, "a metric family does not match its checksum");
    byte_reader r{*value};
    promql::family_metadata family;
    family.type = metric_type{r.fixed<std::uint8_t>()};
    family.name = r.text();
    family.help = r.text();
    family.unit = r.text();
    if (!r.failed())
      each(std::move(family));
  }
}

// Of a table whose keys begin with a time: what lies in [from, to].
result<void>
partition_reader::each_in(MDB_dbi db, std::int64_t from_ns, std::int64_t to_ns, std::string_view what,
                          const std::function<void(std::int64_t time_ns, byte_reader& value)>& each) const {
  BOOST_OUTCOME_TRY(cursor, lmdb_cursor::open(txn_, db));
  const auto first = key_builder{}.time(from_ns);
  for (auto op = MDB_SET_RANGE;; op = MDB_NEXT) {
    BOOST_OUTCOME_TRY(item, cursor.move(op, op == MDB_SET_RANGE ? first.view() : bytes_view{}));
    if (!item || item->key.size() < 8 || key_time(item->key, 0) > to_ns)
      return ok();
    const auto value = checked_value(item->key, item->value);
    if (!value)
      return fail(errc::corrupt, fmt::format("{} does not match its checksum", what));
    byte_reader r{*value};
    each(key_time(item->key, 0), r);
    if (r.failed())
      return fail(errc::corrupt, fmt::format("{} does not decode", what));
  }
}

result<void> partition_reader::ledger(std::int64_t from_ns, std::int64_t to_ns,
                                      const std::function<void(const ledger_entry&)>& each) const {
  return each_in(owner_->ledger_, from_ns, to_ns, "a ledger entry",
                 [&](std::int64_t time_ns, byte_reader& r) {
                   ledger_entry entry;
                   entry.time_ns = time_ns;
                   entry.tenant = r.fixed<std::uint32_t>();
                   entry.kind = record_kind{r.fixed<std::uint8_t>()};
                   entry.seq = r.varint();
                   entry.origin = read_origin(r);
                   entry.site = r.text();
                   entry.host = r.text();
                   const auto payload = r.rest();
                   entry.payload.assign(payload.begin(), payload.end());
                   if (!r.failed())
                     each(entry);
                 });
}

result<void> partition_reader::records(std::int64_t from_ns, std::int64_t to_ns,
                                       const std::function<void(const kept_record&)>& each) const {
  return each_in(owner_->record_, from_ns, to_ns, "a record", [&](std::int64_t, byte_reader& r) {
    kept_record record;
    record.tenant = r.fixed<std::uint32_t>();
    record.origin = read_origin(r);
    record.site = r.text();
    const auto bytes = r.rest();
    record.bytes.assign(bytes.begin(), bytes.end());
    if (!r.failed())
      each(record);
  });
}

result<std::uint64_t> partition_reader::samples() const {
  BOOST_OUTCOME_TRY(value, get(owner_->meta_, as_bytes(meta_samples)));
  std::uint64_t n = 0;
  if (value && value->size() == sizeof n)
    std::memcpy(&n, value->data(), sizeof n);
  return n;
}

std::uint64_t partition_reader::version() const noexcept { return mdb_txn_id(txn_.get()); }

result<std::int64_t> partition_reader::newest_ns() const {
  BOOST_OUTCOME_TRY(value, get(owner_->meta_, as_bytes(meta_newest)));
  auto newest = INT64_MAX; // nobody wrote down how far it goes
  if (value && value->size() == sizeof newest)
    std::memcpy(&newest, value->data(), sizeof newest);
  return newest;
}

result<std::uint32_t> partition_reader::source_count() const {
  MDB_stat stat{};
  if (const int rc = mdb_stat(txn_.get(), owner_->source_, &stat); rc != 0)
    return lmdb_error(rc, "cannot count sources");
  return static_cast<std::uint32_t>(stat.ms_entries);
}

result<std::vector<seal_plan>> partition_reader::plans_of(std::uint64_t log_id) const {
  std::vector<seal_plan> plans;
  BOOST_OUTCOME_TRY(value, get(owner_->meta_, as_bytes(meta_key(meta_log, log_id))));
  if (!value)
    return plans;
  for (byte_reader r{*value}; r.remaining() != 0;) {
    seal_plan plan;
    plan.now_ns = r.fixed<std::int64_t>();
    plan.span_s = r.fixed<std::int64_t>();
    if (r.failed() || plan.span_s <= 0)
      return fail(errc::corrupt, fmt::format("what partition {} says of log {:016x} does not decode",
                                             to_string(owner_->id()), log_id));
    plans.push_back(plan);
  }
  return plans;
}

result<std::optional<seal_begun>> partition_reader::begun(std::uint64_t log_id) const {
  BOOST_OUTCOME_TRY(value, get(owner_->meta_, as_bytes(meta_key(meta_begun, log_id))));
  if (!value)
    return std::nullopt;
  byte_reader r{*value};
  seal_begun begun;
  begun.plan.now_ns = r.fixed<std::int64_t>();
  begun.plan.span_s = r.fixed<std::int64_t>();
  begun.extent = r.fixed<std::uint32_t>();
  begun.part = r.fixed<std::uint32_t>();
  if (r.failed() || begun.plan.span_s <= 0)
    return fail(errc::corrupt, fmt::format("how far partition {} took log {:016x} does not decode",
                                           to_string(owner_->id()), log_id));
  return begun;
}

} // namespace skerry::cloud
