#include "edge/spool/segment.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::edge {

result<segment_reader> segment_reader::open(const std::filesystem::path& directory) {
  BOOST_OUTCOME_TRY(file, lmdb_file::open(data_file(directory)));
  return segment_reader{std::move(file)};
}

result<lmdb_snapshot> segment_reader::newest() const {
  BOOST_OUTCOME_TRY(both, file_.snapshots());
  return both[0];
}

bool segment_reader::never_written() const {
  const auto both = file_.snapshots();
  return both && both.value()[0].transaction == 0;
}

result<std::optional<run>> segment_reader::find_run(const stream_key& key, sequence seq) const {
  BOOST_OUTCOME_TRY(in, newest());
  BOOST_OUTCOME_TRY(tree, find_tree(file_, in, runs_database));
  lmdb_cursor cursor{file_, in, tree};
  const auto wanted = encode_run_key(key, seq);
  const auto stream_bytes = wanted.size() - sizeof(sequence);
  // Keys are first sequences: the run that has `seq` is the last one that starts at or before it.
  BOOST_OUTCOME_TRY(found, cursor.seek_at_most(wanted));
  bool after = false;
  for (;;) {
    const auto same =
        found && cursor.key().size() == wanted.size()
        && std::equal(wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(stream_bytes),
                      cursor.key().begin());
    if (same) {
      BOOST_OUTCOME_TRY(bytes, cursor.value());
      auto decoded = decode_run(shared_bytes::take(std::move(bytes)));
      if (!decoded)
        return fail(errc::corrupt, decoded.error().message);
      const auto& header = decoded.value().header;
      const auto named = encode_run_key(header.key, header.first);
      if (!std::equal(named.begin(), named.end(), cursor.key().begin(), cursor.key().end()))
        return fail(errc::corrupt, "a run stands under another key");
      if (after || header.last() >= seq)
        return std::optional<run>{std::move(decoded).value()};
    }
    if (after)
      return std::optional<run>{};
    after = true;
    BOOST_OUTCOME_TRY(next, found ? cursor.next() : cursor.first());
    found = next;
  }
}

result<std::optional<byte_buffer>> segment_reader::find_set(const set_name& name) const {
  BOOST_OUTCOME_TRY(in, newest());
  BOOST_OUTCOME_TRY(tree, find_tree(file_, in, sets_database));
  lmdb_cursor cursor{file_, in, tree};
  BOOST_OUTCOME_TRY(found, cursor.seek_exactly(encode_set_key(name)));
  if (!found)
    return std::optional<byte_buffer>{};
  BOOST_OUTCOME_TRY(bytes, cursor.value());
  BOOST_OUTCOME_TRY(value, decode_set_value(bytes));
  if (value.name != name || value.bytes != bytes.size())
    return fail(errc::corrupt, "a series set stands under another key");
  return std::optional<byte_buffer>{std::move(bytes)};
}

namespace {

// Calls `visit(cursor)` for every entry, and checks that keys ascend and that there are as many as the tree
// says.
template <class Visit>
result<void> walk(const lmdb_file& file, const lmdb_snapshot& in, std::string_view name, Visit&& visit) {
  BOOST_OUTCOME_TRY(tree, find_tree(file, in, name));
  lmdb_cursor cursor{file, in, tree};
  std::uint64_t seen = 0;
  byte_buffer before;
  BOOST_OUTCOME_TRY(more, cursor.first());
  while (more) {
    const auto key = cursor.key();
    if (seen++ == tree.entries
        || (seen > 1 && !std::lexicographical_compare(before.begin(), before.end(), key.begin(), key.end())))
      return fail(errc::corrupt, fmt::format("the database '{}' is out of order", name));
    before.assign(key.begin(), key.end());
    BOOST_OUTCOME_TRYV(visit(cursor));
    BOOST_OUTCOME_TRY(again, cursor.next());
    more = again;
  }
  if (seen != tree.entries)
    return fail(errc::corrupt,
                fmt::format("the database '{}' has {} entries, not {}", name, seen, tree.entries));
  return ok();
}

} // namespace

result<set_filter> segment_reader::make_set_filter(std::uint64_t seed) const {
  BOOST_OUTCOME_TRY(in, newest());
  BOOST_OUTCOME_TRY(tree, find_tree(file_, in, sets_database));
  set_filter out{tree.entries, seed};
  BOOST_OUTCOME_TRYV(walk(file_, in, sets_database, [&](lmdb_cursor& at) -> result<void> {
    out.add(at.key());
    return ok();
  }));
  return out;
}

result<void> segment_reader::check(const segment_index& index, const lmdb_snapshot& in) const {
  std::map<stream_key, segment_stream> found;
  std::uint64_t runs = 0;
  std::uint64_t sets = 0;
  BOOST_OUTCOME_TRYV(walk(file_, in, runs_database, [&](lmdb_cursor& at) -> result<void> {
    BOOST_OUTCOME_TRY(bytes, at.value());
    BOOST_OUTCOME_TRY(one, decode_run(shared_bytes::take(std::move(bytes))));
    const auto named = encode_run_key(one.header.key, one.header.first);
    if (!std::equal(named.begin(), named.end(), at.key().begin(), at.key().end()))
      return fail(errc::corrupt, "a run stands under another key");
    BOOST_OUTCOME_TRY(records, decode_records(one));
    auto& stream = found[one.header.key];
    stream.stored.add({one.header.first, one.header.last()});
    stream.records += records.size();
    stream.bytes += one.bytes.view.size();
    ++runs;
    return ok();
  }));
  BOOST_OUTCOME_TRYV(walk(file_, in, sets_database, [&](lmdb_cursor& at) -> result<void> {
    BOOST_OUTCOME_TRY(bytes, at.value());
    BOOST_OUTCOME_TRY(value, decode_set_value(bytes));
    const auto named = encode_set_key(value.name);
    if (!std::equal(named.begin(), named.end(), at.key().begin(), at.key().end()))
      return fail(errc::corrupt, "a series set stands under another key");
    BOOST_OUTCOME_TRYV(expand_set(value));
    ++sets;
    return ok();
  }));
  if (runs != index.head.runs || sets != index.head.sets)
    return fail(errc::corrupt, fmt::format("{} runs and {} sets are there, not {} and {}", runs, sets,
                                           index.head.runs, index.head.sets));
  for (const auto& [key, stream] : index.streams) {
    const auto it = found.find(key);
    if (it == found.end() || it->second.stored != stream.stored || it->second.records != stream.records
        || it->second.bytes != stream.bytes)
      return fail(errc::corrupt, fmt::format("stream {} is not what the index says", to_string(key)));
  }
  if (found.size() != index.streams.size())
    return fail(errc::corrupt, "there are streams that the index does not name");
  return ok();
}

std::optional<std::string> segment_reader::verify() const {
  const auto in = newest();
  if (!in)
    return in.error().message;
  const auto index = load_index();
  if (!index)
    return index.error().message;
  if (const auto checked = check(index.value(), in.value()); !checked)
    return checked.error().message;
  return std::nullopt;
}

} // namespace skerry::edge
