// Parts of an aggregation from another node: what decodes encodes to the same bytes, and merges.

#include "actors/promql/partial_aggregate.hpp"

#include <cstdlib>

using namespace skerry;
using namespace skerry::promql;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const bytes_view in{reinterpret_cast<const std::byte*>(data), size};
  auto part = decode_partial(in);
  if (!part)
    return 0;
  byte_buffer out;
  encode_partial(part.value(), out);
  const auto again = decode_partial(out);
  if (!again || again.value().groups.size() != part.value().groups.size())
    std::abort();
  for (std::size_t i = 0; i + 1 < part.value().groups.size(); ++i)
    merge(part.value().op, part.value().groups[i], part.value().groups[i + 1]);
  for (auto& g : part.value().groups)
    finish(part.value().op, g);
  return 0;
}
