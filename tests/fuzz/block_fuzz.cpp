// Blocks from a damaged disk: every column of whatever opens is decoded. Header and checksum are put right
// and the input is compressed first, or little behind them would be reached; inputs that end in an odd byte
// go as they are.

#include "schemas/codec/block_codec.hpp"

#include <cstdlib>
#include <xxhash.h>
#include <zstd.h>

using namespace skerry;

namespace {

// The input: columns, rows (each less one), then what is inside the zstd frame.
byte_buffer wrap(const std::uint8_t* data, std::size_t size) {
  const auto plain_bytes = static_cast<std::uint32_t>(size - 2);
  byte_buffer bytes(block_header_bytes + ZSTD_compressBound(plain_bytes));
  const auto packed = ZSTD_compress(bytes.data() + block_header_bytes, bytes.size() - block_header_bytes,
                                    data + 2, plain_bytes, 1);
  bytes.resize(block_header_bytes + packed);
  const auto put = [&](std::size_t at, auto value) { std::memcpy(bytes.data() + at, &value, sizeof value); };
  put(0, block_magic);
  put(4, block_version);
  put(5, std::uint8_t{1});
  put(6, static_cast<std::uint16_t>(data[0] + 1));
  put(16, static_cast<std::uint32_t>(data[1] + 1));
  put(20, plain_bytes);
  put(24, static_cast<std::uint32_t>(bytes.size()));
  put(28, std::uint32_t{0});
  std::uint64_t seed;
  std::memcpy(&seed, bytes.data(), sizeof seed);
  put(8, static_cast<std::uint64_t>(XXH3_64bits_withSeed(bytes.data() + 16, bytes.size() - 16, seed)));
  return bytes;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3)
    return 0;
  const auto* raw = reinterpret_cast<const std::byte*>(data);
  const auto bytes = data[size - 1] % 2 == 0 ? wrap(data, size) : byte_buffer{raw, raw + size};
  static block_decoder decoder;
  if (!decoder.open(bytes))
    return 0;
  std::vector<double> values(decoder.rows());
  std::vector<std::uint64_t> present(row_words(decoder.rows()));
  for (std::size_t c = 0; c < decoder.columns(); ++c)
    (void)decoder.column(c, values, present);
  return 0;
}
