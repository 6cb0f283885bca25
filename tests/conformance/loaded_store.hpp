#pragma once

// A store in a temporary directory that takes `load` commands as an edge's frames, and answers queries.

#include "cloud/store/embedded.hpp"
#include "tests/conformance/script.hpp"

#include <filesystem>
#include <memory>

namespace skerry::conformance {

class loaded_store {
public:
  // io: no directory or store could be made.
  [[nodiscard]] static result<std::unique_ptr<loaded_store>> make();
  ~loaded_store(); // removes the directory
  loaded_store(const loaded_store&) = delete;
  loaded_store& operator=(const loaded_store&) = delete;

  // Labels `site` and `host` say where a series lies; both may be missing. Durable on return.
  [[nodiscard]] result<void> load(const load_command& what);
  [[nodiscard]] result<void> restart();
  void seal();
  [[nodiscard]] promql::series_source& source() noexcept { return *engine_; }

private:
  loaded_store() = default;
  [[nodiscard]] result<void> open();
  [[nodiscard]] result<void> append(std::string_view site, std::string_view host, std::int64_t step_ms,
                                    const std::vector<const series_line*>& lines);

  std::filesystem::path directory_;
  std::unique_ptr<prometheus::Registry> metrics_;
  std::unique_ptr<cloud::embedded_store> engine_;
  std::uint64_t next_sequence_ = 1;
};

} // namespace skerry::conformance
