#include "cloud/store/place_reader.hpp"

#include "cloud/store/damage_of.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace skerry::cloud {

namespace {

constexpr std::uint32_t head_part = UINT32_MAX; // of a block, in the cache
constexpr std::size_t kept_blocks_max = 32;     // of a source in a partition

// The map is read at random, a page a fault: a block that the disk must give is asked for as a whole, and all of a host
// at once. A hint, whatever comes of it.
void will_need(bytes_view bytes) noexcept {
  static const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto from = reinterpret_cast<std::uintptr_t>(bytes.data()) & ~(page - 1);
  const auto to = reinterpret_cast<std::uintptr_t>(bytes.data()) + bytes.size();
  if (to - from > page)
    (void)::madvise(reinterpret_cast<void*>(from), to - from,
                    MADV_WILLNEED); // NOLINT: an address as a number
}

// Of a column that grows: on average it has room for half as many again.
constexpr std::uint64_t bytes_per_sample = 3 * (sizeof(std::int64_t) + sizeof(double)) / 2;

struct block_head {
  block_index index;
  bool ascending = true;
};

} // namespace

bool read_bounds::wants(std::int64_t first_ns, std::int64_t last_ns) const noexcept {
  first_ns = std::max(first_ns, from_ns);
  last_ns = std::min(last_ns, to_ns);
  if (first_ns > last_ns)
    return false;
  if (step_ns == 0)
    return true;
  const auto before = [](std::int64_t a, std::int64_t b) { // however far apart
    return static_cast<std::uint64_t>(b) - static_cast<std::uint64_t>(a);
  };
  const auto since_step = before(from_ns, first_ns) % step_ns;
  return since_step <= span_ns || before(first_ns, last_ns) >= step_ns - since_step;
}

result<kept_source_ptr> find_source(const partition& in, const partition_reader& reader, std::uint32_t number,
                                    read_cache& cache) {
  const cache_key key{cached_kind::partition_source, in.cache_owner(), {number, reader.version()}, 0};
  if (auto known = cache.find<const kept_source>(key))
    return known;
  auto made = std::make_shared<kept_source>();
  BOOST_OUTCOME_TRY(source, reader.source(number));
  made->source = std::move(source);
  if (cache.bytes_max() != 0) {
    const auto all =
        reader.each_block(number, INT64_MIN, INT64_MAX, [&](const block_place& at) -> result<void> {
          if (made->blocks.size() == kept_blocks_max)
            return fail(errc::exhausted, "more blocks than are kept");
          made->blocks.push_back(at);
          return ok();
        });
    made->all_blocks = all.has_value();
    if (!made->all_blocks)
      made->blocks = {};
    made->blocks.shrink_to_fit();
    cache.put(key, made,
              sizeof *made + made->source.site.size() + made->source.host.size()
                  + made->blocks.size() * sizeof(block_place));
  }
  return kept_source_ptr{std::move(made)};
}

place_reader::place_reader(const store_snapshot& from, std::span<const std::shared_ptr<partition>> partitions,
                           const store_parts& parts, read_bounds& bounds)
    : from_(from),
      partitions_(partitions),
      parts_(parts),
      bounds_(bounds),
      readers_(partitions.size()),
      held_(bounds.memory) {}

result<void> place_reader::go_on() const {
  if (bounds_.cancelled != nullptr && bounds_.cancelled->load(std::memory_order_relaxed))
    return fail(errc::cancelled, "the query was cancelled");
  return ok();
}

result<void> place_reader::count(std::size_t samples) {
  if (bounds_.samples.fetch_add(samples, std::memory_order_relaxed) + samples > bounds_.samples_max)
    return fail(errc::exhausted,
                fmt::format("the query reads more than {} samples; narrow its matchers or its range",
                            bounds_.samples_max));
  return held_.add(samples * bytes_per_sample);
}

result<void> place_reader::count_columns(std::size_t known) {
  std::uint64_t bytes = 0;
  for (auto i = known; i < to_.size(); ++i)
    bytes += 2 * sizeof(series_column) + promql::memory_of(to_[static_cast<std::uint32_t>(i)].all);
  return bytes == 0 ? ok() : held_.add(bytes);
}

result<partition_reader*> place_reader::partition_at(std::size_t index) {
  if (!readers_[index]) {
    BOOST_OUTCOME_TRY(reader, partitions_[index]->read());
    readers_[index] = std::make_unique<partition_reader>(std::move(reader));
  }
  return readers_[index].get();
}

result<compact_set_ptr> find_compact_set(const partition_reader& reader, const set_hash& hash,
                                         const store_parts& parts) {
  cache_key key{cached_kind::series_set, 0, {}, 0};
  std::memcpy(key.place.data(), hash.bytes.data(), sizeof key.place);
  if (auto known = parts.cache.find<const compact_set>(key))
    return known;
  // Sets that are still being written are in memory already.
  if (auto known = parts.sets.find(hash))
    return known;
  BOOST_OUTCOME_TRY(found, reader.set(hash));
  if (!found)
    return fail(errc::corrupt, "series set " + to_string(hash) + " is missing");
  auto made = parts.sets.compact(*found);
  parts.cache.put(key, made, made->memory_bytes());
  return made;
}

result<void> place_reader::find_columns(const partition_hit& hit) {
  BOOST_OUTCOME_TRY(reader, partition_at(hit.partition));
  const auto& source = hit.source->source;
  BOOST_OUTCOME_TRY(set, find_compact_set(*reader, source.set, parts_));
  if (!hit.of_set.empty() && hit.of_set.back() >= set->count())
    return fail(errc::corrupt, "the label index names a series that its set lacks");
  columns_.clear();
  const auto known = to_.size();
  to_.columns_of(set, site_beside(source.edge, source.site), hit.of_set, columns_);
  return count_columns(known);
}

bool place_reader::all_newer(std::int64_t time_ns) const {
  return std::all_of(columns_.begin(), columns_.end(), [&](auto c) { return to_[c].newest_ns > time_ns; });
}

result<std::vector<block_place>> place_reader::blocks_of(const partition_hit& hit) {
  std::vector<block_place> blocks;
  const auto take = [&](const block_place& at) -> result<void> {
    if (bounds_.wants(at.first_ns, at.last_ns))
      blocks.push_back(at);
    return ok();
  };
  if (hit.source->all_blocks) {
    for (const auto& at : hit.source->blocks) {
      BOOST_OUTCOME_TRYV(take(at));
    }
    return blocks;
  }
  BOOST_OUTCOME_TRY(reader, partition_at(hit.partition));
  BOOST_OUTCOME_TRYV(reader->each_block(hit.source->source.number, bounds_.from_ns, bounds_.to_ns, take));
  return blocks;
}

result<void> place_reader::read_partition(const partition_hit& hit) {
  BOOST_OUTCOME_TRY(blocks, blocks_of(hit));
  if (blocks.empty())
    return ok();
  BOOST_OUTCOME_TRY(reader, partition_at(hit.partition));
  BOOST_OUTCOME_TRYV(find_columns(hit));
  if (bounds_.newest_only)
    std::sort(blocks.begin(), blocks.end(),
              [](const auto& a, const auto& b) { return a.last_ns > b.last_ns; });
  else
    for (const auto& at : blocks)
      if (!parts_.cache.find<const block_head>(head_key(hit, at)))
        if (const auto bytes = reader->block(at))
          will_need(bytes.value());
  for (const auto& at : blocks) {
    if (bounds_.newest_only && all_newer(at.last_ns))
      break; // nor is there in the rest
    BOOST_OUTCOME_TRYV(go_on());
    if (auto read = read_block(hit, at); !read) {
      if (!is_damage(read.error()))
        return read;
      parts_.damages.note(lost_block(partitions_[hit.partition]->id(), hit.source->source, at), "block",
                          read.error().message);
    }
  }
  return ok();
}

cache_key place_reader::head_key(const partition_hit& hit, const block_place& at) const {
  return {cached_kind::block_head,
          partitions_[hit.partition]->cache_owner(),
          {at.log, std::uint64_t{at.extent} << 32 | at.offset},
          head_part};
}

result<void> place_reader::read_block(const partition_hit& hit, const block_place& at) {
  const auto& reader = *readers_[hit.partition];
  auto key = head_key(hit, at);
  bytes_view bytes;
  const auto load = [&]() -> result<void> {
    if (bytes.empty()) {
      BOOST_OUTCOME_TRY(found, reader.block(at));
      bytes = found;
    }
    return ok();
  };
  auto head = parts_.cache.find<const block_head>(key);
  if (!head) {
    auto made = std::make_shared<block_head>();
    BOOST_OUTCOME_TRYV(load());
    BOOST_OUTCOME_TRYV(decoder_.read_index(bytes, made->index));
    made->ascending = std::is_sorted(made->index.times_ns.begin(), made->index.times_ns.end());
    parts_.cache.put(key, made, made->index.memory_bytes());
    head = std::move(made);
  }
  const auto& index = head->index;
  const auto rows = index.rows();
  std::size_t begin = 0;
  std::size_t end = rows;
  if (head->ascending) {
    const auto& times = index.times_ns;
    begin = static_cast<std::size_t>(std::lower_bound(times.begin(), times.end(), bounds_.from_ns)
                                     - times.begin());
    end =
        static_cast<std::size_t>(std::upper_bound(times.begin(), times.end(), bounds_.to_ns) - times.begin());
  }
  if (begin == end)
    return ok();
  values_.resize(rows);
  present_.resize(row_words(rows));
  std::shared_ptr<const byte_buffer> group;
  std::size_t samples = 0;
  for (std::size_t i = 0; i < hit.of_set.size(); ++i) {
    if (hit.of_set[i] >= index.columns())
      return fail(errc::corrupt, "a block has fewer columns than its set has series");
    const auto number = index.group_of(hit.of_set[i]);
    if (!group || key.part != number) {
      key.kind = cached_kind::block_group;
      key.part = static_cast<std::uint32_t>(number);
      group = parts_.cache.find<const byte_buffer>(key);
      if (!group) {
        auto made = std::make_shared<byte_buffer>();
        BOOST_OUTCOME_TRYV(load());
        BOOST_OUTCOME_TRYV(decoder_.read_group(bytes, index, number, *made));
        parts_.cache.put(key, made, made->size());
        group = std::move(made);
      }
    }
    BOOST_OUTCOME_TRYV(decoder_.read_column(index, hit.of_set[i], *group, values_, present_, {begin, end}));
    auto& column = to_[columns_[i]];
    const auto before = column.times.size();
    const bool full =
        std::all_of(present_.begin(), present_.end() - 1, [](auto w) { return w == ~std::uint64_t{0}; })
        && present_.back() == (rows % 64 == 0 ? ~std::uint64_t{0} : (std::uint64_t{1} << (rows % 64)) - 1);
    if (full && head->ascending) {
      column.newest_ns = std::max(column.newest_ns, index.times_ns[end - 1]);
      column.times.insert(column.times.end(), index.times_ns.begin() + static_cast<std::ptrdiff_t>(begin),
                          index.times_ns.begin() + static_cast<std::ptrdiff_t>(end));
      column.values.insert(column.values.end(), values_.begin() + static_cast<std::ptrdiff_t>(begin),
                           values_.begin() + static_cast<std::ptrdiff_t>(end));
    } else {
      for (auto r = begin; r < end; ++r)
        if ((present_[r / 64] >> (r % 64) & 1) != 0 && index.times_ns[r] >= bounds_.from_ns
            && index.times_ns[r] <= bounds_.to_ns)
          column.add(index.times_ns[r], values_[r]);
    }
    samples += column.times.size() - before;
  }
  return count(samples);
}

void place_reader::note_source(const partition_hit& hit, const error& why) {
  parts_.damages.note(lost_source(partitions_[hit.partition]->id(), hit.source->source), "source",
                      why.message);
}

result<std::vector<series_column>> place_reader::read(const place& what) {
  to_.start();
  held_.clear();
  const auto heads = [&]() -> result<void> {
    const auto count = what.heads.size();
    for (std::size_t i = 0; i < count; ++i) {
      BOOST_OUTCOME_TRYV(read_head(what.heads[bounds_.newest_only ? count - 1 - i : i]));
    }
    return ok();
  };
  const auto partitions = [&](auto from, auto end) -> result<void> {
    for (; from != end; ++from)
      if (auto read = read_partition(*from); !read) {
        if (!is_damage(read.error()))
          return read;
        note_source(*from, read.error());
      }
    return ok();
  };
  if (bounds_.newest_only) { // mostly nothing is left to read after the first
    BOOST_OUTCOME_TRYV(heads());
    BOOST_OUTCOME_TRYV(partitions(what.partitions.begin(), what.partitions.end()));
  } else { // oldest first: what is sealed, then the logs in order; mostly nothing is left to sort
    BOOST_OUTCOME_TRYV(partitions(what.partitions.rbegin(), what.partitions.rend()));
    BOOST_OUTCOME_TRYV(heads());
  }
  return to_.take();
}

result<std::vector<series_column>> place_reader::name(const place& what) {
  to_.start();
  held_.clear();
  for (const auto& hit : what.heads) {
    BOOST_OUTCOME_TRYV(find_columns(hit));
  }
  for (const auto& hit : what.partitions) {
    BOOST_OUTCOME_TRYV(go_on());
    if (auto made = find_columns(hit); !made) {
      if (!is_damage(made.error()))
        return made.error();
      note_source(hit, made.error());
    }
  }
  return to_.take();
}

} // namespace skerry::cloud
