#include "schemas/model/payload.hpp"

#include "schemas/capnp_io.hpp"
#include "schemas/records.capnp.h"

namespace skerry {

namespace {

constexpr std::size_t payload_bytes_max = 4096;
constexpr std::size_t detail_bytes_max = 1024;

} // namespace

std::string_view to_string(loss_cause cause) noexcept {
  switch (cause) {
  case loss_cause::unknown: return "unknown";
  case loss_cause::spool_bytes: return "spool_bytes";
  case loss_cause::spool_age: return "spool_age";
  case loss_cause::spool_disk: return "spool_disk";
  case loss_cause::thinned: return "thinned";
  case loss_cause::corrupt: return "corrupt";
  case loss_cause::custody: return "custody";
  case loss_cause::clock_ahead: return "clock_ahead";
  case loss_cause::retention: return "retention";
  case loss_cause::host_limit: return "host_limit";
  case loss_cause::node_off: return "node_off";
  case loss_cause::uncommitted: return "uncommitted";
  case loss_cause::collector_failed: return "collector_failed";
  case loss_cause::target_down: return "target_down";
  }
  return "unknown";
}

tombstone part_of(tombstone whole, sequence first, sequence part_first, sequence part_last) noexcept {
  const auto share =
      static_cast<double>(part_last - part_first + 1) / static_cast<double>(whole.last - first + 1);
  whole.last = part_last;
  whole.samples = static_cast<std::uint64_t>(static_cast<double>(whole.samples) * share);
  whole.bytes = static_cast<std::uint64_t>(static_cast<double>(whole.bytes) * share);
  return whole;
}

void encode_payload(const watermark& from, byte_buffer& out) {
  capnp::MallocMessageBuilder builder{8};
  auto root = builder.initRoot<wire::Watermark>();
  root.setIntervalNs(from.interval_ns);
  root.setKinds(from.kinds);
  write_message(builder, out);
}

void encode_payload(const clock_note& from, byte_buffer& out) {
  capnp::MallocMessageBuilder builder{16};
  auto root = builder.initRoot<wire::ClockNote>();
  root.setBootId({from.boot_id.data(), from.boot_id.size()});
  root.setMonotonicNs(from.monotonic_ns);
  root.setOffsetNs(from.offset_ns);
  write_message(builder, out);
}

void encode_payload(const tombstone& from, byte_buffer& out) {
  capnp::MallocMessageBuilder builder{16};
  auto root = builder.initRoot<wire::Tombstone>();
  root.setLast(from.last);
  root.setFromNs(from.from_ns);
  root.setToNs(from.to_ns);
  root.setSamples(from.samples);
  root.setBytes(from.bytes);
  root.setCause(static_cast<std::uint16_t>(from.cause));
  write_message(builder, out);
}

void encode_payload(const not_collected& from, byte_buffer& out) {
  capnp::MallocMessageBuilder builder{32};
  auto root = builder.initRoot<wire::NotCollected>();
  root.setFromNs(from.from_ns);
  root.setToNs(from.to_ns);
  root.setCause(static_cast<std::uint16_t>(from.cause));
  root.setDetail(from.detail.substr(0, detail_bytes_max));
  write_message(builder, out);
}

result<watermark> decode_watermark(bytes_view from) {
  return read_message<wire::Watermark>(from, payload_bytes_max, [](auto root) -> result<watermark> {
    const kind_set kinds = root.getKinds();
    return watermark{root.getIntervalNs(), kinds == 0 ? bit_of(record_kind::frame) : kinds};
  });
}

result<clock_note> decode_clock_note(bytes_view from) {
  return read_message<wire::ClockNote>(from, payload_bytes_max, [](auto root) -> result<clock_note> {
    clock_note note;
    if (root.getBootId().size() != note.boot_id.size())
      return fail(errc::malformed, "a clock note names no boot");
    std::memcpy(note.boot_id.data(), root.getBootId().begin(), note.boot_id.size());
    note.monotonic_ns = root.getMonotonicNs();
    note.offset_ns = root.getOffsetNs();
    return note;
  });
}

result<tombstone> decode_tombstone(bytes_view from) {
  return read_message<wire::Tombstone>(from, payload_bytes_max, [](auto root) -> result<tombstone> {
    return tombstone{root.getLast(),    root.getFromNs(), root.getToNs(),
                     root.getSamples(), root.getBytes(),  static_cast<loss_cause>(root.getCause())};
  });
}

result<not_collected> decode_not_collected(bytes_view from) {
  return read_message<wire::NotCollected>(from, payload_bytes_max, [](auto root) -> result<not_collected> {
    if (root.getDetail().size() > detail_bytes_max)
      return fail(errc::malformed, "the detail of a not-collected record is too long");
    return not_collected{root.getFromNs(), root.getToNs(), static_cast<loss_cause>(root.getCause()),
                         std::string{root.getDetail().cStr(), root.getDetail().size()}};
  });
}

} // namespace skerry
