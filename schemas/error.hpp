#pragma once

// The one error type of the project, and the result that carries it.
//
// An expected failure travels as a result; exceptions stop at the wrapper of the library that throws them.
// A message says what failed, where, and what to do next; it never holds a secret.

#include <boost/outcome/result.hpp>
#include <boost/outcome/try.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace skerry {

enum class errc : std::uint8_t {
  invalid_argument = 1, // a caller or a user gave something that can't be right; asking again won't help
  not_found,            // the thing named does not exist
  already_exists,       // the thing to be made is there already, with other content
  malformed,            // bytes that do not decode: wrong length, wrong magic, a bound exceeded
  corrupt,              // bytes that we wrote and that changed since: a checksum or a page does not match
  unsupported_version,  // written by a newer format than this build knows
  unauthenticated,      // no key, or an unknown one
  forbidden,            // the key is known and may not do this
  conflict,             // another process or session holds what was asked for
  exhausted,            // a named bound is reached: memory, queue, disk; retry after something was freed
  unavailable,          // the peer or resource cannot answer now; retry
  timeout,              // no answer in the time given
  cancelled,            // the caller went away
  io,                   // the operating system refused; the message has its words
  unsupported,          // known, and deliberately not done by this build
};

[[nodiscard]] std::string_view to_string(errc code) noexcept;

struct error {
  errc code = errc::invalid_argument;
  std::string message;
};

inline bool operator==(const error& a, const error& b) noexcept {
  return a.code == b.code && a.message == b.message;
}

// `.value()` of a failed result ends the process: test with `if (!r)` or pass on with BOOST_OUTCOME_TRY(name, expression).
template <class T>
using result = boost::outcome_v2::basic_result<T, error, boost::outcome_v2::policy::terminate>;

[[nodiscard]] inline auto fail(errc code, std::string message) {
  return boost::outcome_v2::failure(error{code, std::move(message)});
}

[[nodiscard]] inline auto ok() noexcept { return boost::outcome_v2::success(); }

} // namespace skerry
