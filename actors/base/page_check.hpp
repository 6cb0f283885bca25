#pragma once

// Walks an LMDB file without LMDB, with every reference checked, before LMDB may open it: its pages carry no
// checksums, and a flipped bit in one can end the process that follows it. What passes here is safe to read
// and write.
//
// Checked: both meta pages, each reachable page exactly once and inside the file, kinds and bounds of pages
// and nodes, depth, key order, counts, free list and live pages disjoint. Values are given to `each` so that
// their owner can check their content. Reads the file through a private map; any thread; the file must be
// closed.

#include "schemas/bytes.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace skerry {

struct page_check_options {
  // The database whose large values are not touched (they are most of a file and checked when read); "" is
  // the main.
  std::string skip_large = "none";
  // The main database's keys are integers, whether or not the file says so.
  bool integer_keys = false;
  // Called for each value; false means that the content is damaged. May be empty.
  std::function<bool(std::string_view database, bytes_view key, bytes_view value)> each;
};

// Whether a crash left this before the first commit to it was whole: there are two meta pages at the most, and no commit in
// them. Nothing in it was ever promised.
[[nodiscard]] bool never_committed(const std::filesystem::path& file);

// Of a damaged file whose main database has the keys 1, 2, … without gaps: the value of the highest that was ever committed,
// found without following pages; `is_value` tells its values from the free list's. Nothing where a meta page is damaged,
// or no page holds it.
[[nodiscard]] std::optional<bytes_view> last_value(bytes_view file,
                                                   const std::function<bool(bytes_view value)>& is_value);

// corrupt: the message says what and where; unsupported_version: another LMDB format; io.
// A file that does not exist or is empty is fine: LMDB makes it.
[[nodiscard]] result<void> check_pages(const std::filesystem::path& file, const page_check_options& options);

} // namespace skerry
