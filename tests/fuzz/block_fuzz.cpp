// Blocks from a damaged disk: every column of whatever opens is decoded. Header and checksum are put right
// and the input is compressed first, or little behind them would be reached; the last byte
// of an input says how.

#include "schemas/codec/block_codec.hpp"

#include <algorithm>
#include <cstdlib>
#include <xxhash.h>
#include <zstd.h>

using namespace skerry;

namespace {

// The input: columns, rows (each less one), how many bytes belong to the index, then index and columns. The first
// codec has both in one zstd frame.
byte_buffer wrap(const std::uint8_t* data, std::size_t size, std::uint8_t codec) {
  const auto* raw = reinterpret_cast<const std::byte*>(data) + 3;
  const bytes_view all{raw, size - 3};
  const auto pack = [](bytes_view from) {
    byte_buffer to(ZSTD_compressBound(from.size()));
    to.resize(ZSTD_compress(to.data(), to.size(), from.data(), from.size(), 1));
    return to;
  };
  const auto columns = static_cast<std::uint16_t>(data[0] + 1);
  byte_buffer index{all.begin(), all.end()};
  byte_buffer groups;
  if (codec == 2) {
    const auto cut = std::min<std::size_t>(all.size(), data[2]);
    groups = pack(all.subspan(cut));
    index.resize(cut);
    std::uint64_t seed = block_magic | std::uint64_t{block_version} << 32 | std::uint64_t{codec} << 40
                         | std::uint64_t{columns} << 48;
    byte_writer w{index};
    w.varint(1);
    w.varint(columns);
    w.varint(groups.size());
    w.fixed(static_cast<std::uint32_t>(XXH3_64bits_withSeed(groups.data(), groups.size(), seed)));
  }
  const auto packed = pack(index);
  byte_buffer bytes(block_header_bytes);
  bytes.insert(bytes.end(), packed.begin(), packed.end());
  const auto head_bytes = bytes.size();
  bytes.insert(bytes.end(), groups.begin(), groups.end());
  const auto put = [&](std::size_t at, auto value) { std::memcpy(bytes.data() + at, &value, sizeof value); };
  put(0, block_magic);
  put(4, block_version);
  put(5, codec);
  put(6, columns);
  put(16, static_cast<std::uint32_t>(data[1] + 1));
  put(20, static_cast<std::uint32_t>(index.size()));
  put(24, static_cast<std::uint32_t>(bytes.size()));
  put(28, static_cast<std::uint32_t>(codec == 2 ? head_bytes : 0));
  std::uint64_t seed;
  std::memcpy(&seed, bytes.data(), sizeof seed);
  put(8, static_cast<std::uint64_t>(XXH3_64bits_withSeed(bytes.data() + 16, head_bytes - 16, seed)));
  return bytes;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4)
    return 0;
  const auto* raw = reinterpret_cast<const std::byte*>(data);
  const auto how = data[size - 1] % 3;
  const auto bytes =
      how == 2 ? byte_buffer{raw, raw + size} : wrap(data, size, static_cast<std::uint8_t>(1 + how));
  static block_decoder decoder;
  if (!decoder.open(bytes))
    return 0;
  std::vector<double> values(decoder.rows());
  std::vector<std::uint64_t> present(row_words(decoder.rows()));
  for (std::size_t c = 0; c < decoder.columns(); ++c)
    (void)decoder.column(c, values, present);
  return 0;
}
