#include "schemas/model/seen_clock.hpp"

namespace skerry {

void seen_clock::look_ahead(std::span<const record_view> next) noexcept {
  if (seen_ns_)
    return;
  for (const auto& record : next)
    if (has_node_time(record.kind, record.payload)) {
      seen_ns_ = record.time_ns;
      return;
    }
}

std::int64_t seen_clock::of(const record_view& record) noexcept {
  if (has_node_time(record.kind, record.payload))
    seen_ns_ = record.time_ns;
  return seen_ns_.value_or(record.time_ns);
}

} // namespace skerry
