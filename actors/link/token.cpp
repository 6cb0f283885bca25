#include "actors/link/token.hpp"

#include "actors/link/keys.hpp"
#include "actors/link/limits.hpp"
#include "actors/link/text.hpp"
#include "actors/link/zmq_io.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sodium.h>

namespace skerry::link {

namespace {

constexpr std::string_view family_prefix = "skerry-join-";
constexpr std::string_view version = "1";
constexpr std::size_t checksum_bytes = 8;
constexpr int base64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

std::array<std::byte, checksum_bytes> checksum(bytes_view of) {
  std::array<unsigned char, 32> full;
  (void)crypto_generichash(full.data(), full.size(), reinterpret_cast<const unsigned char*>(of.data()),
                           of.size(), nullptr, 0);
  std::array<std::byte, checksum_bytes> out;
  std::memcpy(out.data(), full.data(), out.size());
  return out;
}

void wipe(byte_buffer& secret) noexcept { sodium_memzero(secret.data(), secret.size()); }

result<join_token> read(bytes_view from) {
  const auto malformed = [](std::string_view why) {
    return fail(errc::malformed,
                fmt::format("the join token {}; copy the whole line again, or ask for a new one", why));
  };
  if (from.size() <= checksum_bytes)
    return malformed("is cut off");
  const auto content = from.first(from.size() - checksum_bytes);
  const auto sum = checksum(content);
  if (!std::equal(sum.begin(), sum.end(), from.end() - checksum_bytes))
    return malformed("was altered or cut off: its checksum does not match");
  byte_reader r{content};
  join_token out;
  out.server_key.bytes = r.fixed<decltype(curve_key::bytes)>();
  out.one_time.public_key.bytes = r.fixed<decltype(curve_key::bytes)>();
  out.one_time.secret_key.bytes = r.fixed<decltype(curve_key::bytes)>();
  out.expiry_s = r.fixed<std::int64_t>();
  out.site = r.text();
  const auto count = r.varint();
  if (r.failed() || count == 0 || count > token_addresses_max)
    return malformed("names no address, or too many");
  for (std::uint64_t i = 0; i < count; ++i)
    out.addresses.emplace_back(r.text());
  const auto acceptable = [](const std::string& text) {
    return text.size() <= name_bytes_max && is_clean_text(text);
  };
  if (r.failed() || r.remaining() != 0 || !acceptable(out.site)
      || !std::all_of(out.addresses.begin(), out.addresses.end(),
                      [&](auto& a) { return acceptable(a) && detail::is_tcp_address(a); })
      || !belong_together(out.one_time))
    return malformed("does not decode");
  return out;
}

} // namespace

std::string encode_token(const join_token& from) {
  byte_buffer plain;
  byte_writer w{plain};
  w.fixed(from.server_key.bytes);
  w.fixed(from.one_time.public_key.bytes);
  w.fixed(from.one_time.secret_key.bytes);
  w.fixed(from.expiry_s);
  w.text(from.site);
  w.varint(from.addresses.size());
  for (const auto& address : from.addresses)
    w.text(address);
  const auto sum = checksum(plain);
  w.bytes(sum);
  std::string text(sodium_base64_encoded_len(plain.size(), base64), '\0');
  (void)sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(plain.data()),
                          plain.size(), base64);
  text.pop_back(); // the terminating zero
  wipe(plain);
  return fmt::format("{}{}.{}", family_prefix, version, text);
}

result<join_token> decode_token(std::string_view text, std::int64_t now_s) {
  constexpr std::string_view space = " \t\r\n";
  const auto first = text.find_first_not_of(space);
  text = first == std::string_view::npos ? std::string_view{}
                                         : text.substr(first, text.find_last_not_of(space) - first + 1);
  const auto dot = text.find('.');
  if (!text.starts_with(family_prefix) || dot == std::string_view::npos || text.size() > token_text_max)
    return fail(errc::malformed,
                fmt::format("this is no join token: one starts with {}{}.", family_prefix, version));
  const auto found = text.substr(family_prefix.size(), dot - family_prefix.size());
  if (found != version) {
    if (found.empty() || found.size() > 4 || found.find_first_not_of("0123456789") != std::string_view::npos)
      return fail(errc::malformed,
                  fmt::format("this is no join token: one starts with {}{}.", family_prefix, version));
    return fail(
        errc::unsupported_version,
        fmt::format(
            "the join token has version {} and this build knows {}; install the version of Skerry that its "
            "server runs",
            found, version));
  }
  const auto body = text.substr(dot + 1);
  if (body.empty())
    return fail(errc::malformed, "the join token is cut off; copy the whole line again");
  byte_buffer plain(body.size());
  std::size_t bytes = 0;
  const char* end = nullptr;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(plain.data()), plain.size(), body.data(),
                        body.size(), nullptr, &bytes, &end, base64)
          != 0
      || end != body.data() + body.size())
    return fail(errc::malformed,
                "the join token has characters that no token has; copy the whole line again");
  plain.resize(bytes);
  auto token = read(plain);
  wipe(plain);
  if (token && token.value().expiry_s <= now_s)
    return fail(errc::timeout, "the join token has expired; ask for a new one (skerry invite)");
  return token;
}

} // namespace skerry::link
