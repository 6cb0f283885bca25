#include "actors/base/page_check.hpp"

#include "actors/base/mapped_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <unistd.h>
#include <vector>

namespace skerry {

namespace {

// The layout of LMDB 0.9 files on 64-bit little-endian machines.
constexpr std::uint32_t meta_magic = 0xBEEFC0DE;
constexpr std::uint32_t meta_version = 1;
constexpr std::uint64_t no_page = ~std::uint64_t{0};
constexpr std::uint16_t page_branch = 0x01;
constexpr std::uint16_t page_leaf = 0x02;
constexpr std::uint16_t page_overflow = 0x04;
constexpr std::uint16_t page_meta = 0x08;
constexpr std::uint16_t node_big = 0x01;
constexpr std::uint16_t node_database = 0x02;
constexpr std::uint16_t database_integer_key = 0x08;
constexpr std::size_t key_bytes_max = 511;
constexpr unsigned depth_max = 32;
constexpr std::uint64_t unwritten_pages_max = 1 << 20; // at the end of a file

struct page_header {
  std::uint64_t number;
  std::uint16_t pad;
  std::uint16_t flags;
  std::uint16_t lower;
  std::uint16_t upper;
  [[nodiscard]] std::uint32_t pages() const noexcept { return lower | std::uint32_t{upper} << 16; }
};
static_assert(sizeof(page_header) == 16);

struct node_header {
  std::uint16_t low;
  std::uint16_t high;
  std::uint16_t flags;
  std::uint16_t key_bytes;
};

struct database_header {
  std::uint32_t pad;
  std::uint16_t flags;
  std::uint16_t depth;
  std::uint64_t branch_pages;
  std::uint64_t leaf_pages;
  std::uint64_t overflow_pages;
  std::uint64_t entries;
  std::uint64_t root;
};
static_assert(sizeof(database_header) == 48);

struct meta_header {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint64_t address;
  std::uint64_t map_bytes;
  database_header free_list;
  database_header main;
  std::uint64_t last_page;
  std::uint64_t transaction;
};

class walker {
public:
  walker(bytes_view file, const page_check_options& options) : file_(file), options_(options) {}

  result<void> run() {
    page_bytes_ = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    if (file_.size() < 2 * page_bytes_)
      return damaged("it is shorter than two pages");
    BOOST_OUTCOME_TRY(first, read_meta(0));
    BOOST_OUTCOME_TRY(second, read_meta(1));
    // Commits write the meta pages in turn, so that the last two transactions stand there.
    const bool fresh = first.transaction == 0 && second.transaction == 0;
    const auto& newest = second.transaction > first.transaction ? second : first;
    const auto& older = second.transaction > first.transaction ? first : second;
    if (!fresh && (newest.transaction != older.transaction + 1 || first.transaction % 2 != 0))
      return damaged("its two meta pages contradict each other");
    BOOST_OUTCOME_TRYV(newest_freed_in(older)); // it can be read
    BOOST_OUTCOME_TRY(newest_freed, newest_freed_in(newest));
    // A flipped bit in a transaction's number could make the last commit look older than the one before, and LMDB would
    // take it back in silence. But a commit over content replaces pages, and files them as freed under its number.
    if (has_content(older) && newest_freed != newest.transaction)
      return damaged(fmt::format("a meta page is of transaction {} and its free list of {}",
                                 newest.transaction, newest_freed));
    BOOST_OUTCOME_TRYV(begin(newest));
    BOOST_OUTCOME_TRYV(walk_database(newest.main, ""));
    for (const auto& [name, header] : named_) {
      BOOST_OUTCOME_TRYV(walk_database(header, name));
    }
    BOOST_OUTCOME_TRYV(walk_free_list(newest.free_list, newest.transaction));
    // A page that was given out and taken back within one transaction was never written: the file may end before it.
    for (auto page = file_pages_; page <= last_page_; ++page)
      if (!seen_[page])
        return damaged("it is shorter than its meta page says");
    return ok();
  }

  std::optional<bytes_view> last_value(const std::function<bool(bytes_view)>& is_value) {
    page_bytes_ = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    if (file_.size() < 2 * page_bytes_)
      return std::nullopt;
    const auto first = read_meta(0), second = read_meta(1);
    if (!first || !second)
      return std::nullopt;
    const auto& newest =
        second.value().transaction > first.value().transaction ? second.value() : first.value();
    std::optional<bytes_view> found;
    for (std::size_t page = 2; page < file_.size() / page_bytes_; ++page)
      if (!each_integer_key(page, [&](std::uint64_t key, bytes_view value) {
            if (!is_value(value))
              return true;
            if (key == newest.main.entries)
              found = value;
            return key <= newest.main.entries;
          }))
        return std::nullopt; // a later one: the meta page says less than there was
    return found;
  }

private:
  // Of a page that looks like a leaf with integer keys; false as soon as `each` is.
  template <class Each>
  bool each_integer_key(std::size_t number, Each&& each) const {
    const auto page = file_.subspan(number * page_bytes_, page_bytes_);
    page_header header;
    std::memcpy(&header, page.data(), sizeof header);
    if (header.number != number || header.flags != page_leaf || header.lower < sizeof header
        || header.lower > page_bytes_)
      return true;
    for (std::size_t i = 0; i < (header.lower - sizeof header) / 2; ++i) {
      std::uint16_t offset;
      std::memcpy(&offset, page.data() + sizeof header + i * 2, 2);
      node_header node;
      std::uint64_t key;
      if (offset + sizeof node + sizeof key > page_bytes_)
        continue;
      std::memcpy(&node, page.data() + offset, sizeof node);
      std::memcpy(&key, page.data() + offset + sizeof node, sizeof key);
      if (node.key_bytes != sizeof key)
        continue;
      const auto at = offset + sizeof node + sizeof key;
      const auto bytes = std::size_t{node.low} | std::size_t{node.high} << 16;
      bytes_view value;
      std::uint64_t first = 0;
      if (node.flags == node_big && at + sizeof first <= page_bytes_) {
        std::memcpy(&first, page.data() + at, sizeof first);
        if (first < 2 || first >= file_.size() / page_bytes_
            || bytes > file_.size() - first * page_bytes_ - sizeof(page_header))
          continue;
        value = file_.subspan(first * page_bytes_ + sizeof(page_header), bytes);
      } else if (node.flags == 0 && at + bytes <= page_bytes_) {
        value = page.subspan(at, bytes);
      } else {
        continue;
      }
      if (!each(key, value))
        return false;
    }
    return true;
  }

  [[nodiscard]] static result<void> damaged(std::string what) { return fail(errc::corrupt, std::move(what)); }

  result<meta_header> read_meta(std::size_t page) {
    const auto at = file_.data() + page * page_bytes_;
    page_header header;
    meta_header meta;
    std::memcpy(&header, at, sizeof header);
    std::memcpy(&meta, at + sizeof header, sizeof meta);
    if (header.number != page || header.flags != page_meta || meta.magic != meta_magic)
      return fail(errc::corrupt, fmt::format("page {} is no meta page", page));
    if (meta.version != meta_version)
      return fail(errc::corrupt, fmt::format("meta page {} has version {}", page, meta.version));
    if (meta.free_list.pad != page_bytes_ || meta.free_list.flags != database_integer_key)
      return fail(errc::corrupt, fmt::format("meta page {} contradicts itself", page));
    if (meta.map_bytes < (meta.last_page + 1) * page_bytes_ || meta.map_bytes > std::uint64_t{1} << 46)
      return fail(errc::corrupt, fmt::format("meta page {} has an impossible map size", page));
    return meta;
  }

  result<void> begin(const meta_header& meta) {
    file_pages_ = file_.size() / page_bytes_;
    if (meta.last_page < 1 || meta.last_page >= file_pages_ + unwritten_pages_max)
      return damaged("it is shorter than its meta page says");
    last_page_ = meta.last_page;
    last_written_ = std::min<std::uint64_t>(last_page_, file_pages_ - 1);
    seen_.assign(last_page_ + 1, false);
    seen_[0] = seen_[1] = true;
    return ok();
  }

  [[nodiscard]] static bool has_content(const meta_header& meta) noexcept {
    return meta.main.root != no_page || meta.free_list.root != no_page;
  }

  // The newest transaction in its free list, which no later one than its own may be; 0: the list is empty. The pages of
  // the commit before the last are not written over, so that its list can be read too.
  result<std::uint64_t> newest_freed_in(const meta_header& meta) {
    newest_freed_ = 0;
    if (meta.transaction == 0) {
      if (has_content(meta))
        return fail(errc::corrupt, "a meta page of no transaction has content");
      return newest_freed_;
    }
    BOOST_OUTCOME_TRYV(begin(meta));
    BOOST_OUTCOME_TRYV(walk_free_list(meta.free_list, meta.transaction));
    return newest_freed_;
  }

  result<void> take(std::uint64_t page) { return take(page, last_written_); }

  result<void> take(std::uint64_t page, std::uint64_t last) {
    if (page > last || page < 2)
      return damaged(fmt::format("a reference to page {} of {}", page, last));
    if (seen_[page])
      return damaged(fmt::format("page {} is referred to twice", page));
    seen_[page] = true;
    return ok();
  }

  struct counts {
    std::uint64_t branch = 0;
    std::uint64_t leaf = 0;
    std::uint64_t overflow = 0;
    std::uint64_t entries = 0;
  };

  result<void> walk_database(const database_header& db, const std::string& name) {
    if (db.flags != 0 && db.flags != database_integer_key)
      return damaged(fmt::format("database '{}' has unexpected flags", name));
    integer_keys_ = db.flags == database_integer_key || (name.empty() && options_.integer_keys);
    free_list_ = false;
    return walk(db, name);
  }

  result<void> walk(const database_header& db, const std::string& name) {
    counts_ = {};
    last_key_.reset();
    if (db.root == no_page) {
      if (db.entries != 0 || db.depth != 0)
        return damaged(fmt::format("database '{}' has entries and no root", name));
      return ok();
    }
    if (db.depth == 0 || db.depth > depth_max)
      return damaged(fmt::format("database '{}' has depth {}", name, db.depth));
    BOOST_OUTCOME_TRYV(walk_page(db.root, db.depth, name, {}, {}));
    if (counts_.branch != db.branch_pages || counts_.leaf != db.leaf_pages
        || counts_.overflow != db.overflow_pages || counts_.entries != db.entries)
      return damaged(fmt::format("the counts of database '{}' do not match", name));
    return ok();
  }

  [[nodiscard]] int compare(bytes_view a, bytes_view b) const noexcept {
    if (integer_keys_ && a.size() == 8 && b.size() == 8) {
      std::uint64_t x;
      std::uint64_t y;
      std::memcpy(&x, a.data(), 8);
      std::memcpy(&y, b.data(), 8);
      return x < y ? -1 : x > y ? 1 : 0;
    }
    const auto n = std::min(a.size(), b.size());
    if (const int c = n == 0 ? 0 : std::memcmp(a.data(), b.data(), n); c != 0)
      return c;
    return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
  }

  // Keys of the page lie in [from, before) where those are given.
  result<void> walk_page(std::uint64_t number, unsigned depth, const std::string& name,
                         std::optional<bytes_view> from, std::optional<bytes_view> before) {
    BOOST_OUTCOME_TRYV(take(number));
    const auto page = file_.subspan(number * page_bytes_, page_bytes_);
    page_header header;
    std::memcpy(&header, page.data(), sizeof header);
    const bool leaf = depth == 1;
    const auto where = [&](std::string_view what) {
      return damaged(fmt::format("page {} of database '{}': {}", number, name, what));
    };
    if (header.number != number || header.flags != (leaf ? page_leaf : page_branch))
      return where("it is of another kind or at another place");
    if (header.lower < sizeof header || header.lower > header.upper || header.upper > page_bytes_
        || header.lower % 2 != 0)
      return where("its bounds are wrong");
    const auto nodes = (header.lower - sizeof header) / 2;
    if (nodes < (leaf || free_list_ ? 1u : 2u))
      return where("it is empty");
    ++(leaf ? counts_.leaf : counts_.branch);
    std::size_t bytes_used = 0;
    const auto node_at = [&](std::size_t i, node_header& node, bytes_view& key, std::size_t& data_at) {
      std::uint16_t offset;
      std::memcpy(&offset, page.data() + sizeof header + i * 2, 2);
      if (offset < header.upper || offset + sizeof(node_header) > page_bytes_ || offset % 2 != 0)
        return false;
      std::memcpy(&node, page.data() + offset, sizeof node);
      data_at = offset + sizeof(node_header) + node.key_bytes;
      if (node.key_bytes > key_bytes_max || data_at > page_bytes_)
        return false;
      key = page.subspan(offset + sizeof(node_header), node.key_bytes);
      return true;
    };
    for (std::size_t i = 0; i < nodes; ++i) {
      node_header node;
      bytes_view key;
      std::size_t data_at = 0;
      if (!node_at(i, node, key, data_at))
        return where("a node lies outside");
      const bool lowest = !leaf && i == 0; // its key stands for everything below
      if (!lowest) {
        if (key.empty() || (integer_keys_ && key.size() != 8))
          return where("a key has an impossible length");
        if ((from && compare(key, *from) < 0) || (before && compare(key, *before) >= 0))
          return where("a key lies outside its page's range");
      }
      if (leaf) {
        if (last_key_ && compare(*last_key_, key) >= 0)
          return where("keys are out of order");
        last_key_ = key;
        ++counts_.entries;
        BOOST_OUTCOME_TRY(node_bytes, walk_value(page, node, key, data_at, name));
        bytes_used += (sizeof(node_header) + key.size() + node_bytes + 1) & ~std::size_t{1};
        continue;
      }
      bytes_used += (sizeof(node_header) + key.size() + 1) & ~std::size_t{1};
      const auto child =
          std::uint64_t{node.low} | std::uint64_t{node.high} << 16 | std::uint64_t{node.flags} << 32;
      auto end = before;
      if (i + 1 < nodes) {
        node_header next;
        bytes_view next_key;
        std::size_t ignored = 0;
        if (!node_at(i + 1, next, next_key, ignored))
          return where("a node lies outside");
        end = next_key;
      }
      BOOST_OUTCOME_TRYV(walk_page(child, depth - 1, name, lowest ? from : std::optional{key}, end));
    }
    // LMDB keeps nodes packed and moves them by these bounds when it writes.
    if (bytes_used != page_bytes_ - header.upper)
      return where("its nodes do not fill it as its bounds say");
    return ok();
  }

  // Returns how many bytes of the node the value takes.
  result<std::size_t> walk_value(bytes_view page, const node_header& node, bytes_view key,
                                 std::size_t data_at, const std::string& name) {
    const auto value_bytes = std::size_t{node.low} | std::size_t{node.high} << 16;
    if (node.flags == node_big) {
      std::uint64_t first;
      if (data_at + sizeof first > page.size())
        return fail(errc::corrupt, fmt::format("a node of database '{}' is cut off", name));
      std::memcpy(&first, page.data() + data_at, sizeof first);
      std::size_t pages = (sizeof(page_header) - 1 + value_bytes) / page_bytes_ + 1;
      if (first < 2 || first > last_written_ || pages > last_written_ - first + 1)
        return fail(errc::corrupt, fmt::format("a large value of database '{}' lies outside the file", name));
      const bool skip = name == options_.skip_large;
      if (!skip) {
        page_header header;
        std::memcpy(&header, file_.data() + first * page_bytes_, sizeof header);
        // A value that shrank keeps its pages.
        if (header.number != first || header.flags != page_overflow || header.pages() < pages
            || header.pages() > last_written_ - first + 1)
          return fail(errc::corrupt, fmt::format("page {} is not the large value that it should be", first));
        pages = header.pages();
      }
      for (std::size_t i = 0; i < pages; ++i) {
        BOOST_OUTCOME_TRYV(take(first + i));
      }
      counts_.overflow += pages;
      if (!skip) {
        BOOST_OUTCOME_TRYV(
            check_value(name, key, file_.subspan(first * page_bytes_ + sizeof(page_header), value_bytes)));
      }
      return sizeof first;
    }
    if (data_at + value_bytes > page.size())
      return fail(errc::corrupt, fmt::format("a value of database '{}' is cut off", name));
    const auto value = page.subspan(data_at, value_bytes);
    if (node.flags == node_database) {
      if (!name.empty() || free_list_ || value.size() != sizeof(database_header))
        return fail(errc::corrupt, "a database where none belongs");
      database_header header;
      std::memcpy(&header, value.data(), sizeof header);
      named_.emplace_back(std::string{as_text(key)}, header);
      return value_bytes;
    }
    if (node.flags != 0)
      return fail(errc::corrupt, fmt::format("a node of database '{}' has unknown flags", name));
    BOOST_OUTCOME_TRYV(check_value(name, key, value));
    return value_bytes;
  }

  result<void> check_value(const std::string& name, bytes_view key, bytes_view value) {
    if (free_list_)
      return check_free(key, value);
    if (options_.each && !options_.each(name, key, value))
      return damaged(fmt::format("the checksum of a value of database '{}' does not match", name));
    return ok();
  }

  result<void> walk_free_list(const database_header& db, std::uint64_t transaction) {
    integer_keys_ = true;
    free_list_ = true;
    transaction_ = transaction;
    return walk(db, "free");
  }

  // The pages that one transaction freed: a count, then page numbers descending.
  result<void> check_free(bytes_view key, bytes_view value) {
    std::uint64_t freed_by;
    std::memcpy(&freed_by, key.data(), 8);
    std::uint64_t count = 0;
    if (value.size() < 8 || value.size() % 8 != 0 || freed_by == 0 || freed_by > transaction_)
      return damaged("the free list does not decode");
    newest_freed_ = std::max(newest_freed_, freed_by);
    std::memcpy(&count, value.data(), 8);
    if (count > value.size() / 8 - 1)
      return damaged("the free list does not decode");
    std::uint64_t before = no_page;
    for (std::uint64_t i = 0; i < count; ++i) {
      std::uint64_t page;
      std::memcpy(&page, value.data() + 8 + i * 8, 8);
      if (page >= before)
        return damaged("the free list is out of order");
      before = page;
      BOOST_OUTCOME_TRYV(take(page, last_page_));
    }
    return ok();
  }

  bytes_view file_;
  const page_check_options& options_;
  std::size_t page_bytes_ = 4096;
  std::uint64_t file_pages_ = 0;
  std::uint64_t last_page_ = 0;    // that was given out
  std::uint64_t last_written_ = 0; // of them, in the file
  std::uint64_t transaction_ = 0;
  std::uint64_t newest_freed_ = 0; // transaction
  std::vector<bool> seen_;
  std::vector<std::pair<std::string, database_header>> named_;
  counts counts_;
  std::optional<bytes_view> last_key_;
  bool integer_keys_ = false;
  bool free_list_ = false;
};

} // namespace

bool never_committed(const std::filesystem::path& file) {
  const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::error_code ec;
  const auto size = std::filesystem::file_size(file, ec);
  if (ec || size > 2 * page_bytes)
    return false;
  std::ifstream in{file, std::ios::binary};
  std::string bytes(size, '\0');
  if (size != 0 && !in.read(bytes.data(), static_cast<std::streamsize>(size)))
    return false;
  if (size != 0 && size < sizeof(page_header) + sizeof(meta_header))
    return false; // a rest of anything
  for (std::size_t at = 0; at + sizeof(page_header) + sizeof(meta_header) <= bytes.size(); at += page_bytes) {
    meta_header meta;
    std::memcpy(&meta, bytes.data() + at + sizeof(page_header), sizeof meta);
    if (meta.magic == meta_magic && meta.transaction != 0)
      return false;
  }
  return true;
}

std::optional<bytes_view> last_value(bytes_view file, const std::function<bool(bytes_view value)>& is_value) {
  const page_check_options none;
  return walker{file, none}.last_value(is_value);
}

result<void> check_pages(const std::filesystem::path& file, const page_check_options& options) {
  BOOST_OUTCOME_TRY(mapped, mapped_file::open(file));
  if (mapped.bytes().empty())
    return ok();
  auto checked = walker{mapped.bytes(), options}.run();
  if (!checked)
    return fail(checked.error().code,
                fmt::format("{} is damaged: {}", file.string(), checked.error().message));
  return checked;
}

} // namespace skerry
