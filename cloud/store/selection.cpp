#include "cloud/store/selection.hpp"

#include "cloud/store/damage_of.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <tuple>

namespace skerry::cloud {

namespace {

constexpr std::size_t places_ahead_max = 8;        // read but not yet handed over
constexpr std::size_t helpers_max = 4;             // of one query
constexpr std::size_t samples_ahead_max = 4 << 20; // of them, or one host's
// Handing hosts over between threads costs more than reading cheap ones (tests/bench/query on two cores: queries of 5 ms
// take 15 % longer with help, those of 35 ms 10 % less). They are called once a query turns out to be long.
constexpr std::chrono::microseconds alone_min{2'000};
constexpr std::chrono::microseconds worth_help_min{7'000};

// Of shards that are read and aggregated side by side.
constexpr std::size_t shards_max = 8;
constexpr std::uint64_t shard_samples_min = 100'000; // some milliseconds each
constexpr std::int64_t interval_guess_ns = 15'000'000'000;
constexpr std::int64_t span_max_ns = 30 * std::int64_t{86'400'000'000'000};

// Of a place that was found, and of its slot while it is read ahead.
constexpr std::uint64_t place_bytes = sizeof(place) + promql::table_entry_bytes + 128;

std::int64_t to_ns(std::int64_t ms, bool end_of) noexcept {
  if (ms > INT64_MAX / ns_per_ms - 1)
    return INT64_MAX;
  if (ms < INT64_MIN / ns_per_ms + 1)
    return INT64_MIN;
  return ms * ns_per_ms + (end_of ? ns_per_ms - 1 : 0);
}

} // namespace

selection::selection(store_snapshot from, const store_parts& parts, read_pool& helpers,
                     const promql::select_request& request)
    : from_(std::move(from)),
      parts_(parts),
      helpers_(helpers),
      request_(request),
      found_held_(request.memory) {
  bounds_.from_ns = to_ns(request.from_ms, false);
  bounds_.to_ns = to_ns(request.to_ms, true);
  bounds_.samples_max = request.samples_max;
  bounds_.memory = request.memory;
  if (request.step_ms > request.span_ms && request.step_ms <= INT64_MAX / ns_per_ms
      && bounds_.from_ns != INT64_MIN) {
    bounds_.step_ns = static_cast<std::uint64_t>(request.step_ms * ns_per_ms);
    bounds_.span_ns = static_cast<std::uint64_t>(request.span_ms * ns_per_ms + ns_per_ms - 1);
  }
  bounds_.newest_only = request.newest_only;
  bounds_.cancelled = request.cancelled;
  for (const auto& m : request.matchers)
    (m.name() == "site" ? site_matchers_ : label_matchers_).push_back(m);
}

result<void> selection::go_on() const {
  if (request_.cancelled != nullptr && request_.cancelled->load(std::memory_order_relaxed))
    return fail(errc::cancelled, "the query was cancelled");
  return ok();
}

bool selection::passable(const error& e, const partition& in, const char* what) {
  if (!is_damage(e))
    return false;
  parts_.damages.note(lost_in_partition(in.id(), what), what, e.message);
  return true;
}

bool selection::site_matches(std::string_view site) const {
  return std::all_of(site_matchers_.begin(), site_matchers_.end(),
                     [&](const auto& m) { return m.matches(site); });
}

const set_members* selection::having_site(const compact_set& set, const set_members& members,
                                          std::string_view site) {
  if (site_matchers_.empty() || !set.names_sites())
    return &members;
  auto& kept = of_site_.emplace_back();
  std::copy_if(members.begin(), members.end(), std::back_inserter(kept),
               [&](auto member) { return site_matches(set.site_of(member, site)); });
  return &kept;
}

result<void> selection::open_partitions() {
  for (const auto& id : from_.partitions) {
    if (!id.overlaps(bounds_.from_ns, bounds_.to_ns))
      continue;
    auto p = parts_.partitions.open(id);
    if (!p) {
      // Deleted since by retention, or damaged, which is noted: the rest answers.
      if (p.error().code == errc::not_found || is_damage(p.error()))
        continue;
      return p.error();
    }
    opened_.push_back(std::move(p.value()));
  }
  return ok();
}

place& selection::place_of(std::string_view site, std::string_view host) {
  auto& found = found_[{site, host}];
  if (found.hosts.empty())
    found.hosts = {promql::host_name{site, host}};
  return found;
}

void selection::find_in_log(std::size_t log, set_matcher& matcher) {
  from_.logs[log]->with_index([&](const log_index& index) {
    if (index.time_max < bounds_.from_ns || index.time_min > bounds_.to_ns)
      return;
    head_hit hit;
    std::string_view site;
    bool site_fits = true;
    const auto begin = [&](const head_source& source) {
      hit = {log, &source, {}};
      site = site_beside(source.edge, source.site);
      site_fits = site_matches(site);
      return !source.frames.empty() && source.time_max >= bounds_.from_ns && source.time_min <= bounds_.to_ns;
    };
    const auto look_at = [&](std::uint32_t section) {
      const auto* set = hit.source->sets[section].get();
      if (!site_fits && !set->names_sites())
        return;
      const auto [found, fresh] = matched_.try_emplace(set);
      if (fresh)
        found->second = matcher.match(*set);
      if (found->second.empty())
        return;
      if (const auto* members = having_site(*set, found->second, site); !members->empty())
        hit.sections.push_back({section, members});
    };
    const auto end = [&] {
      if (!hit.sections.empty())
        place_of(hit.source->site, hit.source->host).heads.push_back(std::move(hit));
    };
    if (const auto* metric = matcher.metric()) {
      const auto name = parts_.sets.symbol_of(*metric);
      const auto having = name ? index.having(*name) : std::vector<set_place>{};
      for (auto at = having.begin(); at != having.end();) {
        const auto source = at->source;
        const bool wanted = begin(*index.sources()[source]);
        for (; at != having.end() && at->source == source; ++at)
          if (wanted)
            look_at(at->section);
        end();
      }
      return;
    }
    for (const auto& source : index.sources())
      if (begin(*source)) {
        for (std::uint32_t section = 0; section < source->sets.size(); ++section)
          look_at(section);
        end();
      }
  });
}

result<void> selection::find_in_partition(std::size_t partition) {
  BOOST_OUTCOME_TRY(reader, opened_[partition]->read());
  BOOST_OUTCOME_TRY(newest_ns, reader.newest_ns());
  if (newest_ns < bounds_.from_ns) // today's, and the query is about what is still in the log
    return ok();
  BOOST_OUTCOME_TRY(found, reader.match(request_.matchers));
  std::optional<partition_hit> hit;
  std::uint32_t current = 0;
  const auto close = [&] {
    if (hit && hit->source)
      place_of(hit->source->source.site, hit->source->source.host).partitions.push_back(std::move(*hit));
    hit.reset();
  };
  for (const auto id : found) {
    const auto number = id / static_cast<std::uint32_t>(set_series_max);
    if (!hit || current != number) {
      close();
      auto source = find_source(*opened_[partition], reader, number, parts_.cache);
      if (!source && !passable(source.error(), *opened_[partition], "source"))
        return source.error();
      hit = partition_hit{partition, source ? std::move(source.value()) : nullptr, {}};
      current = number;
    }
    hit->of_set.push_back(static_cast<std::uint16_t>(id % set_series_max));
  }
  close();
  return ok();
}

result<void> selection::find() {
  BOOST_OUTCOME_TRYV(open_partitions());
  set_matcher matcher{label_matchers_};
  for (std::size_t i = 0; i < from_.logs.size(); ++i) {
    BOOST_OUTCOME_TRYV(go_on());
    find_in_log(i, matcher);
  }
  for (std::size_t i = 0; i < opened_.size(); ++i) {
    BOOST_OUTCOME_TRYV(go_on());
    if (auto found = find_in_partition(i); !found && !passable(found.error(), *opened_[i], "index"))
      return found;
  }
  places_.reserve(found_.size());
  for (auto& [name, at] : found_)
    places_.push_back(&at);
  std::sort(places_.begin(), places_.end(), [](const place* a, const place* b) {
    return std::tie(a->hosts[0].site, a->hosts[0].host) < std::tie(b->hosts[0].site, b->hosts[0].host);
  });
  BOOST_OUTCOME_TRYV(join_places());
  std::uint64_t bytes = 0;
  for (const auto* at : places_) {
    bytes += place_bytes + at->partitions.size() * sizeof(partition_hit)
             + (at->heads.size() > 1 ? at->heads.size() * sizeof(head_hit) : 0);
    for (const auto& hit : at->partitions)
      bytes += hit.of_set.size() * sizeof(std::uint16_t);
  }
  return found_held_.add(bytes);
}

// What the thread that asked and its helpers share. A helper that comes too late finds it stopped and touches nothing
// else.
struct selection::lookahead {
  enum class stage : std::uint8_t { unclaimed, reading, ready };
  struct slot {
    const place* what = nullptr;
    stage at = stage::unclaimed;
    std::vector<series_column> columns;
    promql::memory_hold held{nullptr}; // for the columns
    std::size_t samples = 0;
    result<void> how = ok();
  };

  std::mutex mutex;
  std::condition_variable changed; // for helpers, and for their end
  std::condition_variable ready;   // for the thread that asked
  std::vector<slot> slots;
  const slot* wanted = nullptr; // it waits for this one
  std::size_t next = 0;         // the first that is not claimed
  std::size_t taken = 0;        // handed over
  std::size_t ahead = 0;        // samples that are ready and not handed over
  std::size_t helping = 0;
  std::size_t waiting = 0; // of them
  bool stopped = false;

  // The next to read, within the bound; null: none now. The lock is held.
  slot* claim() {
    if (stopped || next >= std::min(slots.size(), taken + places_ahead_max)
        || (next > taken && ahead > samples_ahead_max))
      return nullptr;
    slots[next].at = stage::reading;
    return &slots[next++];
  }

  void done(slot& s) { // the lock is held
    s.at = stage::ready;
    ahead += s.samples;
  }

  static void read(place_reader& reader, slot& into) noexcept {
    try {
      auto read = reader.read(*into.what);
      if (!read) {
        into.how = read.error();
        return;
      }
      into.columns = std::move(read.value());
      into.held = reader.take_held();
      for (const auto& c : into.columns)
        into.samples += c.times.size();
    } catch (const std::exception& e) { // out of memory: this query's end, nobody else's
      into.how = fail(errc::exhausted, fmt::format("the query could not go on: {}", e.what()));
    }
  }

  // Afterwards no helper looks at the selection any more.
  void stop() noexcept {
    std::unique_lock lock{mutex};
    stopped = true;
    changed.notify_all();
    changed.wait(lock, [this] { return helping == 0; });
    slots.clear(); // a helper that comes too late keeps nothing of the query
  }

  void help(place_reader& reader) {
    std::unique_lock lock{mutex};
    while (!stopped && next < slots.size()) {
      auto* mine = claim();
      if (mine == nullptr) {
        ++waiting;
        changed.wait(lock);
        --waiting;
        continue;
      }
      lock.unlock();
      read(reader, *mine);
      lock.lock();
      done(*mine);
      if (wanted == mine)
        ready.notify_one();
    }
  }
};

result<void> selection::select(const promql::each_series& each) {
  BOOST_OUTCOME_TRYV(find());
  return read_ahead(each);
}

result<void> selection::prepare() {
  BOOST_OUTCOME_TRYV(find());
  // About how many samples: from the data and the request alone, so that the same query has the same shards.
  std::uint64_t series = 0;
  for (const auto* at : places_) {
    std::size_t here = 0;
    for (const auto& hit : at->partitions)
      here = std::max(here, hit.of_set.size());
    for (const auto& hit : at->heads)
      for (const auto& section : hit.sections)
        here = std::max(here, section.members->size());
    series += here;
  }
  const auto span_ns =
      std::clamp(bounds_.to_ns / 2 - bounds_.from_ns / 2, std::int64_t{0}, span_max_ns / 2) * 2;
  const auto samples = series * static_cast<std::uint64_t>(span_ns / interval_guess_ns + 1);
  if (samples >= shard_samples_min * 2)
    shards_ = std::min({shards_max, places_.size(), static_cast<std::size_t>(samples / shard_samples_min)});
  return ok();
}

void selection::run(const std::function<void(std::size_t)>& work) {
  struct progress {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t next = 0;
    std::size_t working = 0;
  };
  const auto shared = std::make_shared<progress>();
  // A helper that comes too late finds nothing left and touches nothing else.
  const auto help = [shared, count = shards_, &work] {
    std::unique_lock lock{shared->mutex};
    while (shared->next < count) {
      const auto shard = shared->next++;
      ++shared->working;
      lock.unlock();
      work(shard);
      lock.lock();
      --shared->working;
    }
    shared->changed.notify_all();
  };
  for (std::size_t i = 1; i < shards_ && helpers_.try_post(help); ++i) {
  }
  help();
  std::unique_lock lock{shared->mutex};
  shared->changed.wait(lock, [&] { return shared->working == 0; });
}

result<void> selection::read(std::size_t shard, const promql::each_series& each) {
  if (shards_ == 1)
    return read_ahead(each);
  place_reader reader{from_, opened_, parts_, bounds_};
  const auto begin = places_.size() * shard / shards_;
  const auto end = places_.size() * (shard + 1) / shards_;
  for (auto i = begin; i < end; ++i) {
    BOOST_OUTCOME_TRY(columns, reader.read(*places_[i]));
    const auto held = reader.take_held();
    for (const auto& c : columns)
      if (!c.times.empty())
        each({c.all, c.times, c.values, places_[i]->names()});
  }
  return ok();
}

result<void> selection::read_ahead(const promql::each_series& each) {
  auto shared = std::make_shared<lookahead>();
  shared->slots.reserve(places_.size());
  for (const auto* at : places_)
    shared->slots.push_back({at, lookahead::stage::unclaimed, {}, promql::memory_hold{nullptr}, 0, ok()});
  const auto count = shared->slots.size();
  struct stop_at_end { // also where `each` throws
    lookahead& of;
    ~stop_at_end() { of.stop(); }
  } const end{*shared};
  const auto call_helpers = [&] {
    for (std::size_t i = 0; i < helpers_max; ++i)
      if (!helpers_.try_post([this, shared] {
            {
              const std::lock_guard lock{shared->mutex};
              if (shared->stopped)
                return;
              ++shared->helping;
            }
            {
              place_reader reader{from_, opened_, parts_, bounds_};
              shared->help(reader);
            }
            const std::lock_guard lock{shared->mutex};
            --shared->helping;
            shared->changed.notify_all();
          }))
        return;
  };
  place_reader reader{from_, opened_, parts_, bounds_};
  const auto began = std::chrono::steady_clock::now();
  bool called = false;
  result<void> how = ok();
  std::unique_lock lock{shared->mutex};
  for (std::size_t k = 0; k < count && how; ++k) {
    auto& wanted = shared->slots[k];
    while (wanted.at != lookahead::stage::ready) {
      auto* mine = shared->claim();
      if (mine == nullptr) {
        shared->wanted = &wanted;
        shared->ready.wait(lock);
        shared->wanted = nullptr;
        continue;
      }
      lock.unlock();
      lookahead::read(reader, *mine);
      if (!called) {
        const auto spent = std::chrono::steady_clock::now() - began;
        if (spent > alone_min && spent * (count - k - 1) > worth_help_min * (k + 1)) {
          called = true;
          call_helpers();
        }
      }
      lock.lock();
      shared->done(*mine);
    }
    shared->taken = k + 1;
    shared->ahead -= wanted.samples;
    if (shared->waiting != 0)
      shared->changed.notify_all();
    lock.unlock();
    how = std::move(wanted.how);
    if (how)
      for (const auto& c : wanted.columns)
        if (!c.times.empty())
          each({c.all, c.times, c.values, wanted.what->names()});
    wanted.columns = {};
    wanted.held.clear();
    lock.lock();
  }
  return how;
}

} // namespace skerry::cloud
