#include "edge/spool/lmdb_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace skerry::edge {

namespace {

// The file format of LMDB 0.9 on 64-bit little-endian machines.
constexpr std::uint32_t meta_magic = 0xBEEFC0DE;
constexpr std::uint32_t meta_version = 1;
constexpr std::uint16_t page_branch = 0x01;
constexpr std::uint16_t page_leaf = 0x02;
constexpr std::uint16_t page_overflow = 0x04;
constexpr std::uint16_t page_meta = 0x08;
constexpr std::uint16_t node_big = 0x01;
constexpr std::uint16_t node_tree = 0x02;
constexpr std::size_t page_header_bytes = 16;
constexpr std::size_t node_header_bytes = 8;
constexpr std::size_t page_bytes_min = 512;
constexpr std::size_t page_bytes_max = 65536;

struct raw_page {
  std::uint64_t number;
  std::uint16_t pad;
  std::uint16_t flags;
  std::uint16_t lower;
  std::uint16_t upper;
};
static_assert(sizeof(raw_page) == page_header_bytes);

struct raw_tree {
  std::uint32_t pad; // of the free list's: the page size
  std::uint16_t flags;
  std::uint16_t depth;
  std::uint64_t branch_pages;
  std::uint64_t leaf_pages;
  std::uint64_t overflow_pages;
  std::uint64_t entries;
  std::uint64_t root;
};
static_assert(sizeof(raw_tree) == 48);

struct raw_meta {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint64_t address;
  std::uint64_t map_bytes;
  raw_tree free;
  raw_tree main;
  std::uint64_t last_page;
  std::uint64_t transaction;
};
static_assert(sizeof(raw_meta) == 136);

template <class T>
T load_as(const std::byte* at) noexcept {
  T out;
  std::memcpy(&out, at, sizeof out);
  return out;
}

int compare(bytes_view a, bytes_view b) noexcept {
  const auto n = std::min(a.size(), b.size());
  if (const int c = n == 0 ? 0 : std::memcmp(a.data(), b.data(), n); c != 0)
    return c;
  return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
}

auto damaged(std::uint64_t page, std::string_view what) {
  return fail(errc::corrupt, fmt::format("page {} {}", page, what));
}

result<lmdb_tree> to_tree(const raw_tree& raw, std::uint64_t page) {
  if (raw.depth > lmdb_depth_max || (raw.root == lmdb_no_page) != (raw.depth == 0) || raw.flags != 0)
    return damaged(page, "describes a tree that contradicts itself");
  return lmdb_tree{raw.root, raw.depth, raw.entries};
}

} // namespace

result<lmdb_file> lmdb_file::open(const std::filesystem::path& path) {
  BOOST_OUTCOME_TRY(fd, open_file(path, O_RDONLY));
  lmdb_file out{std::move(fd)};
  // The page size stands in both meta pages; where the first is damaged the second is looked for at the usual
  // places.
  std::array<std::byte, page_header_bytes + sizeof(raw_meta)> head;
  for (const std::size_t at : {std::size_t{0}, std::size_t{4096}, std::size_t{16384}, std::size_t{65536}}) {
    if (!out.read_at(at, head))
      continue;
    const auto meta = load_as<raw_meta>(head.data() + page_header_bytes);
    const std::size_t bytes = meta.free.pad;
    if (meta.magic != meta_magic || bytes < page_bytes_min || bytes > page_bytes_max
        || (bytes & (bytes - 1)) != 0 || (at != 0 && at != bytes))
      continue;
    out.page_bytes_ = bytes;
    return out;
  }
  return fail(errc::corrupt, fmt::format("{} has no readable meta page", path.string()));
}

result<std::uint64_t> lmdb_file::size() const {
  struct stat st {};
  if (::fstat(fd_.get(), &st) != 0)
    return fail(errc::io, "a segment's file cannot be examined");
  return static_cast<std::uint64_t>(st.st_size);
}

result<void> lmdb_file::read_at(std::uint64_t offset, std::span<std::byte> to) const {
  while (!to.empty()) {
    const auto n = ::pread(fd_.get(), to.data(), to.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR)
      continue;
    // What the disk does not give back is lost like what it gives back wrong.
    if (n < 0)
      return fail(errc::corrupt, fmt::format("cannot read at byte {}: {}", offset, std::strerror(errno)));
    if (n == 0)
      return fail(errc::corrupt, fmt::format("the file ends before byte {}", offset));
    offset += static_cast<std::uint64_t>(n);
    to = to.subspan(static_cast<std::size_t>(n));
  }
  return ok();
}

result<lmdb_snapshot> lmdb_file::read_meta(std::uint64_t page) const {
  std::array<std::byte, page_header_bytes + sizeof(raw_meta)> bytes;
  BOOST_OUTCOME_TRYV(read_at(page * page_bytes_, bytes));
  const auto head = load_as<raw_page>(bytes.data());
  const auto meta = load_as<raw_meta>(bytes.data() + page_header_bytes);
  if (head.number != page || (head.flags & page_meta) == 0 || meta.magic != meta_magic
      || meta.version != meta_version || meta.free.pad != page_bytes_)
    return damaged(page, "is no meta page");
  lmdb_snapshot out;
  out.transaction = meta.transaction;
  out.last_page = meta.last_page;
  BOOST_OUTCOME_TRY(main, to_tree(meta.main, page));
  out.main = main;
  return out;
}

result<std::array<lmdb_snapshot, 2>> lmdb_file::snapshots() const {
  BOOST_OUTCOME_TRY(even, read_meta(0));
  BOOST_OUTCOME_TRY(odd, read_meta(1));
  // Transactions take turns: an even one writes meta page 0, the next one meta page 1. A new file has 0 in
  // both.
  const bool fresh = even.transaction == 0 && odd.transaction == 0;
  const auto apart = even.transaction > odd.transaction ? even.transaction - odd.transaction
                                                        : odd.transaction - even.transaction;
  if (!fresh && (even.transaction % 2 != 0 || odd.transaction % 2 != 1 || apart != 1))
    return damaged(0, "and page 1 name transactions that cannot follow each other");
  if (odd.transaction > even.transaction)
    std::swap(even, odd);
  return std::array<lmdb_snapshot, 2>{even, odd};
}

result<void> lmdb_cursor::load(std::uint64_t page, std::size_t depth) {
  if (page > last_page_ || page < 2)
    return damaged(page, "is named by a tree and lies outside of the file");
  if (path_.size() <= depth)
    path_.resize(depth + 1);
  auto& at = path_[depth];
  at.page.resize(file_.page_bytes());
  BOOST_OUTCOME_TRYV(file_.read_at(page * file_.page_bytes(), at.page));
  const auto head = load_as<raw_page>(at.page.data());
  const auto wanted = depth + 1 == tree_.depth ? page_leaf : page_branch;
  if (head.number != page || head.flags != wanted || head.lower < page_header_bytes || head.lower > head.upper
      || head.upper > at.page.size() || head.lower % 2 != 0)
    return damaged(page, "has a damaged header");
  at.keys = (head.lower - page_header_bytes) / 2;
  if (at.keys == 0)
    return damaged(page, "is empty");
  return ok();
}

result<lmdb_cursor::node> lmdb_cursor::node_at(const level& at, std::size_t index, bool leaf) const {
  const bytes_view page{at.page};
  const auto number = load_as<raw_page>(page.data()).number;
  const std::size_t offset = load_as<std::uint16_t>(page.data() + page_header_bytes + index * 2);
  if (offset < page_header_bytes + at.keys * 2 || offset + node_header_bytes > page.size())
    return damaged(number, "points outside of itself");
  const auto low = load_as<std::uint16_t>(page.data() + offset);
  const auto high = load_as<std::uint16_t>(page.data() + offset + 2);
  node out;
  out.flags = load_as<std::uint16_t>(page.data() + offset + 4);
  const std::size_t key_bytes = load_as<std::uint16_t>(page.data() + offset + 6);
  const auto body = page.subspan(offset + node_header_bytes);
  if (key_bytes > body.size())
    return damaged(number, "holds a key that ends outside of it");
  out.key = body.first(key_bytes);
  if (!leaf) {
    out.child = low | std::uint64_t{high} << 16 | std::uint64_t{out.flags} << 32;
    return out;
  }
  out.data_bytes = low | std::uint64_t{high} << 16;
  const auto here = (out.flags & node_big) != 0 ? std::uint64_t{8} : out.data_bytes;
  if (here > body.size() - key_bytes || (out.flags & ~(node_big | node_tree)) != 0)
    return damaged(number, "holds a value that ends outside of it");
  out.data = body.subspan(key_bytes, here);
  return out;
}

result<bool> lmdb_cursor::settle() {
  const auto& at = path_[tree_.depth - 1u];
  BOOST_OUTCOME_TRY(found, node_at(at, at.index, true));
  node_ = found;
  return true;
}

result<bool> lmdb_cursor::descend_edge(std::size_t from, int direction) {
  for (auto depth = from; depth + 1 < tree_.depth; ++depth) {
    BOOST_OUTCOME_TRY(branch, node_at(path_[depth], path_[depth].index, false));
    BOOST_OUTCOME_TRYV(load(branch.child, depth + 1));
    path_[depth + 1].index = direction > 0 ? 0 : path_[depth + 1].keys - 1;
  }
  return settle();
}

result<bool> lmdb_cursor::first() {
  if (tree_.depth == 0)
    return false;
  BOOST_OUTCOME_TRYV(load(tree_.root, 0));
  path_[0].index = 0;
  return descend_edge(0, 1);
}

result<bool> lmdb_cursor::seek_at_most(bytes_view key) {
  if (tree_.depth == 0)
    return false;
  auto page = tree_.root;
  for (std::size_t depth = 0; depth < tree_.depth; ++depth) {
    BOOST_OUTCOME_TRYV(load(page, depth));
    auto& at = path_[depth];
    const bool leaf = depth + 1u == tree_.depth;
    // The last node not above the key; a branch's first key is empty and stands for everything below.
    std::size_t low = leaf ? 0 : 1;
    std::size_t high = at.keys;
    while (low < high) {
      const auto middle = (low + high) / 2;
      BOOST_OUTCOME_TRY(candidate, node_at(at, middle, leaf));
      if (compare(candidate.key, key) <= 0)
        low = middle + 1;
      else
        high = middle;
    }
    if (low == 0) { // a leaf that starts above the key: what is asked for ends the leaf before
      at.index = 0;
      return step(-1);
    }
    at.index = low - 1;
    if (!leaf) {
      BOOST_OUTCOME_TRY(branch, node_at(at, at.index, false));
      page = branch.child;
    }
  }
  return settle();
}

result<bool> lmdb_cursor::seek_at_least(bytes_view key) {
  BOOST_OUTCOME_TRY(below, seek_at_most(key));
  if (!below)
    return first();
  if (compare(node_.key, key) == 0)
    return true;
  return step(1);
}

result<bool> lmdb_cursor::seek_exactly(bytes_view key) {
  BOOST_OUTCOME_TRY(below, seek_at_most(key));
  return below && compare(node_.key, key) == 0;
}

result<bool> lmdb_cursor::step(int direction) {
  for (std::size_t depth = tree_.depth; depth-- > 0;) {
    auto& at = path_[depth];
    if (direction > 0 ? at.index + 1 < at.keys : at.index > 0) {
      at.index = direction > 0 ? at.index + 1 : at.index - 1;
      return descend_edge(depth, direction);
    }
  }
  return false;
}

result<bool> lmdb_cursor::next() { return step(1); }
result<bool> lmdb_cursor::previous() { return step(-1); }

result<byte_buffer> lmdb_cursor::value() const {
  if ((node_.flags & node_big) == 0)
    return byte_buffer{node_.data.begin(), node_.data.end()};
  const auto page = load_as<std::uint64_t>(node_.data.data());
  const auto page_size = file_.page_bytes();
  const auto pages = (page_header_bytes + node_.data_bytes + page_size - 1) / page_size;
  if (page < 2 || page > last_page_ || pages > last_page_ - page + 1)
    return damaged(page, "is named by a value and lies outside of the file");
  std::array<std::byte, page_header_bytes> bytes;
  BOOST_OUTCOME_TRYV(file_.read_at(page * page_size, bytes));
  const auto head = load_as<raw_page>(bytes.data());
  const auto head_pages = load_as<std::uint32_t>(bytes.data() + 12);
  if (head.number != page || head.flags != page_overflow || head_pages != pages)
    return damaged(page, "has a damaged header");
  byte_buffer out(node_.data_bytes);
  BOOST_OUTCOME_TRYV(file_.read_at(page * page_size + page_header_bytes, out));
  return out;
}

result<lmdb_tree> lmdb_cursor::subtree() const {
  const auto number = load_as<raw_page>(path_[tree_.depth - 1u].page.data()).number;
  if (node_.flags != node_tree || node_.data.size() != sizeof(raw_tree))
    return damaged(number, "holds no tree where one belongs");
  return to_tree(load_as<raw_tree>(node_.data.data()), number);
}

result<lmdb_tree> find_tree(const lmdb_file& file, const lmdb_snapshot& in, std::string_view name) {
  lmdb_cursor cursor{file, in, in.main};
  BOOST_OUTCOME_TRY(found, cursor.seek_exactly(as_bytes(name)));
  if (!found)
    return fail(errc::corrupt, fmt::format("the database '{}' is missing", name));
  return cursor.subtree();
}

} // namespace skerry::edge
