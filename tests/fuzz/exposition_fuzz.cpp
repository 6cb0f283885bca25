// Pages from outside: never crash, mean the same with and without the memory of the page before, and hold no sample that
// stands in the quotes of another.
// Input: one byte of format and flags, then pages, each ended by a zero byte.

#include "edge/collect/scrape/exposition_parser.hpp"

#include <cstdlib>
#include <map>

using namespace skerry;
using namespace skerry::edge;

namespace {

constexpr std::int64_t round_ns = 1; // a time that no sample can have of its own

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
    const auto made = assembler.finish(round_ns, 0, "");
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

// The samples of a page whose every line is well-formed, counted byte by byte and without the parser's code: lines that
// are neither blank nor begin with #, where a line feed between quotes ends none.
std::uint64_t count_samples(std::string_view page) {
  enum class place { start, comment, sample, quotes, escape };
  auto at = place::start;
  std::uint64_t samples = 0;
  for (const char c : page) {
    switch (at) {
    case place::start:
      if (c == ' ' || c == '\t' || c == '\n')
        break;
      samples += c == '#' ? 0 : 1;
      at = c == '#' ? place::comment : place::sample;
      break;
    case place::comment:
      if (c == '\n')
        at = place::start;
      break;
    case place::sample:
      if (c == '\n')
        at = place::start;
      else if (c == '"')
        at = place::quotes;
      break;
    case place::quotes:
      if (c == '"')
        at = place::sample;
      else if (c == '\\')
        at = place::escape;
      break;
    case place::escape: at = place::quotes; break;
    }
  }
  return samples;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0)
    return 0;
  const auto format = (data[0] & 1) != 0 ? exposition_format::open_metrics : exposition_format::text;
  const bool honor = (data[0] & 2) != 0;
  std::string_view rest{reinterpret_cast<const char*>(data + 1), size - 1};
  reader remembers{honor};
  std::map<std::string, std::int64_t> recorded; // of each series the newest time of its own
  for (int pages = 0; pages < 8 && !rest.empty(); ++pages) {
    const auto end = rest.find('\0');
    const std::string page{rest.substr(0, end)};
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    reader fresh{honor};
    auto expected = fresh.read(page, format);
    // A sample that stands unchanged with its time is recorded once.
    const auto before = recorded;
    std::erase_if(expected, [&](const auto& sample) {
      const auto& [time, series] = sample.first;
      const auto it = before.find(series);
      const bool again = time != round_ns && it != before.end() && it->second == time;
      if (time != round_ns && !again)
        recorded[series] = time;
      return again;
    });
    const auto seen = remembers.read(page, format);
    if (seen != expected || remembers.report.samples != fresh.report.samples
        || remembers.report.lines_refused != fresh.report.lines_refused
        || remembers.report.error != fresh.report.error)
      std::abort();
    if (fresh.report.error.empty() && fresh.report.samples != count_samples(page))
      std::abort();
  }
  return 0;
}
