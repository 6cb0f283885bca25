#pragma once

// By whose clock a record is dated. What is said of completeness and loss goes by the clock of the node that saw the data,
// never by times that a target or a sender claims.

#include "schemas/model/record.hpp"

#include <optional>
#include <span>

namespace skerry {

// Whether a record's time is by the clock of the node that made it. False: it is a frame whose time its target, or its
// sender, claimed; or one that does not decode.
[[nodiscard]] bool has_node_time(record_kind kind, bytes_view payload) noexcept;

// When a node saw its records, by its own clock: a frame of times that somebody else claims was seen when the record
// before it was. Records of one stream, in order.
class seen_clock {
public:
  // Until the first record with a time of the node's own, those before it were seen when that one was.
  void look_ahead(std::span<const record_view> next) noexcept;
  // Of the next record. Where no record told yet: the time that it claims.
  [[nodiscard]] std::int64_t of(const record_view& record) noexcept;

private:
  std::optional<std::int64_t> seen_ns_;
};

} // namespace skerry
