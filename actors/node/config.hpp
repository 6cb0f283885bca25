#pragma once

// Reading YAML configuration so that every mistake is reported with file, line and a suggestion, all at once.
//
// A section reads its keys into plain structs that hold the defaults already; `finish()` then refuses every
// key that nobody asked for and names the nearest known one. Errors collect in the document, nothing throws.
// Single-threaded.

#include "schemas/error.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace YAML {
class Node;
}

namespace skerry {

class config_document;

// One YAML mapping. Valid while its document lives.
class config_section {
public:
  // Each leaves `into` alone where the key is absent, and reports a value of the wrong kind.
  // True where the key was there and was read.
  bool read(std::string_view key, std::string& into);
  bool read(std::string_view key, bool& into);
  bool read(std::string_view key, std::int64_t& into, std::int64_t min, std::int64_t max);
  bool read(std::string_view key, double& into, double min, double max);
  bool read(std::string_view key, std::vector<std::string>& into); // a list of scalars
  bool read(std::string_view key, std::chrono::nanoseconds& into); // "15s", "1h30m", Prometheus style
  bool read_bytes(std::string_view key, std::uint64_t& into);      // "512MiB", "10GB", plain bytes
  // String to string, as `labels:` and `params:` have it; keys in their order.
  bool read(std::string_view key, std::vector<std::pair<std::string, std::string>>& into);
  bool read(std::string_view key, std::vector<std::pair<std::string, std::vector<std::string>>>& into);

  // Calls `each` for a nested mapping, or for every mapping of a list, and finishes it.
  void section(std::string_view key, const std::function<void(config_section&)>& each);
  void list(std::string_view key, const std::function<void(config_section&)>& each);

  // Documented elsewhere (by Prometheus, say) and not done by this build: refused by name, with the reason.
  void refuse(std::string_view key, std::string_view why);
  // Reports a problem at this key's line, or at the section's where the key is absent.
  void complain(std::string_view key, std::string_view what);
  [[nodiscard]] bool has(std::string_view key) const;
  [[nodiscard]] int line(std::string_view key) const; // 1-based; 0 when absent

  void finish(); // refuses unknown keys

private:
  friend class config_document;
  config_section(config_document& document, std::shared_ptr<YAML::Node> node, std::string path);
  bool take(std::string_view key, bool null_is_absent,
            const std::function<std::string(const YAML::Node&)>& take);
  config_document& document_;
  std::shared_ptr<YAML::Node> node_;
  std::string path_; // "scrape_configs[0].tls_config", for messages
  std::vector<std::string> known_;
  std::vector<std::string> refused_; // reported already; never suggested
};

class config_document {
public:
  // not_found / io: the file can't be read; malformed: not YAML, or not a mapping (with line).
  [[nodiscard]] static result<std::unique_ptr<config_document>> load(const std::filesystem::path& file);
  [[nodiscard]] static result<std::unique_ptr<config_document>> parse(std::string_view text,
                                                                      std::string_view name);

  [[nodiscard]] config_section& root() noexcept;
  // Each "file:line: what is wrong; what to do", in the order of lines.
  [[nodiscard]] const std::vector<std::string>& errors() const noexcept;
  [[nodiscard]] const std::filesystem::path&
  file() const noexcept; // relative paths inside are relative to its folder
  // Every setting by its path ("collect.interval"; a list is one setting), with a hash of what it says.
  [[nodiscard]] std::map<std::string, std::size_t> digest() const;
  void add_error(int line, std::string what);

  config_document(const config_document&) = delete;
  config_document& operator=(const config_document&) = delete;
  ~config_document();

private:
  config_document();
  struct impl;
  std::unique_ptr<impl> impl_;
};

// "1h30m", "15s", "500ms", "1d", "2w", "1y", "0"; malformed otherwise. As Prometheus parses durations.
[[nodiscard]] result<std::chrono::nanoseconds> parse_duration(std::string_view text);
[[nodiscard]] std::string format_duration(std::chrono::nanoseconds value); // "1h30m"
// "512MiB", "10GB", "1024"; malformed otherwise. Units are powers of 1024 with or without the "i", as
// Prometheus has it.
[[nodiscard]] result<std::uint64_t> parse_bytes(std::string_view text);
[[nodiscard]] std::string format_bytes(std::uint64_t bytes); // "1.5 MiB", for people
// The candidate nearest by edit distance, or empty when none is near.
[[nodiscard]] std::string_view nearest(std::string_view word, const std::vector<std::string>& candidates);

} // namespace skerry
