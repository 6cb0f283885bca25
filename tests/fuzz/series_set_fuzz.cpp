// Series sets as a peer or a disk may give them: what decodes keeps its bytes and can be made again.

#include "schemas/model/series.hpp"

#include <cstdlib>

using namespace skerry;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const bytes_view in{reinterpret_cast<const std::byte*>(data), size};
  const auto set = decode_series_set(shared_bytes::copy(in));
  if (!set)
    return 0;
  if (set.value()->hash != hash_set(in))
    std::abort();
  const auto again = make_series_set(set.value()->families, set.value()->members);
  const auto decoded = decode_series_set(again->encoded);
  if (!decoded || decoded.value()->members.size() != set.value()->members.size()
      || decoded.value()->hash != again->hash)
    std::abort();
  for (std::size_t i = 0; i < set.value()->members.size(); ++i)
    if (decoded.value()->members[i].all != set.value()->members[i].all)
      std::abort();
  return 0;
}
