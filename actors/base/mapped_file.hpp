#pragma once

// A file mapped for reading as it is when it is opened.

#include "schemas/bytes.hpp"

#include <filesystem>
#include <utility>

namespace skerry {

class mapped_file {
public:
  // Empty where the file is empty or absent.
  [[nodiscard]] static result<mapped_file> open(const std::filesystem::path& file);
  ~mapped_file();
  mapped_file(mapped_file&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  mapped_file& operator=(mapped_file&&) = delete;

  [[nodiscard]] bytes_view bytes() const noexcept { return bytes_; }

private:
  mapped_file() = default;
  bytes_view bytes_;
};

} // namespace skerry
