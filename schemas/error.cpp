#include "schemas/error.hpp"

namespace skerry {

std::string_view to_string(errc code) noexcept {
  switch (code) {
  case errc::invalid_argument: return "invalid_argument";
  case errc::not_found: return "not_found";
  case errc::already_exists: return "already_exists";
  case errc::malformed: return "malformed";
  case errc::corrupt: return "corrupt";
  case errc::unsupported_version: return "unsupported_version";
  case errc::unauthenticated: return "unauthenticated";
  case errc::forbidden: return "forbidden";
  case errc::conflict: return "conflict";
  case errc::exhausted: return "exhausted";
  case errc::unavailable: return "unavailable";
  case errc::timeout: return "timeout";
  case errc::cancelled: return "cancelled";
  case errc::io: return "io";
  case errc::unsupported: return "unsupported";
  }
  return "unknown";
}

} // namespace skerry
