// Pages from outside: never crash, and mean the same with and without the memory of the page before.
// Input: one byte of format and flags, then pages, each ended by a zero byte.

#include "edge/collect/scrape/exposition_parser.hpp"

#include <cstdlib>
#include <map>

using namespace skerry;
using namespace skerry::edge;

namespace {

struct names : series_resolver {
  frame_assembler* into = nullptr;
  series_ref resolve(const metric_family& family, labels& exposed) override {
    sort_labels(exposed);
    return into->intern(family, exposed);
  }
};

struct reader {
  frame_assembler assembler;
  exposition_parser parser;
  names resolver;
  page_report report;

  explicit reader(bool honor_timestamps) : parser(honor_timestamps) { resolver.into = &assembler; }

  // time, series -> bits
  std::map<std::pair<std::int64_t, std::string>, std::uint64_t> read(std::string page,
                                                                     exposition_format format) {
    assembler.begin();
    report = parser.parse(page, format, assembler, resolver);
    const auto made = assembler.finish(0, 0, "");
    std::map<set_hash, series_set_ptr> sets;
    for (const auto& set : made.sets) {
      auto decoded = decode_series_set(set->encoded);
      if (!decoded || decoded.value()->hash != set->hash)
        std::abort();
      sets[set->hash] = decoded.value();
    }
    std::map<std::pair<std::int64_t, std::string>, std::uint64_t> out;
    value_decoder decoder;
    for (const auto& record : made.records) {
      frame f;
      if (!decode_frame(record.payload, decoder, f))
        std::abort();
      std::size_t at = 0;
      for (const auto& section : f.sections) {
        const auto& set = sets.at(section.set);
        for (std::size_t i = 0; i < section.series_count; ++i)
          if (section.present.empty() || ((section.present[i / 64] >> (i % 64)) & 1) != 0) {
            const auto bits = std::bit_cast<std::uint64_t>(f.values[at++]);
            if (bits != stale_bits)
              out[{f.time_ns, to_string(set->members[i].all)}] = bits;
          }
      }
    }
    return out;
  }
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0)
    return 0;
  const auto format = (data[0] & 1) != 0 ? exposition_format::open_metrics : exposition_format::text;
  const bool honor = (data[0] & 2) != 0;
  std::string_view rest{reinterpret_cast<const char*>(data + 1), size - 1};
  reader remembers{honor};
  for (int pages = 0; pages < 8 && !rest.empty(); ++pages) {
    const auto end = rest.find('\0');
    const std::string page{rest.substr(0, end)};
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    reader fresh{honor};
    const auto expected = fresh.read(page, format);
    const auto seen = remembers.read(page, format);
    if (seen != expected || remembers.report.samples != fresh.report.samples
        || remembers.report.lines_refused != fresh.report.lines_refused
        || remembers.report.error != fresh.report.error)
      std::abort();
  }
  return 0;
}
