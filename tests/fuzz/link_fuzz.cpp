// Any bytes as a link message, a join token or a user id: an error or a value, and nothing more. A message
// that is read is encoded and read again: it must be taken, and be of the same kind.
//
// The input is cut into parts: each starts with its length as 3 bytes, little-endian.

#include "actors/link/messages.hpp"
#include "actors/link/registry.hpp"
#include "actors/link/token.hpp"

#include <algorithm>
#include <cstdlib>

using namespace skerry;
using namespace skerry::link;

namespace {

constexpr std::size_t bytes_max = 8 << 20;
constexpr std::size_t parts_max = 64;

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const bytes_view all{reinterpret_cast<const std::byte*>(data), size};
  message_parts parts;
  for (auto rest = all; rest.size() >= 3 && parts.size() < parts_max;) {
    const auto length = static_cast<std::size_t>(rest[0]) | static_cast<std::size_t>(rest[1]) << 8
                        | static_cast<std::size_t>(rest[2]) << 16;
    rest = rest.subspan(3);
    const auto taken = std::min(length, rest.size());
    parts.push_back(shared_bytes::copy(rest.first(taken)));
    rest = rest.subspan(taken);
  }
  if (const auto read = decode(parts, bytes_max); read) {
    const auto again = decode(encode(read.value()), 2 * bytes_max);
    if (!again || again.value().session != read.value().session
        || again.value().body.index() != read.value().body.index())
      std::abort();
  }
  if (const auto token = decode_token(as_text(all), 0); token && encode_token(token.value()).empty())
    std::abort();
  if (const auto user = parse_user_id(as_text(all)); user && user.value().what == link_user::kind::edge
                                                     && user_id_of(user.value().edge).size() != all.size())
    std::abort();
  return 0;
}
