#pragma once

// Has a segment examined (examine.hpp) by a child process: one that the file crashes, sends in circles or makes eat
// memory is counted, and the node goes on. The child is this program again, started with posix_spawn: a process with
// threads is never just forked.
//
// One examination at a time; the calling thread waits for it, at most time + time_per_mib for each MiB of the file.

#include "schemas/bytes.hpp"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>
#include <sys/types.h>
#include <vector>

namespace skerry::edge {

inline constexpr std::chrono::milliseconds examine_time_per_mib{250}; // a slow disk reads 4 MiB/s

struct examiner_config {
  std::vector<std::string> command; // program and arguments; the segment's directory is appended
  std::chrono::milliseconds time{10'000};
};

class segment_examiner {
public:
  enum class ending {
    answered,
    crashed,
    timed_out,
    not_started, // the machine starts no process now
    stopped,     // `stopping` became true
  };
  struct outcome {
    ending how = ending::not_started;
    std::string what; // how it ended, in words
    byte_buffer answer;
  };

  segment_examiner(examiner_config config, const std::atomic<bool>& stopping);
  ~segment_examiner();

  [[nodiscard]] outcome examine(const std::filesystem::path& directory, bool always);

private:
  void reap(pid_t child, outcome& out);

  const examiner_config config_;
  const std::atomic<bool>& stopping_;
  std::vector<pid_t> unreaped_; // killed, and the system has not let go of them (a disk that hangs)
};

} // namespace skerry::edge
