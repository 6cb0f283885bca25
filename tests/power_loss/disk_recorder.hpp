#pragma once

// Records what this process does to the files below a directory, and builds from it what a disk may hold after power was
// lost at any moment. The functions of the C library that change files are replaced by ones that note what they did; LMDB
// and the standard library call them too. One recording at a time; any thread may write meanwhile.
//
// What survives, as POSIX promises it and ext4 and XFS keep it: data that was synced (fsync, fdatasync, O_DSYNC) is
// there; of each write that was not, any of its sectors of 512 bytes are. Names (creating, renaming, removing) survive in
// order up to some point, and at least up to the last one whose directory was synced. A file that no name leads to is
// gone.

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace skerry::test {

struct disk_operation {
  enum class kind : std::uint8_t {
    make_directory,
    make_file,
    write,
    resize,
    sync,
    sync_directory,
    rename,
    remove,
    mark
  };
  kind what = kind::mark;
  std::uint32_t file = 0;   // write, resize, sync, make_file: which, whatever its name
  bool synced = false;      // write: with O_DSYNC
  std::uint64_t offset = 0; // write; resize: the size; mark: its number
  std::string data;         // write
  std::string path;         // relative to the root; sync_directory: the directory
  std::string to;           // rename
};

class disk_recording {
public:
  // Everything below `root`, which is empty now, until stop().
  static void start(const std::filesystem::path& root);
  static void mark(std::uint64_t number); // what is promised from here on
  static disk_recording stop();

  [[nodiscard]] const std::vector<disk_operation>& operations() const noexcept { return all_; }
  // The newest mark before operation `cut`; 0: none.
  [[nodiscard]] std::uint64_t mark_before(std::size_t cut) const noexcept;
  // Fills `into`, an empty directory, with what may be there when power is lost just before operation `cut`.
  void make_image(std::size_t cut, std::mt19937_64& rng, const std::filesystem::path& into) const;

private:
  std::vector<disk_operation> all_;
};

} // namespace skerry::test
