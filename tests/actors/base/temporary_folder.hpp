#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <unistd.h>

namespace skerry::test {

// A fresh folder that goes away with everything in it.
class temporary_folder {
public:
  temporary_folder() {
    static std::atomic<int> number{0};
    path_ = std::filesystem::temp_directory_path()
            / ("skerry-node-" + std::to_string(::getpid()) + "-" + std::to_string(number++));
    std::filesystem::create_directories(path_);
  }
  ~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
  std::filesystem::path path_;
};

} // namespace skerry::test
