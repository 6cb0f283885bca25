// Runs and records as a peer or a disk may give them: whatever decodes must also read on, and encode to
// itself.

#include "schemas/model/payload.hpp"
#include "schemas/model/range_set.hpp"
#include "schemas/model/record.hpp"

#include <cstdlib>
#include <xxhash.h>

using namespace skerry;

namespace {

void read_payload(const record_view& record) {
  switch (record.kind) {
  case record_kind::watermark: (void)decode_watermark(record.payload); break;
  case record_kind::clock_note: (void)decode_clock_note(record.payload); break;
  case record_kind::tombstone: (void)decode_tombstone(record.payload); break;
  case record_kind::not_collected: (void)decode_not_collected(record.payload); break;
  default: break;
  }
}

void read_run(bytes_view in) {
  const auto run = decode_run(shared_bytes::copy(in));
  if (!run)
    return;
  const auto records = decode_records(run.value());
  if (!records)
    return;
  run_builder again{run.value().header.key, run.value().header.first, run.value().header.tenant};
  for (const auto& record : records.value()) {
    read_payload(record);
    again.append(record, sequences_of(record).value());
  }
  if (std::move(again).finish().header != run.value().header)
    std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  byte_buffer in(size);
  if (size != 0)
    std::memcpy(in.data(), data, size);
  (void)decode_record(in);
  read_run(in);
  (void)decode_ranges(in);
  for (const auto decode :
       {+[](bytes_view b) { (void)decode_watermark(b); }, +[](bytes_view b) { (void)decode_clock_note(b); },
        +[](bytes_view b) { (void)decode_tombstone(b); },
        +[](bytes_view b) { (void)decode_not_collected(b); }})
    decode(in);

  // The checksums keep random input out: repair those of the first record and of the run's header, and go on.
  const auto repair_record = [&in](std::size_t at) {
    if (in.size() < at + record_header_bytes)
      return;
    std::uint32_t bytes;
    std::memcpy(&bytes, in.data() + at + 4, sizeof bytes);
    if (bytes < record_header_bytes || bytes > in.size() - at)
      return;
    std::uint64_t seed;
    std::memcpy(&seed, in.data() + at, sizeof seed);
    const auto sum = XXH3_64bits_withSeed(in.data() + at + 16, bytes - 16, seed);
    std::memcpy(in.data() + at + 8, &sum, sizeof sum);
  };
  repair_record(0);
  if (const auto record = decode_record(in)) {
    read_payload(record.value());
    (void)sequences_of(record.value());
  }
  if (in.size() >= run_header_bytes) {
    const auto sum = static_cast<std::uint32_t>(XXH3_64bits(in.data(), run_header_bytes - 4));
    std::memcpy(in.data() + run_header_bytes - 4, &sum, sizeof sum);
    repair_record(run_header_bytes);
    read_run(in);
  }
  return 0;
}
