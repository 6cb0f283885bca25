#include "cloud/store/damage_of.hpp"

#include <algorithm>

namespace skerry::cloud {

namespace {

std::uint64_t number_of(std::int64_t v) noexcept { return static_cast<std::uint64_t>(v); }

damage of_partition(const partition_id& id, std::uint64_t thing) {
  damage d;
  d.from_ns = id.first_ns();
  d.to_ns = id.last_ns();
  d.thing = thing;
  return d;
}

std::uint64_t thing_of(std::string_view what, const partition_id& id, std::uint64_t a = 0,
                       std::uint64_t b = 0) {
  return damaged_thing(what, {number_of(id.start_s), number_of(id.span_s), a, b});
}

std::uint64_t place_of(const log_place& at) noexcept { return std::uint64_t{at.chunk} << 32 | at.offset; }

} // namespace

bool is_damage(const error& e) noexcept {
  return e.code == errc::corrupt || e.code == errc::malformed || e.code == errc::unsupported_version;
}

damage lost_partition(const partition_id& id) { return of_partition(id, thing_of("partition", id)); }

damage lost_in_partition(const partition_id& id, std::string_view what) {
  return of_partition(id, thing_of(what, id));
}

damage lost_source(const partition_id& id, const partition_source& source) {
  auto d = of_partition(id, thing_of("source", id, source.number));
  d.site = source.site;
  d.host = source.host;
  return d;
}

damage lost_block(const partition_id& id, const partition_source& source, const block_place& at) {
  damage d;
  d.site = source.site;
  d.host = source.host;
  d.from_ns = at.first_ns;
  d.to_ns = at.last_ns;
  d.samples = at.samples;
  d.thing = thing_of("block", id, at.log, at.part);
  return d;
}

damage lost_ledger(const partition_id& id) {
  auto d = of_partition(id, thing_of("ledger", id));
  d.from_ns = 0;
  return d;
}

damage lost_frame(std::uint64_t log_id, const head_source& source, const frame_ref& frame) {
  damage d;
  d.site = source.site;
  d.host = source.host;
  d.from_ns = d.to_ns = frame.time_ns;
  d.samples = source.width;
  d.thing = damaged_thing("frame", {log_id, place_of(frame.record)});
  return d;
}

damage lost_set(std::uint64_t log_id, const head_source& source, const set_hash& set,
                std::span<const frame_ref> frames) {
  std::uint64_t half[2];
  static_assert(sizeof half == sizeof set.bytes);
  std::memcpy(half, set.bytes.data(), sizeof half);
  damage d;
  d.site = source.site;
  d.host = source.host;
  d.from_ns = INT64_MAX;
  d.to_ns = INT64_MIN;
  for (const auto& f : frames) {
    d.from_ns = std::min(d.from_ns, f.time_ns);
    d.to_ns = std::max(d.to_ns, f.time_ns);
  }
  d.thing = damaged_thing("set", {log_id, half[0], half[1], number_of(d.from_ns)});
  return d;
}

damage lost_note(std::uint64_t log_id, const note_ref& note, const result<envelope>& from) {
  damage d;
  if (from)
    d.site = from.value().site;
  if (from && from.value().records.known())
    d.from_ns = from.value().records.oldest_ns;
  d.to_ns = note.time_ns; // it stands at the newest time that it is about
  d.from_ns = std::min(d.from_ns, d.to_ns);
  d.thing = damaged_thing("note", {log_id, std::uint64_t{note.entry.chunk} << 32 | note.record});
  return d;
}

} // namespace skerry::cloud
