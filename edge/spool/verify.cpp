#include "edge/spool/verify.hpp"

#include "edge/spool/salvage.hpp"

#include <fmt/format.h>

namespace skerry::edge {

namespace {
constexpr std::uint64_t file_bytes_max = std::uint64_t{4} << 30;
}

int verify_segment_main(const std::filesystem::path& path) {
  const auto directory = path.filename() == "data.mdb" ? path.parent_path() : path;
  const auto segment = segment_reader::open(directory);
  if (!segment && segment.error().code != errc::corrupt) {
    fmt::print(stderr, "{}\n", segment.error().message);
    return 2;
  }
  const auto wrong = segment ? segment.value().verify() : std::optional{segment.error().message};
  if (!wrong) {
    std::uint64_t records = 0;
    if (const auto index = segment.value().load_index())
      for (const auto& [key, stream] : index.value().streams)
        records += stream.records;
    fmt::print("{}: sound, {} records\n", directory.string(), records);
    return 0;
  }
  fmt::print("{}: damaged: {}\n", directory.string(), *wrong);
  const auto found = salvage_file(data_file(directory), file_bytes_max, {});
  if (!found) {
    fmt::print(stderr, "{}\n", found.error().message);
    return 2;
  }
  std::uint64_t records = 0;
  for (const auto& [key, stream] : found.value().records)
    records += stream.size();
  fmt::print("can be salvaged: {} records, {} series sets\n", records, found.value().sets.size());
  return 1;
}

} // namespace skerry::edge
