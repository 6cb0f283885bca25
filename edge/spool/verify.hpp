#pragma once

// `skerry-edge verify-segment PATH`: says whether a segment (a directory, or its data.mdb) is sound, and if
// not, what is wrong and how much could be salvaged. Reads only. Returns the exit code: 0 sound, 1 damaged, 2
// can't be read.

#include <filesystem>

namespace skerry::edge {

[[nodiscard]] int verify_segment_main(const std::filesystem::path& path);

} // namespace skerry::edge
