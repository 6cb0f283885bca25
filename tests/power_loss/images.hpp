#pragma once

// Goes through images of one recording: the moment of the power loss and what the disk kept follow from the seed.

#include "disk_recorder.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>

namespace skerry::test {

// Calls check(image, cut) for each; SKERRY_SEED replays one image.
template <class Check>
void each_image(const disk_recording& recording, const std::filesystem::path& beside, const char* replay,
                Check&& check) {
  const char* const seed_given = std::getenv("SKERRY_SEED");
  const char* const count_given = std::getenv("SKERRY_POWER_LOSS_IMAGES");
  const auto first = seed_given != nullptr ? std::strtoull(seed_given, nullptr, 10) : 1;
  const auto count = seed_given != nullptr    ? 1
                     : count_given != nullptr ? std::strtoull(count_given, nullptr, 10)
                                              : 500;
  for (auto seed = first; seed < first + count; ++seed) {
    std::mt19937_64 rng{seed};
    const auto cut = 1 + rng() % recording.operations().size();
    const auto image = beside / "image";
    std::filesystem::remove_all(image);
    std::filesystem::create_directory(image);
    recording.make_image(cut, rng, image);
    INFO("power lost before operation " << cut << " of " << recording.operations().size()
                                        << "; again: SKERRY_SEED=" << seed << " " << replay);
    check(image, cut);
  }
  std::filesystem::remove_all(beside / "image");
}

} // namespace skerry::test
