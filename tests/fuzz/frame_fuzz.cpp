// Frames and their values: what decodes must encode and decode to the same bits.

#include "schemas/model/frame.hpp"

#include <cstdlib>

using namespace skerry;

namespace {

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size()
         && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static value_encoder encoder;
  static value_decoder decoder;
  const bytes_view in{reinterpret_cast<const std::byte*>(data), size};
  static frame got;
  (void)decode_frame_sections(in, got);
  if (decode_frame(in, decoder, got)) {
    byte_buffer out;
    encode_frame(got, encoder, out);
    frame again;
    if (!decode_frame(out, decoder, again) || again.time_ns != got.time_ns
        || !same_bits(again.values, got.values))
      std::abort();
  }
  // The first two bytes as a count, the rest as encoded values.
  if (size >= 2) {
    std::uint16_t count;
    std::memcpy(&count, data, sizeof count);
    std::vector<double> values(count);
    (void)decoder.decode(in.subspan(2), values);
  }
  // And as values to encode: any bits must come back.
  std::vector<double> values(size / sizeof(double));
  if (!values.empty())
    std::memcpy(values.data(), data, values.size() * sizeof(double));
  byte_buffer out;
  encoder.encode(values, out);
  std::vector<double> back(values.size());
  if (!decoder.decode(out, back) || !same_bits(back, values))
    std::abort();
  return 0;
}
