#pragma once

// What a peer with a valid key can do to a receiver for as long as it likes: messages of one kind, each as large or as many
// as the protocol lets it; and a peer that behaves, to see what others have of it.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace skerry::hostile {

struct flood_options {
  std::string kind;
  double seconds = 0;
  double bytes_per_second = 1e9; // that it sends, about
  std::uint64_t seed = 1;
};
[[nodiscard]] std::vector<std::string> flood_kinds();

// Prints, as JSON, what it sent and how often its session was ended.
int play_flood(const std::filesystem::path& data, const flood_options& options);

// Sends a record every 50 ms; prints, as JSON, how many, and the times to their acknowledgement in milliseconds.
int play_probe(const std::filesystem::path& data, double seconds);

} // namespace skerry::hostile
