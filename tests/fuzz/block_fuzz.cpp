// Blocks from a damaged disk: every column of whatever opens is decoded. The checksum is put right first, or
// nothing behind it would be reached.

#include "schemas/codec/block_codec.hpp"

#include <cstdlib>
#include <xxhash.h>

using namespace skerry;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  byte_buffer bytes(size);
  std::memcpy(bytes.data(), data, size);
  if (size >= block_header_bytes) {
    const auto length = static_cast<std::uint32_t>(size);
    std::memcpy(bytes.data(), &block_magic, sizeof block_magic);
    bytes[4] = static_cast<std::byte>(block_version);
    bytes[5] = std::byte{1};
    std::memcpy(bytes.data() + 24, &length, sizeof length);
    std::uint64_t seed;
    std::memcpy(&seed, bytes.data(), sizeof seed);
    const auto checksum = XXH3_64bits_withSeed(bytes.data() + 16, size - 16, seed);
    std::memcpy(bytes.data() + 8, &checksum, sizeof checksum);
  }
  static block_decoder decoder;
  if (!decoder.open(bytes))
    return 0;
  std::vector<double> values(decoder.rows());
  std::vector<std::uint64_t> present(row_words(decoder.rows()));
  for (std::size_t c = 0; c < decoder.columns(); ++c)
    (void)decoder.column(c, values, present);
  return 0;
}
