#pragma once

// /proc/stat, which two collectors need and which is dear to make (the kernel sums every interrupt of every
// CPU): read once per collection.

#include "edge/collect/host/files.hpp"

namespace skerry::edge::host {

class stat_file {
public:
  explicit stat_file(const std::filesystem::path& proc) : file_(proc / "stat") {}

  void forget() noexcept { fresh_ = false; } // at the start of a collection
  // Valid until forget(). Errors as kept_file::read.
  [[nodiscard]] result<std::string_view> read() {
    if (!fresh_) {
      BOOST_OUTCOME_TRY(content, file_.read(buffer_));
      content_ = content;
      fresh_ = true;
    }
    return content_;
  }

private:
  kept_file file_;
  std::string buffer_;
  std::string_view content_;
  bool fresh_ = false;
};

} // namespace skerry::edge::host
