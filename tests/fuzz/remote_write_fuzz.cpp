// Remote write requests as any sender may give them, in a snappy block or, so that the fuzzer gets inside, without:
// whatever decodes is assembled, and what was assembled decodes again with as many samples.

#include "actors/push/push_assembler.hpp"

#include <cstdlib>
#include <optional>

using namespace skerry;
using namespace skerry::push;

namespace {

void check(bool holds) {
  if (!holds)
    std::abort();
}

void assemble(write_request& request) {
  static std::optional<push_assembler> kept; // what one request leaves behind meets the next
  if (!kept || kept->series_count() > 10'000)
    kept.emplace();
  auto& assembler = *kept;
  const push_rules rules{"remote", false, 1'000, 1'700'000'000'000};
  const auto out = assembler.add(request, rules);
  value_decoder decoder;
  frame f;
  std::uint64_t samples = 0;
  for (const auto& host : out.hosts) {
    check(!host.host.empty() && host.host.size() <= 255 && host.site == "remote");
    for (const auto& set : host.sets) {
      const auto full = decode_series_set(set->encoded);
      check(full && full.value()->hash == set->hash);
    }
    for (const auto& record : host.records) {
      check(static_cast<bool>(decode_frame(record.payload, decoder, f)) && f.time_ns == record.time_ns);
      samples += f.values.size();
    }
  }
  check(samples == out.samples);
  check((out.refused == 0) == !out.refusal);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0)
    return 0;
  const std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};
  static write_request request;
  if (data[0] % 2 == 0 ? static_cast<bool>(request.decode(text))
                       : static_cast<bool>(request.decode_message(text)))
    assemble(request);
  return 0;
}
