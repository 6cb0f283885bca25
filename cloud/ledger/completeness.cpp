#include "cloud/ledger/completeness.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace skerry::cloud {

namespace {

// What goes before what; the ledger covers what the watermarks say.
int rank(coverage what) noexcept {
  switch (what) {
  case coverage::lost: return 4;
  case coverage::not_collected: return 3;
  case coverage::unknown: return 2;
  case coverage::pending: return 1;
  case coverage::complete: return 0;
  }
  return 0;
}

constexpr int nobody_speaks = -1; // the lowest

struct layer {
  coverage_range range;
  int rank = nobody_speaks;
};

// Where no entry has a say: what the watermarks tell, in at most four ranges.
std::vector<coverage_range> by_watermarks(const host_facts& host, std::int64_t from_ns, std::int64_t to_ns) {
  const auto heard_ns = std::max(host.live_watermark_ns, host.complete_watermark_ns);
  std::array cuts{from_ns, host.first_sample_ns, host.complete_watermark_ns + 1, heard_ns + 1};
  std::sort(cuts.begin(), cuts.end());
  std::vector<coverage_range> out;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const auto from = std::max(from_ns, cuts[i]);
    const auto to = i + 1 < cuts.size() ? std::min(to_ns, cuts[i + 1] - 1) : to_ns;
    if (from > to)
      continue;
    const auto what = host.first_sample_ns == 0 || from < host.first_sample_ns || from > heard_ns
                          ? coverage::unknown
                      : from > host.complete_watermark_ns ? coverage::pending
                                                          : coverage::complete;
    if (!out.empty() && out.back().what == what)
      out.back().to_ns = to;
    else
      out.push_back({from, to, what, loss_cause::unknown});
  }
  return out;
}

} // namespace

std::string_view to_string(coverage what) noexcept {
  switch (what) {
  case coverage::complete: return "complete";
  case coverage::pending: return "pending";
  case coverage::lost: return "lost";
  case coverage::not_collected: return "not_collected";
  case coverage::unknown: return "unknown";
  }
  return "unknown";
}

bool cost_nothing(const coverage_range& range, const host_facts& host) noexcept {
  const auto interval = host.interval_ns;
  if (range.what != coverage::not_collected || interval <= 0 || range.to_ns - range.from_ns >= interval)
    return false;
  // As far as a collection may be late.
  const auto slack = interval / 10;
  const auto since = range.from_ns - slack - host.live_watermark_ns;
  const auto next = since + ((interval - since % interval) % interval); // the first one from there on
  return host.live_watermark_ns + next > range.to_ns + slack;
}

std::vector<coverage_range> coverage_of(std::span<const host_facts> statements,
                                        std::span<const loss_entry> entries, std::int64_t from_ns,
                                        std::int64_t to_ns) {
  if (entries.empty() && statements.size() == 1)
    return by_watermarks(statements.front(), from_ns, to_ns);
  std::vector<layer> layers;
  const auto add = [&](std::int64_t from, std::int64_t to, coverage what, int rank, loss_cause cause) {
    from = std::max(from, from_ns);
    to = std::min(to, to_ns);
    if (from <= to)
      layers.push_back({{from, to, what, cause}, rank});
  };
  add(from_ns, to_ns, coverage::unknown, nobody_speaks, loss_cause::unknown);
  std::int64_t first_ns = 0;
  for (const auto& host : statements) {
    if (host.first_sample_ns == 0)
      continue;
    first_ns = first_ns == 0 ? host.first_sample_ns : std::min(first_ns, host.first_sample_ns);
    const auto from = host.first_sample_ns;
    const auto heard_ns = std::max(host.live_watermark_ns, host.complete_watermark_ns);
    const auto says = [&](std::int64_t begin, std::int64_t end, coverage what) {
      add(std::max(from, begin), end, what, rank(what), loss_cause::unknown);
    };
    says(from, host.complete_watermark_ns, coverage::complete);
    says(host.complete_watermark_ns + 1, host.live_watermark_ns, coverage::pending);
    if (!host.ended && heard_ns < to_ns)
      says(heard_ns + 1, to_ns, coverage::unknown);
  }
  for (const auto& entry : entries) {
    const auto what = entry.collected ? coverage::lost : coverage::not_collected;
    add(entry.from_ns == 0 ? first_ns : entry.from_ns, entry.to_ns, what, rank(what), entry.cause);
  }

  // Between two neighbouring cuts one state holds: that of the highest layer there.
  std::vector<std::int64_t> cuts;
  for (const auto& [range, rank] : layers) {
    cuts.push_back(range.from_ns);
    if (range.to_ns < to_ns)
      cuts.push_back(range.to_ns + 1);
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  std::stable_sort(layers.begin(), layers.end(),
                   [](const auto& a, const auto& b) { return a.range.from_ns < b.range.from_ns; });
  const auto higher = [&layers](std::size_t a, std::size_t b) {
    return layers[a].rank != layers[b].rank ? layers[a].rank > layers[b].rank : a < b;
  };
  std::set<std::size_t, decltype(higher)> open{higher};
  std::vector<coverage_range> out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const auto from = cuts[i];
    const auto to = i + 1 < cuts.size() ? cuts[i + 1] - 1 : to_ns;
    for (; next < layers.size() && layers[next].range.from_ns <= from; ++next)
      open.insert(next);
    while (!open.empty() && layers[*open.begin()].range.to_ns < from)
      open.erase(open.begin());
    if (open.empty())
      continue; // the lowest layer covers everything
    const auto& top = layers[*open.begin()].range;
    if (!out.empty() && out.back().what == top.what && out.back().cause == top.cause)
      out.back().to_ns = to;
    else
      out.push_back({from, to, top.what, top.cause});
  }
  return out;
}

} // namespace skerry::cloud
