#include "cloud/store/place_reader.hpp"

#include "cloud/store/sealer.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <sys/mman.h>
#include <unistd.h>

namespace skerry::cloud {

namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::uint32_t head_part = UINT32_MAX; // of a block, in the cache
constexpr std::size_t kept_blocks_max = 32;     // of a source in a partition

std::int64_t to_ms(std::int64_t ns) noexcept {
  return ns >= 0 ? ns / ns_per_ms : -((-(ns + 1)) / ns_per_ms) - 1;
}

void add(place_columns::column& to, std::int64_t time_ns, double value) {
  if (!to.times.empty() && to.times.back() >= time_ns)
    to.ascending = false;
  to.newest_ns = std::max(to.newest_ns, time_ns);
  to.times.push_back(time_ns);
  to.values.push_back(value);
}

// For so many first samples at once: growing bit by bit is most of what a short query allocates.
void make_room(place_columns::column& in, std::size_t samples) {
  if (in.times.capacity() != 0)
    return;
  in.times.reserve(samples);
  in.values.reserve(samples);
}

void sort_by_time(place_columns::column& c) {
  std::vector<std::uint32_t> order(c.times.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return c.times[a] < c.times[b]; });
  std::vector<std::int64_t> times(order.size());
  std::vector<double> values(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    times[i] = c.times[order[i]];
    values[i] = c.values[order[i]];
  }
  c.times = std::move(times);
  c.values = std::move(values);
}

// Milliseconds, each once.
void settle(place_columns::column& c) {
  if (!c.ascending)
    sort_by_time(c);
  std::size_t n = 0;
  std::int64_t last_ns = 0;
  for (std::size_t i = 0; i < c.times.size(); ++i) {
    const auto time_ns = c.times[i];
    const auto ms = to_ms(time_ns);
    const auto value = c.values[i];
    if (n == 0 || ms != c.times[n - 1]) {
      c.times[n] = ms;
      c.values[n++] = value;
    } else if (time_ns == last_ns) {
      c.values[n - 1] = resolve(c.values[n - 1], value);
    } else { // several within a millisecond: the last one stands for it
      c.values[n - 1] = value;
    }
    last_ns = time_ns;
  }
  c.times.resize(n);
  c.values.resize(n);
}

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

struct block_head {
  block_index index;
  bool ascending = true;
};

// Whether each of these columns has a sample that is newer.
bool all_newer(const place_columns& in, std::span<const std::uint32_t> columns, std::int64_t time_ns) {
  return std::all_of(columns.begin(), columns.end(),
                     [&](auto c) { return in.columns[c].newest_ns > time_ns; });
}

bool all_newer(const place_columns& in, std::span<const std::vector<std::uint32_t>> sets,
               std::int64_t time_ns) {
  return std::all_of(sets.begin(), sets.end(),
                     [&](const auto& set) { return all_newer(in, std::span{set}, time_ns); });
}

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

std::vector<std::uint32_t> place_columns::columns_of(const compact_set_ptr& set,
                                                     std::span<const std::uint16_t> members,
                                                     std::string_view site, std::string_view host) {
  auto& its = of_set(set, members.size());
  const bool alone = by_set_.size() == 1 && set->distinct();
  const auto find_or_add = [&](std::uint16_t member) {
    if (const auto known = alone ? std::nullopt : find(*set, member))
      return *known;
    columns.emplace_back().all = set->labels_of(member, site, host);
    makers_.push_back({its.set.get(), member});
    return static_cast<std::uint32_t>(columns.size() - 1);
  };
  auto& known = its.of_members;
  std::vector<std::uint32_t> out;
  out.reserve(members.size());
  for (const auto member : members) {
    auto at = known.end();
    if (!known.empty() && known.back().first >= member)
      at = std::lower_bound(known.begin(), known.end(), member,
                            [](const auto& k, std::uint16_t m) { return k.first < m; });
    if (at == known.end() || at->first != member)
      at = known.emplace(at, member, find_or_add(member));
    out.push_back(at->second);
  }
  return out;
}

place_columns::set_columns& place_columns::of_set(const compact_set_ptr& set, std::size_t members) {
  constexpr std::size_t few = 16;
  auto at = by_set_.size();
  if (by_set_.size() <= few) {
    const auto known = std::find_if(by_set_.begin(), by_set_.end(),
                                    [&](const set_columns& one) { return one.set->hash() == set->hash(); });
    at = static_cast<std::size_t>(known - by_set_.begin());
  } else {
    for (auto i = set_index_.size(); i < by_set_.size(); ++i)
      set_index_.emplace(by_set_[i].set->hash(), i);
    if (const auto known = set_index_.find(set->hash()); known != set_index_.end())
      at = known->second;
  }
  if (at == by_set_.size()) {
    by_set_.push_back({set, {}});
    by_set_.back().of_members.reserve(members);
  }
  return by_set_[at];
}

std::optional<std::uint32_t> place_columns::find(const compact_set& set, std::uint16_t member) {
  for (; indexed_ < columns.size(); ++indexed_) {
    const auto& by = makers_[indexed_];
    by_labels_.emplace(by.set->hash_of(by.member), static_cast<std::uint32_t>(indexed_));
  }
  const auto [from, to] = by_labels_.equal_range(set.hash_of(member));
  for (auto at = from; at != to; ++at) {
    const auto& by = makers_[at->second];
    if (by.set->same(by.member, set, member))
      return at->second;
  }
  return std::nullopt;
}

place_reader::place_reader(const store_snapshot& from, std::span<const std::shared_ptr<partition>> partitions,
                           const store_parts& parts, read_bounds& bounds)
    : from_(from), partitions_(partitions), parts_(parts), bounds_(bounds), readers_(partitions.size()) {}

bool place_reader::passable(const error& e, const char* what) {
  if (e.code != errc::corrupt && e.code != errc::malformed && e.code != errc::unsupported_version)
    return false;
  parts_.metrics.count_damaged(what);
  spdlog::error("store: a query leaves out a damaged {}: {}", what, e.message);
  return true;
}

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
  return ok();
}

result<partition_reader*> place_reader::partition_at(std::size_t index) {
  if (!readers_[index]) {
    BOOST_OUTCOME_TRY(reader, partitions_[index]->read());
    readers_[index] = std::make_unique<partition_reader>(std::move(reader));
  }
  return readers_[index].get();
}

result<compact_set_ptr> place_reader::set_of(const partition_reader& reader, const set_hash& hash) {
  cache_key key{cached_kind::series_set, 0, {}, 0};
  std::memcpy(key.place.data(), hash.bytes.data(), sizeof key.place);
  if (auto known = parts_.cache.find<const compact_set>(key))
    return known;
  // Sets that are still being written are in memory already.
  if (auto known = parts_.sets.find(hash))
    return known;
  BOOST_OUTCOME_TRY(found, reader.set(hash));
  if (!found)
    return fail(errc::corrupt, "series set " + to_string(hash) + " is missing");
  auto made = parts_.sets.compact(*found);
  parts_.cache.put(key, made, made->memory_bytes());
  return made;
}

std::vector<std::vector<std::uint32_t>> place_reader::columns_of(const head_hit& hit, const place& at,
                                                                 place_columns& to) {
  std::vector<std::vector<std::uint32_t>> columns(hit.of_sets.size());
  for (std::size_t s = 0; s < hit.of_sets.size(); ++s)
    if (!hit.of_sets[s]->empty())
      columns[s] = to.columns_of(hit.source->sets[s], *hit.of_sets[s], at.site, at.host);
  return columns;
}

result<void> place_reader::columns_of(const partition_hit& hit, place_columns& to,
                                      std::vector<std::uint32_t>& columns) {
  const auto& source = hit.source->source;
  BOOST_OUTCOME_TRY(reader, partition_at(hit.partition));
  BOOST_OUTCOME_TRY(set, set_of(*reader, source.set));
  if (!hit.of_set.empty() && hit.of_set.back() >= set->count())
    return fail(errc::corrupt, "the label index names a series that its set lacks");
  columns = to.columns_of(set, hit.of_set, source.site, source.host);
  return ok();
}

result<void> place_reader::read_head(const head_hit& hit, const place& at, place_columns& to) {
  const auto columns = columns_of(hit, at, to);
  const auto& env = *from_.logs[hit.log];
  const bool use_windows = parts_.cache.bytes_max() != 0 && width_of(*hit.source) <= window_columns_max;
  std::size_t first = 0; // window
  // Copied under the lock: the writer may add to them meanwhile.
  const auto frames = env.with_index([&](const log_index&) {
    const auto& all = hit.source->frames;
    auto from = all.begin();
    auto end = all.end();
    if (hit.source->ascending) {
      from = std::lower_bound(from, end, bounds_.from_ns,
                              [](const frame_ref& f, std::int64_t x) { return f.time_ns < x; });
      end = std::upper_bound(from, end, bounds_.to_ns,
                             [](std::int64_t x, const frame_ref& f) { return x < f.time_ns; });
    }
    first = static_cast<std::size_t>(from - all.begin()) / window_rows;
    const auto last = (static_cast<std::size_t>(end - all.begin()) + window_rows - 1) / window_rows;
    return std::vector<frame_ref>{
        all.begin() + static_cast<std::ptrdiff_t>(first * window_rows),
        all.begin() + static_cast<std::ptrdiff_t>(std::min(last * window_rows, all.size()))};
  });
  std::optional<log_reader> log;
  const auto open_log = [&]() -> result<void> { // after the frames were looked up: it sees them all
    if (!log) {
      BOOST_OUTCOME_TRY(opened, env.read());
      log.emplace(std::move(opened));
    }
    return ok();
  };
  const auto wanted = [&](const frame_ref& f) {
    return bounds_.wants(f.time_ns, f.time_ns) && !(bounds_.newest_only && all_newer(to, columns, f.time_ns));
  };
  const auto windows = (frames.size() + window_rows - 1) / window_rows;
  for (std::size_t i = 0; i < windows; ++i) {
    const auto number = bounds_.newest_only ? windows - 1 - i : i;
    const auto all = std::span{frames}.subspan(number * window_rows,
                                               std::min(window_rows, frames.size() - number * window_rows));
    auto part = all;
    while (!part.empty() && !wanted(part.back()))
      part = part.first(part.size() - 1);
    if (part.empty())
      continue;
    BOOST_OUTCOME_TRYV(go_on());
    const cache_key key{cached_kind::log_window,
                        env.cache_owner(),
                        {reinterpret_cast<std::uintptr_t>(hit.source), first + number},
                        0};
    auto window = use_windows ? parts_.cache.find<log_window>(key) : nullptr;
    if (!window && use_windows) {
      window = std::make_shared<log_window>(*hit.source);
      parts_.cache.put(key, window, window->memory_bytes());
    }
    if (window && window->has(all.size())) {
      BOOST_OUTCOME_TRYV(read_window(hit, *window, part.size(), columns, to));
      continue;
    }
    BOOST_OUTCOME_TRYV(open_log());
    const auto here =
        bounds_.newest_only ? 1 : static_cast<std::size_t>(std::count_if(part.begin(), part.end(), wanted));
    // Filled with all that is there, for who comes next: so half of what that costs must be spent, too.
    if (!window || !window->worth_extending(std::max(part.size(), all.size() / 2), here)) {
      BOOST_OUTCOME_TRY(read, read_frames(hit, part, *log, columns, to));
      if (window)
        window->note_read_without(read);
      continue;
    }
    BOOST_OUTCOME_TRY(changed, window->extend(all, *log, frames_, parts_.metrics));
    if (changed)
      parts_.cache.put(key, window, window->memory_bytes());
    BOOST_OUTCOME_TRYV(read_window(hit, *window, part.size(), columns, to));
  }
  return ok();
}

result<void> place_reader::read_window(const head_hit& hit, const log_window& window, std::size_t frames,
                                       std::span<const std::vector<std::uint32_t>> columns,
                                       place_columns& to) {
  std::size_t base = 0;
  std::size_t samples = 0;
  for (std::size_t s = 0; s < hit.of_sets.size(); ++s) {
    for (std::size_t i = 0; i < hit.of_sets[s]->size(); ++i) {
      auto& column = to.columns[columns[s][i]];
      make_room(column, bounds_.newest_only ? 1 : frames);
      const log_window::part what{base + (*hit.of_sets[s])[i], frames, bounds_.from_ns, bounds_.to_ns};
      const auto take = [&](std::int64_t time_ns, double value) {
        add(column, time_ns, value);
        ++samples;
      };
      if (bounds_.newest_only)
        window.read_newest(what, take);
      else
        window.read(what, take);
    }
    base += hit.source->sets[s]->count();
  }
  return count(samples);
}

result<std::size_t> place_reader::read_frames(const head_hit& hit, std::span<const frame_ref> frames,
                                              log_reader& log,
                                              std::span<const std::vector<std::uint32_t>> columns,
                                              place_columns& to) {
  std::size_t read = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto& ref = frames[bounds_.newest_only ? frames.size() - 1 - i : i];
    if (!bounds_.wants(ref.time_ns, ref.time_ns)
        || (bounds_.newest_only && all_newer(to, columns, ref.time_ns)))
      continue;
    BOOST_OUTCOME_TRYV(go_on());
    ++read;
    BOOST_OUTCOME_TRY(sound, frames_.read(log, ref.record, parts_.metrics));
    if (!sound)
      continue;
    const auto& f = frames_.content();
    std::size_t base = 0;
    std::size_t samples = 0;
    for (std::size_t s = 0; s < hit.of_sets.size() && s < f.sections.size(); ++s) {
      const auto& section = f.sections[s];
      for (std::size_t i = 0; i < hit.of_sets[s]->size(); ++i) {
        const std::size_t member = (*hit.of_sets[s])[i];
        std::size_t at_value = base + member;
        if (!section.present.empty()) {
          const auto word = section.present[member / 64];
          if ((word >> (member % 64) & 1) == 0)
            continue;
          at_value =
              base
              + static_cast<std::size_t>(std::popcount(word & ((std::uint64_t{1} << (member % 64)) - 1)));
          for (std::size_t w = 0; w < member / 64; ++w)
            at_value += static_cast<std::size_t>(std::popcount(section.present[w]));
        }
        auto& column = to.columns[columns[s][i]];
        if (bounds_.newest_only && column.newest_ns > ref.time_ns)
          continue;
        make_room(column, bounds_.newest_only ? 1 : frames.size());
        add(column, ref.time_ns, f.values[at_value]);
        ++samples;
      }
      base += section.value_count();
    }
    BOOST_OUTCOME_TRYV(count(samples));
  }
  return read;
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

result<void> place_reader::read_partition(const partition_hit& hit, place_columns& to) {
  BOOST_OUTCOME_TRY(blocks, blocks_of(hit));
  if (blocks.empty())
    return ok();
  BOOST_OUTCOME_TRY(reader, partition_at(hit.partition));
  std::vector<std::uint32_t> columns;
  BOOST_OUTCOME_TRYV(columns_of(hit, to, columns));
  if (bounds_.newest_only)
    std::sort(blocks.begin(), blocks.end(),
              [](const auto& a, const auto& b) { return a.last_ns > b.last_ns; });
  else
    for (const auto& at : blocks)
      if (!parts_.cache.find<const block_head>(head_key(hit, at)))
        if (const auto bytes = reader->block(at))
          will_need(bytes.value());
  for (const auto& at : blocks) {
    if (bounds_.newest_only && all_newer(to, std::span<const std::uint32_t>{columns}, at.last_ns))
      break; // nor is there in the rest
    BOOST_OUTCOME_TRYV(go_on());
    if (auto read = read_block(hit, at, columns, to); !read && !passable(read.error(), "block"))
      return read;
  }
  return ok();
}

cache_key place_reader::head_key(const partition_hit& hit, const block_place& at) const {
  return {cached_kind::block_head,
          partitions_[hit.partition]->cache_owner(),
          {at.log, std::uint64_t{at.extent} << 32 | at.offset},
          head_part};
}

result<void> place_reader::read_block(const partition_hit& hit, const block_place& at,
                                      std::span<const std::uint32_t> columns, place_columns& to) {
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
      continue;
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
    auto& column = to.columns[columns[i]];
    const auto before = column.times.size();
    const bool full =
        std::all_of(present_.begin(), present_.end() - 1, [](auto w) { return w == ~std::uint64_t{0}; })
        && present_.back() == (rows % 64 == 0 ? ~std::uint64_t{0} : (std::uint64_t{1} << (rows % 64)) - 1);
    if (full && head->ascending) {
      column.ascending = column.ascending && (before == 0 || column.times.back() < index.times_ns[begin]);
      column.newest_ns = std::max(column.newest_ns, index.times_ns[end - 1]);
      column.times.insert(column.times.end(), index.times_ns.begin() + static_cast<std::ptrdiff_t>(begin),
                          index.times_ns.begin() + static_cast<std::ptrdiff_t>(end));
      column.values.insert(column.values.end(), values_.begin() + static_cast<std::ptrdiff_t>(begin),
                           values_.begin() + static_cast<std::ptrdiff_t>(end));
    } else {
      for (auto r = begin; r < end; ++r)
        if ((present_[r / 64] >> (r % 64) & 1) != 0 && index.times_ns[r] >= bounds_.from_ns
            && index.times_ns[r] <= bounds_.to_ns)
          add(column, index.times_ns[r], values_[r]);
    }
    samples += column.times.size() - before;
  }
  return count(samples);
}

result<void> place_reader::read(const place& what, place_columns& to) {
  const auto heads = [&]() -> result<void> {
    const auto count = what.heads.size();
    for (std::size_t i = 0; i < count; ++i) {
      BOOST_OUTCOME_TRYV(read_head(what.heads[bounds_.newest_only ? count - 1 - i : i], what, to));
    }
    return ok();
  };
  const auto partitions = [&](auto from, auto end) -> result<void> {
    for (; from != end; ++from)
      if (auto read = read_partition(*from, to); !read && !passable(read.error(), "partition"))
        return read;
    return ok();
  };
  if (bounds_.newest_only) { // mostly nothing is left to read after the first
    BOOST_OUTCOME_TRYV(heads());
    BOOST_OUTCOME_TRYV(partitions(what.partitions.begin(), what.partitions.end()));
  } else { // oldest first: what is sealed, then the logs in order; mostly nothing is left to sort
    BOOST_OUTCOME_TRYV(partitions(what.partitions.rbegin(), what.partitions.rend()));
    BOOST_OUTCOME_TRYV(heads());
  }
  for (auto& c : to.columns)
    settle(c);
  return ok();
}

result<void> place_reader::name(const place& what, place_columns& to) {
  for (const auto& hit : what.heads) {
    (void)columns_of(hit, what, to);
  }
  for (const auto& hit : what.partitions) {
    BOOST_OUTCOME_TRYV(go_on());
    std::vector<std::uint32_t> columns;
    if (auto made = columns_of(hit, to, columns); !made && !passable(made.error(), "series set"))
      return made;
  }
  return ok();
}

} // namespace skerry::cloud
