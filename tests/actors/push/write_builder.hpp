#pragma once

// Writes remote write requests, field by field, as a sender does.

#include "schemas/bytes.hpp"

#include <snappy.h>
#include <string>
#include <utility>
#include <vector>

namespace skerry::push {

class write_builder {
public:
  using label_list = std::vector<std::pair<std::string, std::string>>;
  using sample_list = std::vector<std::pair<std::int64_t, double>>; // milliseconds, value

  write_builder& series(const label_list& labels, const sample_list& samples, int histograms = 0,
                        int exemplars = 0) {
    std::string part;
    for (const auto& [name, value] : labels)
      bytes(part, 1, text(1, name) + text(2, value));
    for (const auto& [time_ms, value] : samples) {
      std::string sample;
      byte_buffer fixed;
      byte_writer w{fixed};
      w.varint(1 << 3 | 1);
      w.fixed(value);
      w.varint(2 << 3);
      w.varint(static_cast<std::uint64_t>(time_ms));
      bytes(part, 2, std::string{as_text(fixed)});
    }
    for (int i = 0; i < exemplars; ++i)
      bytes(part, 3, text(1, "x"));
    for (int i = 0; i < histograms; ++i)
      bytes(part, 4, {});
    bytes(message_, 1, part);
    return *this;
  }
  write_builder& metadata(std::uint64_t type, const std::string& family, const std::string& help,
                          const std::string& unit = {}) {
    byte_buffer head;
    byte_writer w{head};
    w.varint(1 << 3);
    w.varint(type);
    bytes(message_, 3, std::string{as_text(head)} + text(2, family) + text(4, help) + text(5, unit));
    return *this;
  }

  [[nodiscard]] const std::string& message() const { return message_; }
  [[nodiscard]] std::string body() const {
    std::string out;
    snappy::Compress(message_.data(), message_.size(), &out);
    return out;
  }

private:
  static void bytes(std::string& to, std::uint32_t number, const std::string& value) {
    byte_buffer head;
    byte_writer w{head};
    w.varint(number << 3 | 2);
    w.varint(value.size());
    to += as_text(head);
    to += value;
  }
  static std::string text(std::uint32_t number, const std::string& value) {
    std::string out;
    bytes(out, number, value);
    return out;
  }

  std::string message_;
};

} // namespace skerry::push
