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

std::string to_hex(const curve_key& key) {
  return fmt::format("{:02x}", fmt::join(key.bytes, ""));
}

} // namespace skerry::link
