// CURVE25519 keys: raw 32 bytes, made by libsodium.

#include "actors/link/transport.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <sodium.h>

namespace skerry::link {

static_assert(crypto_box_PUBLICKEYBYTES == sizeof(curve_key::bytes)
              && crypto_box_SECRETKEYBYTES == sizeof(curve_key::bytes));

curve_keypair make_keypair() {
  curve_keypair out;
  if (sodium_init() < 0)
    std::abort(); // no source of randomness: nothing that follows would be safe
  (void)crypto_box_keypair(out.public_key.bytes.data(), out.secret_key.bytes.data());
  return out;
}

result<curve_key> from_hex(std::string_view text) {
  curve_key key;
  std::size_t bytes = 0;
  const char* end = nullptr;
  if (text.size() != 2 * key.bytes.size()
      || sodium_hex2bin(key.bytes.data(), key.bytes.size(), text.data(), text.size(), nullptr, &bytes, &end)
             != 0
      || bytes != key.bytes.size())
    return fail(errc::malformed, "not a key: 64 hexadecimal digits are expected");
  return key;
}

std::string to_hex(const curve_key& key) { return fmt::format("{:02x}", fmt::join(key.bytes, "")); }

} // namespace skerry::link
