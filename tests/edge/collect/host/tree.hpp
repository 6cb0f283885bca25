#pragma once

// A made-up /proc and /sys in a temporary directory, and what collectors make of it.

#include "edge/collect/host/collectors.hpp"

#include <prometheus/registry.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <stdexcept>
#include <stdlib.h>
#include <string>

namespace skerry::edge {

class tree {
public:
  tree() {
    char name[] = "/tmp/host_collect_XXXXXX";
    if (::mkdtemp(name) == nullptr)
      throw std::runtime_error("mkdtemp");
    root_ = name;
    for (const auto* part : {"proc", "sys", "root", "udev"})
      std::filesystem::create_directory(root_ / part);
  }
  tree(const tree&) = delete;
  tree& operator=(const tree&) = delete;
  ~tree() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }

  void write(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary | std::ios::trunc) << text;
  }
  void remove(const std::string& name) const { std::filesystem::remove_all(root_ / name); }
  [[nodiscard]] const std::filesystem::path& root() const { return root_; }

  [[nodiscard]] host_config config(std::vector<std::string> enabled = {}) const {
    host_config c;
    c.proc = root_ / "proc";
    c.sys = root_ / "sys";
    c.rootfs = root_ / "root";
    c.udev = root_ / "udev";
    c.enabled = std::move(enabled);
    return c;
  }

private:
  std::filesystem::path root_;
};

// Time that stands still until it is moved.
class still_clock final : public clock_source {
public:
  std::int64_t wall_ns() const noexcept override { return wall; }
  std::int64_t monotonic_ns() const noexcept override { return monotonic; }
  std::int64_t wall = std::int64_t{1'700'000'000} * 1'000'000'000;
  std::int64_t monotonic = 1'000'000'000;
};

using values = std::map<std::string, double>; // by series as text: node_load1{a="b"}

inline values values_of(const std::vector<collected_family>& families) {
  values all;
  for (const auto& f : families)
    for (const auto& s : f.samples)
      if (!all.emplace(to_string(s.all), s.value).second)
        throw std::runtime_error("twice: " + to_string(s.all));
  return all;
}

// Collectors on a tree, and what they said last.
struct collecting {
  explicit collecting(const host_config& config) {
    auto made = host_collectors::make(config, clock, registry);
    if (!made)
      throw std::runtime_error(made.error().message);
    collectors = std::move(made.value());
  }

  values operator()() {
    collectors->collect(families);
    return values_of(families);
  }

  // A metric about ourselves, with this collector's label or without one.
  [[nodiscard]] double own(const std::string& name, const std::string& collector = "") const {
    for (const auto& family : registry.Collect())
      if (family.name == name)
        for (const auto& m : family.metric)
          if (collector.empty() || (!m.label.empty() && m.label[0].value == collector))
            return m.counter.value + m.gauge.value;
    return -1;
  }

  still_clock clock;
  prometheus::Registry registry;
  std::unique_ptr<host_collectors> collectors;
  std::vector<collected_family> families;
};

inline std::optional<double> find(const values& all, const std::string& series) {
  const auto found = all.find(series);
  return found == all.end() ? std::nullopt : std::optional(found->second);
}

} // namespace skerry::edge
