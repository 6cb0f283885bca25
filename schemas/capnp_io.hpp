#pragma once

// Reading and writing Cap'n Proto messages at the boundary: the only place where kj::Exception is caught and where
// unaligned bytes become words. Include from .cpp files only: Cap'n Proto's headers are slow to compile.

#include "schemas/bytes.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <string>

namespace skerry {

inline void write_message(capnp::MessageBuilder& builder, byte_buffer& out) {
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asBytes();
  const auto* data = reinterpret_cast<const std::byte*>(bytes.begin());
  out.insert(out.end(), data, data + bytes.size());
}

// Copies `in` into aligned words, bounds what a reader may traverse by its size, and calls `read(Root::Reader)`,
// which returns a result. malformed: not a message, over `bytes_max`, or beyond the limits while read.
template <class Root, class Read>
auto read_message(bytes_view in, std::size_t bytes_max, Read&& read)
    -> decltype(read(std::declval<typename Root::Reader>())) {
  if (in.size() > bytes_max || in.size() % sizeof(capnp::word) != 0 || in.empty())
    return fail(errc::malformed, "a message has a length that no message has, or is over its bound");
  auto words = kj::heapArray<capnp::word>(in.size() / sizeof(capnp::word));
  std::memcpy(words.asBytes().begin(), in.data(), in.size());
  capnp::ReaderOptions options;
  // Elements of size zero cost no bytes but are counted; a message is read about once.
  options.traversalLimitInWords = words.size() * 8 + 1024;
  options.nestingLimit = 16;
  try {
    capnp::FlatArrayMessageReader reader{words, options};
    return read(reader.getRoot<Root>());
  } catch (const kj::Exception& e) {
    return fail(errc::malformed, std::string{"a message does not decode: "} + e.getDescription().cStr());
  }
}

inline bytes_view as_view(capnp::Data::Reader data) noexcept {
  return {reinterpret_cast<const std::byte*>(data.begin()), data.size()};
}
inline capnp::Data::Reader as_data(bytes_view bytes) noexcept {
  return {reinterpret_cast<const capnp::byte*>(bytes.data()), bytes.size()};
}

} // namespace skerry
