#pragma once

// What an aggregation has come to over some of its series, and how such parts become one: sum, avg, count, min, max,
// group, stddev and stdvar. A shard, on this node or on another, hands its part over as bytes.
//
// Encoded: version (1 byte), operator (1 byte), steps and groups (varints); for each group the number of its labels, each
// name and value (a varint of its length before it), and 1 to 3 columns of `steps` doubles, little-endian: value, count,
// mean; absent steps hold the stale marker in `value`. A new version for anything that is more or otherwise.

#include "actors/promql/ast.hpp"
#include "schemas/bytes.hpp"
#include "schemas/model/series.hpp"

#include <span>
#include <vector>

namespace skerry::promql {

struct partial_group {
  labels metric;
  std::vector<double>
      value; // sum, mean (avg), count, extreme, or sum of squared differences; absent until a sample
  std::vector<double> count; // avg, stddev, stdvar
  std::vector<double> mean;  // stddev, stdvar
};

struct partial_aggregate {
  aggregate_op op = aggregate_op::sum;
  std::size_t steps = 0;
  std::vector<partial_group> groups;
};

// Whether parts of it can be made and merged; the others (topk, bottomk, quantile, count_values) need all series.
[[nodiscard]] bool has_partials(aggregate_op op) noexcept;
// Of a group: 1 to 3.
[[nodiscard]] std::size_t partial_columns(aggregate_op op) noexcept;

// A group without a sample.
[[nodiscard]] partial_group make_group(aggregate_op op, std::size_t steps, labels metric);
// Puts a series in: one value a step, or absent.
void add(aggregate_op op, partial_group& to, std::span<const double> values);
// Puts another part of the same group in. The order of merging shows in the last digits.
void merge(aggregate_op op, partial_group& to, const partial_group& from);
// Leaves the answer in `value`.
void finish(aggregate_op op, partial_group& g);

void encode_partial(const partial_aggregate& from, byte_buffer& into);
// malformed; unsupported_version.
[[nodiscard]] result<partial_aggregate> decode_partial(bytes_view bytes);

} // namespace skerry::promql
