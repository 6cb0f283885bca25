#pragma once

// Parses a target's pages and remembers the last one.
//
// Most lines of a page are, byte for byte, those of the page before, or differ in the value alone. The parser
// walks both pages side by side: where a whole line is the same its value stands already in the assembler;
// where only the value differs the series reference is reused and a number is read. Only lines that were not
// there last time are taken apart. When lines move, a table over the last page finds them again.
//
// A malformed line is refused and counted, the rest of the page is kept. A line is never cut within quotes: what stands
// in a label's value is no line of the page (find_line_end). Where a quote is open at the end of a malformed line, all
// that follows is refused with it.
//
// Memory kept for each target: the last page and 16 bytes a sample. One thread at a time, not always the
// same; what is needed only while a page is parsed belongs to the thread.

#include "edge/collect/frame_assembler.hpp"
#include "edge/collect/scrape/exposition_line.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::edge {

inline constexpr std::size_t page_bytes_max = std::size_t{1} << 30; // offsets are 32 bits

// Decides what a series of a page is called, and whether it is kept. Asked only for series that the last page
// did not have.
class series_resolver {
public:
  virtual ~series_resolver() = default;
  // `exposed` as the page has them: sorted, empty values included. no_series: dropped.
  virtual series_ref resolve(const metric_family& family, labels& exposed) = 0;
};

struct page_report {
  std::uint64_t samples = 0;       // well-formed, before any relabelling
  std::uint64_t kept = 0;          // of these, not dropped; duplicates are among them
  std::uint64_t lines_refused = 0; // malformed, or after an open quote
  std::uint64_t series_parsed = 0; // that were taken apart: not remembered
  std::string error;               // the first problem, with its line; empty: the page is well-formed
};

// A line of the last page with a sample, and what stands between it and the line before.
struct remembered_line {
  std::uint32_t series_at = 0;
  std::uint32_t value_at = 0;
  std::uint32_t end = 0; // after the '\n'
  std::uint32_t ref = 0; // with flags, see the .cpp
};

class exposition_parser {
public:
  explicit exposition_parser(bool honor_timestamps) noexcept : honor_timestamps_(honor_timestamps) {}

  // Adds the samples of `page` to `into`, between its begin() and finish(). On return `page` holds the memory
  // of the page before, for reuse.
  page_report parse(std::string& page, exposition_format format, frame_assembler& into,
                    series_resolver& resolver);

  // The next page is parsed without memory: needed when references changed or the resolver would answer
  // otherwise.
  void forget();
  void honor_timestamps(bool honor) noexcept { honor_timestamps_ = honor; } // forget() as well
  [[nodiscard]] std::size_t memory_bytes() const noexcept;

private:
  struct walk;

  bool honor_timestamps_;
  exposition_format format_ = exposition_format::text;
  std::string last_;
  std::vector<remembered_line> lines_;
  std::uint32_t refs_epoch_ = 0;
};

} // namespace skerry::edge
