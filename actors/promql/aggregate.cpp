// sum, avg, count, min, max, group, stddev and stdvar: one pass over the series, adding each column to its
// group's. Only groups are held, so a sum over any number of series takes one column per group. Where the source has
// shards, each is aggregated by itself, side by side, and the parts are merged in order.

#include "actors/promql/aggregate.hpp"

#include "actors/promql/partial_aggregate.hpp"

namespace skerry::promql {

namespace {

// What a group takes beside its columns. The list may have room for as many again.
std::uint64_t bytes_beside_columns(const labels& metric) {
  return 2 * sizeof(partial_group) + memory_of(metric) + sizeof(label_key) + table_entry_bytes;
}

// Aggregates what `from` gives. The groups are held.
partial_aggregate collect(evaluation& from, const aggregation& a, const step_range& steps) {
  partial_aggregate out{a.op, steps.count, {}};
  group_index index{a};
  const auto cells = partial_columns(a.op) * steps.count;
  from.vector(*a.inner, steps, [&](const series_item& item) {
    bool fresh = false;
    const auto at = index.find(item, fresh);
    if (fresh) {
      auto metric = index.labels_of_group(item);
      if (!from.hold(0, cells, bytes_beside_columns(metric)))
        return;
      out.groups.push_back(make_group(a.op, steps.count, std::move(metric)));
    }
    if (at < out.groups.size())
      add(a.op, out.groups[at], item.values);
  });
  return out;
}

void release(evaluation& ev, const partial_aggregate& all) {
  std::uint64_t bytes = 0;
  for (const auto& g : all.groups)
    bytes += bytes_beside_columns(g.metric);
  ev.release(0, all.groups.size() * partial_columns(all.op) * all.steps, bytes);
}

// Merges the shards' parts in order. Their bytes are held, and not afterwards.
partial_aggregate merge_all(evaluation& ev, const aggregation& a, const step_range& steps,
                            std::vector<byte_buffer>& parts) {
  partial_aggregate all{a.op, steps.count, {}};
  auto whole = label_picker::except({}, true);
  std::unordered_map<label_key, std::size_t, label_key_hash> index;
  for (auto& bytes : parts) {
    auto part = decode_partial(bytes);
    ev.release(0, 0, bytes.size());
    bytes = byte_buffer{};
    if (!part || part.value().op != a.op || part.value().steps != steps.count) {
      ev.fail(part ? error{errc::malformed, "a shard aggregated something else"} : part.error());
      break;
    }
    for (auto& g : part.value().groups) {
      const auto [at, fresh] = index.try_emplace(whole.key(g.metric, false), all.groups.size());
      if (!fresh)
        merge(a.op, all.groups[at->second], g);
      else if (ev.hold(0, partial_columns(a.op) * steps.count, bytes_beside_columns(g.metric)))
        all.groups.push_back(std::move(g));
      else
        return all;
    }
  }
  return all;
}

// At the most.
std::uint64_t encoded_bytes(const partial_aggregate& all) {
  constexpr std::uint64_t varint_bytes_max = 10;
  std::uint64_t bytes = 4 * varint_bytes_max;
  for (const auto& g : all.groups) {
    bytes += varint_bytes_max + partial_columns(all.op) * all.steps * sizeof(double);
    for (const auto& l : g.metric)
      bytes += 2 * varint_bytes_max + l.name.size() + l.value.size();
  }
  return bytes;
}

partial_aggregate collect_shards(evaluation& ev, const aggregation& a, const step_range& steps) {
  const auto found = ev.prepare(*a.inner, steps);
  if (!found)
    return collect(ev, a, steps);
  if (found->shards() == 1) {
    evaluation part{ev, *found, 0};
    auto all = collect(part, a, steps);
    if (part.failed())
      ev.fail(part.failure());
    return all;
  }
  std::vector<byte_buffer> parts(found->shards());
  std::vector<std::optional<error>> failures(parts.size());
  found->run([&](std::size_t shard) {
    try {
      evaluation part{ev, *found, shard};
      const auto made = collect(part, a, steps);
      const auto bytes = encoded_bytes(made);
      if (!part.failed() && part.hold(0, 0, bytes)) {
        parts[shard].reserve(bytes);
        encode_partial(made, parts[shard]);
        part.release(0, 0, bytes - parts[shard].size());
      }
      release(part, made);
      if (part.failed())
        failures[shard] = part.failure();
    } catch (const std::exception& e) { // out of memory: this query's end, nobody else's
      failures[shard] = error{errc::exhausted, std::string{"the query could not go on: "} + e.what()};
    }
  });
  for (auto& failure : failures)
    if (failure)
      ev.fail(std::move(*failure));
  return ev.failed() ? partial_aggregate{} : merge_all(ev, a, steps, parts);
}

} // namespace

void eval_aggregation(evaluation& ev, const aggregation& a, const step_range& steps,
                      const series_sink& sink) {
  switch (a.op) {
  case aggregate_op::topk:
  case aggregate_op::bottomk: return eval_topk(ev, a, steps, sink);
  case aggregate_op::quantile: return eval_quantile(ev, a, steps, sink);
  case aggregate_op::count_values: return eval_count_values(ev, a, steps, sink);
  default: break;
  }
  auto all = collect_shards(ev, a, steps);
  release(ev, all); // handed over one by one from here on
  for (auto& g : all.groups) {
    if (ev.stopped())
      break;
    finish(a.op, g);
    sink({&g.metric, false, g.value});
    g = {};
  }
}

} // namespace skerry::promql
