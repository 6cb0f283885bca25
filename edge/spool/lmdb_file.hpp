#pragma once

// Reads an LMDB 0.9 file with pread and bounds checks, without the LMDB library.
//
// Why: LMDB maps the file and trusts every page. A flipped bit can send it anywhere, a truncated file is a
// SIGBUS, and what it reads counts as resident memory. Here a damaged page is an error like any other, for
// serving, verifying and salvaging alike. Only plain B+trees are read, as the spool writes them: no sorted
// duplicates, no integer keys.
//
// A file that is being written: pages of a snapshot may be reused from the second commit after it on. A
// caller that reads while another thread commits checks afterwards that no more than one commit began (see
// disk_spool::read_runs).
//
// Any thread; an object is used by one at a time. Errors: corrupt, or io where the system refused to read.

#include "edge/spool/files.hpp"
#include "schemas/bytes.hpp"

#include <array>
#include <filesystem>
#include <optional>
#include <vector>

namespace skerry::edge {

inline constexpr std::size_t lmdb_depth_max = 16;
inline constexpr std::uint64_t lmdb_no_page = ~std::uint64_t{0};

struct lmdb_tree {
  std::uint64_t root = lmdb_no_page;
  std::uint16_t depth = 0;
  std::uint64_t entries = 0;
};

struct lmdb_snapshot {
  std::uint64_t transaction = 0;
  std::uint64_t last_page = 0;
  lmdb_tree main;
};

class lmdb_file {
public:
  [[nodiscard]] static result<lmdb_file> open(const std::filesystem::path& path);

  // Newest first. corrupt: the two meta pages do not fit each other.
  [[nodiscard]] result<std::array<lmdb_snapshot, 2>> snapshots() const;
  [[nodiscard]] result<void> read_at(std::uint64_t offset, std::span<std::byte> to) const;
  [[nodiscard]] std::size_t page_bytes() const noexcept { return page_bytes_; }
  [[nodiscard]] result<std::uint64_t> size() const;

private:
  explicit lmdb_file(unique_fd fd) noexcept : fd_(std::move(fd)) {}
  [[nodiscard]] result<lmdb_snapshot> read_meta(std::uint64_t page) const;

  unique_fd fd_;
  std::size_t page_bytes_ = 0;
};

// One position in a tree. Every move says whether it stands on an entry; `key` and `value` need that.
class lmdb_cursor {
public:
  lmdb_cursor(const lmdb_file& file, const lmdb_snapshot& in, const lmdb_tree& tree) noexcept
      : file_(file), last_page_(in.last_page), tree_(tree) {}

  [[nodiscard]] result<bool> first();
  [[nodiscard]] result<bool> seek_at_least(bytes_view key); // the first entry not below `key`
  [[nodiscard]] result<bool> seek_at_most(bytes_view key);  // the last entry not above `key`
  [[nodiscard]] result<bool> seek_exactly(bytes_view key);
  [[nodiscard]] result<bool> next();
  [[nodiscard]] result<bool> previous();

  [[nodiscard]] bytes_view key() const noexcept { return node_.key; }
  [[nodiscard]] result<byte_buffer> value() const;
  [[nodiscard]] result<lmdb_tree> subtree() const; // where the value is a named database

private:
  struct level {
    byte_buffer page;
    std::size_t keys = 0;
    std::size_t index = 0;
  };
  struct node {
    bytes_view key;
    bytes_view data; // of a leaf: the value, or the number of its first overflow page
    std::uint64_t data_bytes = 0;
    std::uint64_t child = 0; // of a branch
    std::uint16_t flags = 0;
  };
  [[nodiscard]] result<void> load(std::uint64_t page, std::size_t depth);
  [[nodiscard]] result<node> node_at(const level& at, std::size_t index, bool leaf) const;
  [[nodiscard]] result<bool> step(int direction);
  [[nodiscard]] result<bool> descend_edge(std::size_t from, int direction);
  [[nodiscard]] result<bool> settle(); // decodes the entry that the path points at

  const lmdb_file& file_;
  std::uint64_t last_page_;
  lmdb_tree tree_;
  std::vector<level> path_;
  node node_;
};

// A named database; corrupt where there is none.
[[nodiscard]] result<lmdb_tree> find_tree(const lmdb_file& file, const lmdb_snapshot& in,
                                          std::string_view name);

} // namespace skerry::edge
