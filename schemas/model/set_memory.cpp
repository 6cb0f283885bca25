#include "schemas/model/set_memory.hpp"

namespace skerry {

namespace {

constexpr std::size_t allocation_bytes = 16; // that the allocator adds to each

std::size_t text_bytes(const std::string& text) noexcept {
  constexpr std::size_t within = 15; // characters that a string holds without an allocation
  return text.size() <= within ? 0 : text.capacity() + 1 + allocation_bytes;
}

} // namespace

std::size_t memory_bytes(const labels& all) noexcept {
  auto bytes = allocation_bytes + all.capacity() * sizeof(label);
  for (const auto& [name, value] : all)
    bytes += text_bytes(name) + text_bytes(value);
  return bytes;
}

std::size_t memory_bytes(const series_set& set) noexcept {
  auto bytes = sizeof set + 2 * allocation_bytes + set.encoded.view.size();
  for (const auto& family : set.families)
    bytes += sizeof family + text_bytes(family.name) + text_bytes(family.help) + text_bytes(family.unit);
  for (const auto& member : set.members)
    bytes += sizeof member + memory_bytes(member.all);
  return bytes;
}

series_set_ptr without_members(const series_set& set) {
  auto lean = std::make_shared<series_set>();
  lean->hash = set.hash;
  lean->encoded = set.encoded;
  return lean;
}

result<series_set_ptr> with_members(const series_set_ptr& set) {
  if (!set->members.empty())
    return set;
  return decode_series_set(set->encoded);
}

} // namespace skerry
