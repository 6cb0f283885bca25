#pragma once

// What series sets take in memory. A set that is a few hundred bytes on a link may unfold to megabytes: whoever keeps
// sets keeps them without members where it can, and counts what they really take.

#include "schemas/model/series.hpp"

namespace skerry {

// Of labels that stand alone, their vector aside.
[[nodiscard]] std::size_t memory_bytes(const labels& all) noexcept;

// With members and families unfolded.
[[nodiscard]] std::size_t memory_bytes(const series_set& set) noexcept;

// Hash and encoded bytes alone: what spool and link need, and what others decode once they need the members.
[[nodiscard]] series_set_ptr without_members(const series_set& set);

// As it is, or decoded where it has no members.
[[nodiscard]] result<series_set_ptr> with_members(const series_set_ptr& set);

} // namespace skerry
