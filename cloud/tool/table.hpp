#pragma once

// A text table for people: columns as wide as their widest cell, numbers to the right.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace skerry::cloud {

enum class align : unsigned char { left, right };

struct column {
  std::string title;
  align side = align::left;
};

class table {
public:
  explicit table(std::vector<column> columns) : columns_(std::move(columns)) {}

  // Missing cells are empty, cells beyond the columns are left out. What a terminal would act on becomes '?'.
  void add(std::vector<std::string> cells);
  [[nodiscard]] std::size_t rows() const noexcept { return rows_.size(); }
  // One line each, ending in '\n', without trailing spaces. `width_max` cuts lines; 0: never.
  [[nodiscard]] std::string render(std::size_t width_max = 0) const;

private:
  std::vector<column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Without control characters and without bytes that are no UTF-8: safe for a terminal.
[[nodiscard]] std::string printable(std::string_view text);
// Characters, as a terminal counts them for most scripts.
[[nodiscard]] std::size_t display_width(std::string_view text) noexcept;

} // namespace skerry::cloud
