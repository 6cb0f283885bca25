#pragma once

// How a value of the store that only grows is written: what is known of a stream is a list of ranges, of thousands where
// there are holes, and every batch adds a few. A value is one or more parts of the same shape, whose union counts, so that
// a part that is written twice does no harm. An update appends a part, or replaces all by one where the parts would outgrow
// it: on average a change costs about three times its own bytes, however large the value is.
//
// Who replaces must know all parts that were appended: while one is under way of which it is not known whether it is
// stored, only more may be appended.
//
// Only sizes are kept here: an update that fails makes later ones replace earlier than they had to, no more.

#include "cloud/store/state.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace skerry::cloud {

class growing_value {
public:
  static constexpr std::size_t small_bytes = 256; // as large as a change: always replaced

  // `part` is what changes, `all()` the whole value as one part.
  template <class All>
  [[nodiscard]] state_update next(std::string key, std::string part, const All& all,
                                  bool may_replace = true) {
    if (!may_replace || (whole_ > small_bytes && parts_ + part.size() <= whole_)) {
      parts_ += part.size();
      return {std::move(key), std::move(part), true};
    }
    std::string value = all();
    whole_ = value.size();
    parts_ = 0;
    return {std::move(key), std::move(value), false};
  }

  // As a part; nullopt: it is time to replace all.
  [[nodiscard]] std::optional<state_update> append(std::string key, std::string part) {
    if (parts_ + part.size() > std::max(whole_, small_bytes))
      return std::nullopt;
    parts_ += part.size();
    return state_update{std::move(key), std::move(part), true};
  }

private:
  std::size_t whole_ = 0; // bytes of the last value that replaced all; 0: none was written since the start
  std::size_t parts_ = 0; // bytes of what was appended to it
};

} // namespace skerry::cloud
