#pragma once

// A directory that goes with its owner.

#include <cstdlib>
#include <filesystem>
#include <string>
#include <unistd.h>

namespace skerry::link::test {

class temporary_directory {
public:
  temporary_directory() {
    // In memory where that is to be had: what is tested is what was written, not how long a disk takes to sync.
    const std::filesystem::path memory{"/dev/shm"};
    const bool usable = ::access(memory.c_str(), W_OK) == 0;
    auto name = ((usable ? memory : std::filesystem::temp_directory_path()) / "skerry-link-XXXXXX").string();
    path_ = ::mkdtemp(name.data()) != nullptr ? name : std::string{};
  }
  ~temporary_directory() {
    std::error_code ignored;
    if (!path_.empty())
      std::filesystem::remove_all(path_, ignored);
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
  std::filesystem::path path_;
};

} // namespace skerry::link::test
