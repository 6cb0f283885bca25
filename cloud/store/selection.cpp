#include "cloud/store/selection.hpp"

#include "cloud/store/sealer.hpp"
#include "schemas/codec/block_codec.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace skerry::cloud {

namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;

std::int64_t to_ns(std::int64_t ms, bool end_of) noexcept {
  if (ms > INT64_MAX / ns_per_ms - 1)
    return INT64_MAX;
  if (ms < INT64_MIN / ns_per_ms + 1)
    return INT64_MIN;
  return ms * ns_per_ms + (end_of ? ns_per_ms - 1 : 0);
}

std::int64_t to_ms(std::int64_t ns) noexcept {
  return ns >= 0 ? ns / ns_per_ms : -((-(ns + 1)) / ns_per_ms) - 1;
}

} // namespace

selection::selection(store_snapshot from, partition_catalog& partitions, const set_registry& sets,
                     store_metrics& metrics, const promql::select_request& request)
    : from_(std::move(from)),
      partitions_(partitions),
      sets_(sets),
      metrics_(metrics),
      request_(request),
      from_ns_(to_ns(request.from_ms, false)),
      to_ns_(to_ns(request.to_ms, true)) {
  for (const auto& m : request.matchers)
    (m.name() == "site" || m.name() == "host" ? place_matchers_ : label_matchers_).push_back(m);
}

result<void> selection::go_on() const {
  if (request_.cancelled != nullptr && request_.cancelled->load(std::memory_order_relaxed))
    return fail(errc::cancelled, "the query was cancelled");
  return ok();
}

bool selection::passable(const error& e, const char* what) {
  if (e.code != errc::corrupt && e.code != errc::malformed && e.code != errc::unsupported_version)
    return false;
  metrics_.count_damaged(what);
  spdlog::error("store: a query leaves out a damaged {}: {}", what, e.message);
  return true;
}

bool selection::place_matches(std::string_view site, std::string_view host) const {
  return std::all_of(place_matchers_.begin(), place_matchers_.end(),
                     [&](const auto& m) { return m.matches(m.name() == "site" ? site : host); });
}

result<void> selection::open_partitions() {
  for (const auto& id : from_.partitions) {
    if (!id.overlaps(from_ns_, to_ns_))
      continue;
    auto p = partitions_.open(id);
    if (!p) {
      // Deleted since by retention, or damaged and set aside: the rest answers.
      if (p.error().code == errc::not_found || p.error().code == errc::corrupt
          || p.error().code == errc::unsupported_version)
        continue;
      return p.error();
    }
    auto reader = p.value()->read();
    if (!reader)
      return reader.error();
    opened_.push_back({std::move(p.value()), std::move(reader.value())});
  }
  return ok();
}

void selection::find_in_log(std::size_t log, set_matcher& matcher) {
  std::unordered_map<const compact_set*, std::shared_ptr<const members>> matched;
  from_.logs[log]->with_index([&](const log_index& index) {
    if (index.time_max < from_ns_ || index.time_min > to_ns_)
      return;
    for (const auto& source : index.sources()) {
      if (source->frames.empty() || source->time_max < from_ns_ || source->time_min > to_ns_
          || !place_matches(source->site, source->host))
        continue;
      head_hit hit{log, source.get(), {}};
      bool any = false;
      for (const auto& set : source->sets) {
        auto& found = matched[set.get()];
        if (!found)
          found = std::make_shared<const members>(matcher.match(*set));
        any = any || !found->empty();
        hit.of_sets.push_back(found);
      }
      if (any)
        places_[{source->site, source->host}].heads.push_back(std::move(hit));
    }
  });
}

result<void> selection::find_in_partition(std::size_t partition) {
  const auto& reader = opened_[partition].reader;
  BOOST_OUTCOME_TRY(found, reader.match(request_.matchers));
  std::optional<partition_hit> hit;
  bool usable = false;
  result<void> failed = ok();
  const auto close = [&] {
    if (hit && usable)
      places_[{hit->source.site, hit->source.host}].partitions.push_back(std::move(*hit));
    hit.reset();
  };
  for (const auto id : found) {
    const auto number = id / static_cast<std::uint32_t>(set_series_max);
    if (!hit || hit->source.number != number) {
      close();
      auto source = reader.source(number);
      usable = source.has_value();
      if (!source && !passable(source.error(), "source"))
        return source.error();
      hit = partition_hit{partition, source ? std::move(source.value()) : partition_source{}, {}};
      hit->source.number = number;
    }
    hit->of_set.push_back(static_cast<std::uint16_t>(id % set_series_max));
  }
  close();
  return failed;
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
    if (auto found = find_in_partition(i); !found && !passable(found.error(), "index"))
      return found;
  }
  return ok();
}

std::uint32_t selection::column_of(table& t, const set_hash& set, std::uint16_t member,
                                   const std::function<labels()>& make) {
  const auto [it, fresh] = t.by_member.try_emplace({set, member}, 0);
  if (!fresh)
    return it->second;
  auto all = make();
  const auto hash = hash_of(all);
  const auto [from, to] = t.by_labels.equal_range(hash);
  for (auto same = from; same != to; ++same)
    if (t.columns[same->second].all == all)
      return it->second = same->second;
  it->second = static_cast<std::uint32_t>(t.columns.size());
  t.by_labels.emplace(hash, it->second);
  t.columns.push_back({std::move(all), {}, true});
  return it->second;
}

result<void> selection::add(column& to, std::int64_t time_ns, double value) {
  if (!to.samples.empty() && to.samples.back().first >= time_ns)
    to.ascending = false;
  to.samples.emplace_back(time_ns, value);
  if (++samples_ > request_.samples_max)
    return fail(errc::exhausted,
                fmt::format("the query reads more than {} samples; narrow its matchers or its range",
                            request_.samples_max));
  return ok();
}

result<void> selection::read_head(const head_hit& hit, const place_key& at, table& t) {
  const auto& log = *from_.logs[hit.log];
  // Copied under the lock: the writer may add to them meanwhile.
  const auto frames = log.with_index([&](const log_index&) {
    std::vector<frame_ref> refs;
    const auto& all = hit.source->frames;
    auto from = all.begin();
    auto to = all.end();
    if (hit.source->ascending) {
      from = std::lower_bound(from, to, from_ns_,
                              [](const frame_ref& f, std::int64_t x) { return f.time_ns < x; });
      to = std::upper_bound(from, to, to_ns_,
                            [](std::int64_t x, const frame_ref& f) { return x < f.time_ns; });
    }
    std::copy_if(from, to, std::back_inserter(refs),
                 [&](const frame_ref& f) { return f.time_ns >= from_ns_ && f.time_ns <= to_ns_; });
    return refs;
  });
  std::vector<std::vector<std::uint32_t>> columns;
  for (std::size_t s = 0; s < hit.of_sets.size(); ++s) {
    const auto& set = *hit.source->sets[s];
    columns.emplace_back();
    for (const auto member : *hit.of_sets[s])
      columns.back().push_back(
          column_of(t, set.hash(), member, [&] { return set.labels_of(member, at.first, at.second); }));
  }
  BOOST_OUTCOME_TRY(reader, log.read());
  value_decoder decoder;
  frame f;
  for (const auto& ref : frames) {
    BOOST_OUTCOME_TRYV(go_on());
    auto record = reader.record(ref.record);
    if (!record) {
      if (passable(record.error(), "record"))
        continue;
      return record.error();
    }
    if (auto decoded = decode_frame(record.value().payload, decoder, f); !decoded) {
      if (passable(decoded.error(), "frame"))
        continue;
      return decoded;
    }
    std::size_t base = 0;
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
        BOOST_OUTCOME_TRYV(add(t.columns[columns[s][i]], ref.time_ns, f.values[at_value]));
      }
      base += section.value_count();
    }
  }
  return ok();
}

result<void> selection::columns_of(const partition_hit& hit, table& t, std::vector<std::uint32_t>& columns) {
  columns.clear();
  // Sets that are still being written are in memory already.
  auto compact = sets_.find(hit.source.set);
  series_set_ptr set;
  if (!compact) {
    BOOST_OUTCOME_TRY(found, opened_[hit.partition].reader.set(hit.source.set));
    if (!found)
      return fail(errc::corrupt, "series set " + to_string(hit.source.set) + " is missing");
    set = std::move(found);
  }
  const auto count = compact ? compact->count() : set->members.size();
  for (const auto member : hit.of_set) {
    if (member >= count)
      return fail(errc::corrupt, "the label index names a series that its set lacks");
    columns.push_back(column_of(t, hit.source.set, member, [&] {
      if (compact)
        return compact->labels_of(member, hit.source.site, hit.source.host);
      auto all = set->members[member].all;
      add_place(all, hit.source.site, hit.source.host);
      return all;
    }));
  }
  return ok();
}

result<void> selection::read_partition(const partition_hit& hit, table& t) {
  const auto& reader = opened_[hit.partition].reader;
  std::vector<std::uint32_t> columns;
  block_decoder decoder;
  std::vector<double> values;
  std::vector<std::uint64_t> present;
  return reader.each_block(hit.source.number, from_ns_, to_ns_, [&](const block_place& at) -> result<void> {
    BOOST_OUTCOME_TRYV(go_on());
    if (columns.empty()) {
      BOOST_OUTCOME_TRYV(columns_of(hit, t, columns));
    }
    const auto read = [&]() -> result<void> {
      BOOST_OUTCOME_TRY(bytes, reader.block(at));
      return decoder.open(bytes);
    };
    if (auto opened = read(); !opened)
      return passable(opened.error(), "block") ? ok() : opened;
    values.resize(decoder.rows());
    present.resize(row_words(decoder.rows()));
    const auto times = decoder.times_ns();
    for (std::size_t i = 0; i < hit.of_set.size(); ++i) {
      if (hit.of_set[i] >= decoder.columns())
        continue;
      if (auto decoded = decoder.column(hit.of_set[i], values, present); !decoded) {
        if (passable(decoded.error(), "block"))
          continue;
        return decoded;
      }
      auto& column = t.columns[columns[i]];
      for (std::size_t r = 0; r < times.size(); ++r)
        if (times[r] >= from_ns_ && times[r] <= to_ns_ && (present[r / 64] >> (r % 64) & 1) != 0) {
          BOOST_OUTCOME_TRYV(add(column, times[r], values[r]));
        }
    }
    return ok();
  });
}

result<void> selection::emit(column& c, const std::function<void(const promql::series_view&)>& each) {
  if (c.samples.empty())
    return ok();
  if (!c.ascending)
    std::stable_sort(c.samples.begin(), c.samples.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
  times_ms_.clear();
  values_.clear();
  std::int64_t last_ns = 0;
  for (const auto& [time_ns, value] : c.samples) {
    const auto ms = to_ms(time_ns);
    if (times_ms_.empty() || ms != times_ms_.back()) {
      times_ms_.push_back(ms);
      values_.push_back(value);
    } else if (time_ns == last_ns) {
      values_.back() = resolve(values_.back(), value);
    } else { // several within a millisecond: the last one stands for it
      values_.back() = value;
    }
    last_ns = time_ns;
  }
  each({c.all, times_ms_, values_});
  return ok();
}

result<void> selection::select(const std::function<void(const promql::series_view&)>& each) {
  BOOST_OUTCOME_TRYV(find());
  for (const auto& [key, at] : places_) {
    table t;
    // Oldest first: what is sealed, then the logs in order; mostly nothing is left to sort.
    for (auto hit = at.partitions.rbegin(); hit != at.partitions.rend(); ++hit)
      if (auto read = read_partition(*hit, t); !read && !passable(read.error(), "partition"))
        return read;
    for (const auto& hit : at.heads) {
      BOOST_OUTCOME_TRYV(read_head(hit, key, t));
    }
    for (auto& c : t.columns) {
      BOOST_OUTCOME_TRYV(emit(c, each));
    }
  }
  return ok();
}

result<void> selection::series(const std::function<void(const labels&)>& each) {
  BOOST_OUTCOME_TRYV(find());
  for (const auto& found : places_) { // clang 14 captures no structured binding
    const auto& key = found.first;
    const auto& at = found.second;
    table t;
    for (const auto& hit : at.heads)
      for (std::size_t s = 0; s < hit.of_sets.size(); ++s) {
        const auto& set = *hit.source->sets[s];
        for (const auto member : *hit.of_sets[s])
          column_of(t, set.hash(), member, [&] { return set.labels_of(member, key.first, key.second); });
      }
    for (const auto& hit : at.partitions) {
      BOOST_OUTCOME_TRYV(go_on());
      std::vector<std::uint32_t> columns;
      if (auto made = columns_of(hit, t, columns); !made && !passable(made.error(), "series set"))
        return made;
    }
    for (const auto& c : t.columns)
      each(c.all);
  }
  return ok();
}

result<std::vector<std::string>> selection::label_names() {
  std::set<std::string, std::less<>> names;
  if (!request_.matchers.empty()) {
    BOOST_OUTCOME_TRYV(series([&](const labels& all) {
      for (const auto& l : all)
        names.insert(l.name);
    }));
    return std::vector<std::string>{names.begin(), names.end()};
  }
  BOOST_OUTCOME_TRYV(open_partitions());
  for (const auto& log : from_.logs)
    log->with_index([&](const log_index& index) {
      for (const auto& source : index.sources()) {
        if (source->time_max < from_ns_ || source->time_min > to_ns_)
          continue;
        for (const auto& set : source->sets)
          set->each_name([&](const std::string& name) { names.insert(name); });
        if (!source->site.empty())
          names.insert("site");
        if (!source->host.empty())
          names.insert("host");
      }
    });
  for (const auto& p : opened_)
    if (auto read = p.reader.each_label_name([&](std::string_view name) { names.emplace(name); });
        !read && !passable(read.error(), "index"))
      return read.error();
  return std::vector<std::string>{names.begin(), names.end()};
}

result<std::vector<std::string>> selection::label_values(std::string_view name) {
  std::set<std::string, std::less<>> values;
  if (!request_.matchers.empty()) {
    BOOST_OUTCOME_TRYV(series([&](const labels& all) {
      if (const auto value = value_of(all, name); !value.empty())
        values.emplace(value);
    }));
    return std::vector<std::string>{values.begin(), values.end()};
  }
  BOOST_OUTCOME_TRYV(open_partitions());
  for (const auto& log : from_.logs)
    log->with_index([&](const log_index& index) {
      for (const auto& source : index.sources()) {
        if (source->time_max < from_ns_ || source->time_min > to_ns_)
          continue;
        if (name == "site" || name == "host") {
          if (const auto& value = name == "site" ? source->site : source->host; !value.empty())
            values.insert(value);
          continue;
        }
        for (const auto& set : source->sets)
          set->each_value(name, [&](const std::string& value) { values.insert(value); });
      }
    });
  for (const auto& p : opened_)
    if (auto read = p.reader.each_label_value(name, [&](std::string_view value) { values.emplace(value); });
        !read && !passable(read.error(), "index"))
      return read.error();
  return std::vector<std::string>{values.begin(), values.end()};
}

result<std::vector<promql::family_metadata>> selection::metadata() {
  std::set<promql::family_metadata> families;
  BOOST_OUTCOME_TRYV(open_partitions());
  for (const auto& log : from_.logs)
    log->with_index([&](const log_index& index) {
      for (const auto& [key, set] : index.sets)
        set.compact->each_family([&](const promql::family_metadata& f) { families.insert(f); });
    });
  for (const auto& p : opened_)
    if (auto read = p.reader.each_family([&](promql::family_metadata f) { families.insert(std::move(f)); });
        !read && !passable(read.error(), "index"))
      return read.error();
  return std::vector<promql::family_metadata>{families.begin(), families.end()};
}

} // namespace skerry::cloud
