#include "edge/spool/verify.hpp"

#include "edge/spool/examine.hpp"

#include <fmt/format.h>

namespace skerry::edge {

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
  byte_buffer answer;
  const auto keep = [&](bytes_view part) {
    answer.insert(answer.end(), part.begin(), part.end());
    return true;
  };
  static_cast<void>(examine_segment(directory, true, keep));
  const auto found = read_answer(shared_bytes::take(std::move(answer)), {});
  std::uint64_t records = 0;
  for (const auto& [key, stream] : found.records)
    records += stream.size();
  fmt::print("can be salvaged: {} records, {} series sets\n", records, found.sets.size());
  return 1;
}

} // namespace skerry::edge
