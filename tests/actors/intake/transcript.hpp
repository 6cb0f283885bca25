#pragma once

// What an assembler of frames made, in words that do not hang on the order of pointers or on a compressor's version: two
// assemblers that wrote the same transcript made the same records and sets. Its digest is pinned in tests.

#include "schemas/model/frame.hpp"
#include "schemas/model/record.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <span>
#include <string>
#include <vector>

namespace skerry::test {

class transcript {
public:
  void take(std::span<const pending_record> records, std::span<const series_set_ptr> sets) {
    for (const auto& record : records) {
      REQUIRE(decode_frame(record.payload, decoder_, frame_));
      note("record {} {} {} {} {}\n", static_cast<int>(record.kind), record.time_ns, record.host,
           record.flags, frame_.monotonic_ns);
      for (const auto& section : frame_.sections)
        note(" {} {} {:x}\n", to_string(section.set), section.series_count, fmt::join(section.present, ","));
      for (const auto value : frame_.values)
        note(" {:x}", std::bit_cast<std::uint64_t>(value));
    }
    std::vector<std::string> names;
    for (const auto& set : sets) {
      CHECK(hash_set(set->encoded.view) == set->hash);
      names.push_back(to_string(set->hash));
    }
    std::sort(names.begin(), names.end());
    note("sets {}\n", fmt::join(names, " "));
  }
  template <class... Args>
  void note(fmt::format_string<Args...> format, Args&&... args) {
    text_ += fmt::format(format, std::forward<Args>(args)...);
    if (text_.size() > 1 << 20)
      fold();
  }
  [[nodiscard]] std::string digest() {
    fold();
    return text_;
  }

private:
  void fold() {
    text_ = to_string(hash_set({reinterpret_cast<const std::byte*>(text_.data()), text_.size()}));
  }

  std::string text_;
  value_decoder decoder_;
  frame frame_;
};

} // namespace skerry::test
