#include "edge/query/spooled_series.hpp"

#include "actors/promql/query_memory.hpp"
#include "schemas/model/frame.hpp"
#include "schemas/model/set_memory.hpp"
#include "schemas/time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <set>
#include <unordered_map>

namespace skerry::edge {

namespace {

constexpr std::uint32_t not_wanted = ~std::uint32_t{0};

std::int64_t ns_of(std::int64_t ms) noexcept {
  constexpr auto most = INT64_MAX / ns_per_ms;
  return ms > most ? INT64_MAX : ms < -most ? INT64_MIN : ms * ns_per_ms;
}

std::int64_t ms_of(std::int64_t ns) noexcept {
  const auto ms = ns / ns_per_ms;
  return ns % ns_per_ms < 0 ? ms - 1 : ms;
}

struct sample {
  std::int64_t time_ms;
  double value;
};

struct labels_hash {
  std::size_t operator()(const labels& all) const noexcept { return hash_of(all); }
};

bool matches(const labels& all, const std::vector<promql::matcher>& matchers) {
  return std::all_of(matchers.begin(), matchers.end(),
                     [&](const promql::matcher& m) { return m.matches(value_of(all, m.name())); });
}

// The order of all doubles, NaNs among them.
std::int64_t ordered(double v) noexcept {
  const auto bits = std::bit_cast<std::int64_t>(v);
  return bits ^ static_cast<std::int64_t>(static_cast<std::uint64_t>(bits >> 63) >> 1);
}

// Of two values that one series has at one time, as the cloud's store decides, whatever came first.
double resolve(double a, double b) noexcept {
  if (is_stale(a) != is_stale(b))
    return is_stale(a) ? b : a;
  return ordered(a) >= ordered(b) ? a : b;
}

} // namespace

// Lists may have room for as many again; a series of one host is copied while it is handed over.
constexpr std::uint64_t bytes_per_sample = 2 * sizeof(sample);
constexpr std::uint64_t series_bytes =
    2 * (sizeof(labels*) + sizeof(std::vector<sample>)) + sizeof(labels) + promql::table_entry_bytes;

struct spooled_series::collected {
  struct one_series {
    const labels* all = nullptr; // the key in `index`
    std::vector<sample> samples;
  };
  // The members of a set: which series each is.
  using members = std::vector<std::uint32_t>;

  std::vector<one_series> found;
  std::unordered_map<labels, std::uint32_t, labels_hash> index;
  std::map<std::pair<edge_id, set_hash>, members> known;
  std::uint64_t samples = 0;
  promql::memory_hold held{nullptr};
};

result<series_set_ptr> spooled_series::set_of(edge_id edge, const set_hash& hash,
                                              const spool::set_finder& find) {
  const std::pair name{edge, hash};
  {
    const std::lock_guard lock{mutex_};
    if (const auto it = sets_.find(name); it != sets_.end())
      return it->second;
  }
  BOOST_OUTCOME_TRY(found, find(edge, hash));
  if (!found)
    return series_set_ptr{};
  const std::lock_guard lock{mutex_};
  const auto bytes = memory_bytes(**found);
  if (sets_bytes_ + bytes > sets_bytes_max) {
    sets_.clear();
    sets_bytes_ = 0;
  }
  if (bytes <= sets_bytes_max && sets_.emplace(name, *found).second)
    sets_bytes_ += bytes;
  return *found;
}

result<void> spooled_series::collect(const promql::select_request& request, bool values, collected& into) {
  const auto from_ns = ns_of(request.from_ms);
  const auto to_ns = request.to_ms == INT64_MAX ? INT64_MAX : ns_of(request.to_ms + 1) - 1;
  value_decoder decoder;
  frame f;
  into.held = promql::memory_hold{request.memory};
  const auto one_run = [&](const run& one, const spool::set_finder& find) -> result<void> {
    if (request.cancelled != nullptr && request.cancelled->load(std::memory_order_relaxed))
      return fail(errc::cancelled, "the query was cancelled");
    BOOST_OUTCOME_TRY(records, decode_records(one));
    const auto edge = one.header.key.edge;
    for (const auto& record : records) {
      if (!policy_of(record.kind).part_of_query || record.time_ns < from_ns || record.time_ns > to_ns)
        continue;
      const auto decoded =
          values ? decode_frame(record.payload, decoder, f) : decode_frame_sections(record.payload, f);
      if (!decoded)
        continue; // the cloud's ledger will say so
      const double* value = f.values.data();
      for (const auto& section : f.sections) {
        const auto [it, unknown] = into.known.try_emplace({edge, section.set});
        auto& members = it->second;
        if (unknown) {
          BOOST_OUTCOME_TRY(set, set_of(edge, section.set, find));
          BOOST_OUTCOME_TRYV(into.held.add(section.series_count * sizeof(std::uint32_t) + record.host.size()
                                           + 2 * promql::table_entry_bytes));
          members.assign(section.series_count, not_wanted);
          if (!set) // went with a segment that was damaged
            ++left_out_;
          for (std::size_t i = 0; set && i < set->members.size() && i < members.size(); ++i) {
            const auto& all = set->members[i].all;
            if (!matches(all, request.matchers))
              continue;
            BOOST_OUTCOME_TRYV(into.held.add(series_bytes + promql::memory_of(all)));
            const auto [place, added] =
                into.index.try_emplace(all, static_cast<std::uint32_t>(into.found.size()));
            if (added)
              into.found.push_back({&place->first, {}});
            members[i] = place->second;
          }
        }
        if (!values)
          continue;
        const auto before = into.samples;
        for (std::size_t i = 0; i < section.series_count; ++i) {
          if (!section.present.empty() && (section.present[i / 64] >> (i % 64) & 1) == 0)
            continue;
          const auto v = *value++;
          if (i >= members.size() || members[i] == not_wanted)
            continue;
          if (++into.samples > request.samples_max)
            return fail(errc::exhausted, "query processing would load too many samples into memory in query "
                                         "execution");
          into.found[members[i]].samples.push_back({ms_of(f.time_ns), v});
        }
        BOOST_OUTCOME_TRYV(into.held.add((into.samples - before) * bytes_per_sample));
      }
    }
    return ok();
  };
  BOOST_OUTCOME_TRY(damaged, store_->scan(from_ns, to_ns, one_run));
  left_out_ += damaged;
  return ok();
}

result<void> spooled_series::select(const promql::select_request& request,
                                    const std::function<void(const promql::series_view&)>& each) {
  collected all;
  BOOST_OUTCOME_TRYV(collect(request, true, all));
  std::vector<std::int64_t> times;
  std::vector<double> values;
  for (auto& one : all.found) {
    std::stable_sort(one.samples.begin(), one.samples.end(),
                     [](const sample& a, const sample& b) { return a.time_ms < b.time_ms; });
    times.clear();
    values.clear();
    for (const auto& s : one.samples) {
      if (!times.empty() && times.back() == s.time_ms) {
        values.back() = resolve(values.back(), s.value);
        continue;
      }
      times.push_back(s.time_ms);
      values.push_back(s.value);
    }
    one.samples = std::vector<sample>{};
    if (!times.empty())
      each({*one.all, times, values});
  }
  return ok();
}

result<void> spooled_series::series(const promql::select_request& request,
                                    const std::function<void(const labels&)>& each) {
  collected all;
  BOOST_OUTCOME_TRYV(collect(request, false, all));
  for (const auto& one : all.found)
    each(*one.all);
  return ok();
}

result<std::vector<std::string>> spooled_series::label_names(const promql::select_request& request) {
  std::set<std::string> names;
  BOOST_OUTCOME_TRYV(series(request, [&](const labels& all) {
    for (const auto& label : all)
      names.insert(label.name);
  }));
  return std::vector<std::string>{names.begin(), names.end()};
}

result<std::vector<std::string>> spooled_series::label_values(std::string_view name,
                                                              const promql::select_request& request) {
  std::set<std::string> values;
  BOOST_OUTCOME_TRYV(series(request, [&](const labels& all) {
    if (const auto value = value_of(all, name); !value.empty())
      values.emplace(value);
  }));
  return std::vector<std::string>{values.begin(), values.end()};
}

result<std::vector<promql::family_metadata>> spooled_series::metadata() {
  std::set<promql::family_metadata> all;
  std::set<std::pair<edge_id, set_hash>> seen;
  frame f;
  BOOST_OUTCOME_TRYV(
      store_->scan(INT64_MIN, INT64_MAX, [&](const run& one, const spool::set_finder& find) -> result<void> {
        BOOST_OUTCOME_TRY(records, decode_records(one));
        for (const auto& record : records) {
          if (!policy_of(record.kind).part_of_query || !decode_frame_sections(record.payload, f))
            continue;
          for (const auto& section : f.sections) {
            if (!seen.insert({one.header.key.edge, section.set}).second)
              continue;
            BOOST_OUTCOME_TRY(set, set_of(one.header.key.edge, section.set, find));
            if (set)
              for (const auto& family : set->families)
                all.insert({family.name, family.type, family.help, family.unit});
          }
        }
        return ok();
      }));
  return std::vector<promql::family_metadata>{all.begin(), all.end()};
}

} // namespace skerry::edge
