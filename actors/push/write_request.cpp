#include "actors/push/write_request.hpp"

#include <fmt/format.h>

#include <snappy.h>

namespace skerry::push {

namespace {

// Wire types of protobuf.
enum class wire : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

// One field of a message: its number, and its value by wire type.
struct field {
  std::uint32_t number = 0;
  wire type = wire::varint;
  std::uint64_t number_value = 0; // of varint and fixed64
  bytes_view bytes;
};

error damaged(std::string_view where) {
  return {errc::malformed,
          fmt::format("the remote write request does not decode: {} is not valid protobuf", where)};
}

// Calls `each` for every field of known wire type. Fields of other types are skipped, groups are malformed.
template <class Each>
result<void> for_each_field(bytes_view message, std::string_view what, Each each) {
  byte_reader in{message};
  while (in.remaining() != 0) {
    const auto tag = in.varint();
    field f;
    f.number = static_cast<std::uint32_t>(tag >> 3);
    if (in.failed() || f.number == 0 || tag > UINT32_MAX)
      return damaged(what);
    switch (tag & 7) {
    case 0: f.number_value = in.varint(); break;
    case 1:
      f.type = wire::fixed64;
      f.number_value = in.fixed<std::uint64_t>();
      break;
    case 2:
      f.type = wire::bytes;
      f.bytes = in.bytes(in.varint());
      break;
    case 5:
      f.type = wire::fixed32;
      static_cast<void>(in.fixed<std::uint32_t>());
      break;
    default: return damaged(what);
    }
    if (in.failed())
      return damaged(what);
    BOOST_OUTCOME_TRYV(each(f));
  }
  return ok();
}

metric_type type_from(std::uint64_t number) noexcept {
  switch (number) {
  case 1: return metric_type::counter;
  case 2: return metric_type::gauge;
  case 3: return metric_type::histogram;
  case 4: return metric_type::gauge_histogram;
  case 5: return metric_type::summary;
  case 6: return metric_type::info;
  case 7: return metric_type::stateset;
  default: return metric_type::unknown;
  }
}

std::string too_many(std::string_view what, std::size_t most) {
  return fmt::format("the remote write request has more than {} {}; send smaller ones", most, what);
}

} // namespace

std::size_t uncompressed_bytes(std::string_view body) noexcept {
  std::size_t size = 0;
  return snappy::GetUncompressedLength(body.data(), body.size(), &size) ? size : 0;
}

void write_request::clear() {
  series_.clear();
  labels_.clear();
  samples_.clear();
  metadata_.clear();
  exemplars_ = 0;
  beyond_ = {};
}

result<void> write_request::decode_message(std::string_view message) {
  clear();
  bytes_.assign(message.begin(), message.end());
  return read_message();
}

result<void> write_request::decode(std::string_view body) {
  clear();
  std::size_t size = 0;
  if (!snappy::GetUncompressedLength(body.data(), body.size(), &size))
    return fail(errc::malformed, "the remote write request does not decode: it is no snappy block");
  if (size > request_bytes_max)
    return fail(errc::malformed, fmt::format("the remote write request has {} bytes, at most {} are taken; "
                                             "send smaller ones",
                                             size, request_bytes_max));
  // Snappy copies at most 64 bytes for 3: what claims more lies, and gets no memory.
  if (size / 32 > body.size() + 1)
    return fail(errc::malformed, "the remote write request does not decode: its snappy block is damaged");
  bytes_.resize(size);
  if (!snappy::RawUncompress(body.data(), body.size(), bytes_.data()))
    return fail(errc::malformed, "the remote write request does not decode: its snappy block is damaged");
  return read_message();
}

result<void> write_request::read_message() {
  return for_each_field(
      as_bytes({bytes_.data(), bytes_.size()}), "the message", [this](const field& f) -> result<void> {
        if (f.type != wire::bytes)
          return ok();
        if (f.number == 1)
          return read_series(f.bytes);
        if (f.number != 3)
          return ok();
        if (metadata_.size() == request_metadata_max)
          return ok(); // help texts: what is missing comes with another request
        auto& to = metadata_.emplace_back();
        return for_each_field(f.bytes, "metadata", [&to](const field& part) -> result<void> {
          if (part.number == 1 && part.type == wire::varint)
            to.type = type_from(part.number_value);
          else if (part.number == 2 && part.type == wire::bytes)
            to.family = as_text(part.bytes);
          else if (part.number == 4 && part.type == wire::bytes)
            to.help = as_text(part.bytes);
          else if (part.number == 5 && part.type == wire::bytes)
            to.unit = as_text(part.bytes);
          return ok();
        });
      });
}

result<void> write_request::read_series(bytes_view message) {
  series_part part;
  part.first_label = static_cast<std::uint32_t>(labels_.size());
  part.first_sample = static_cast<std::uint32_t>(samples_.size());
  std::string beyond = series_.size() == request_series_max ? too_many("series", request_series_max) : "";
  std::uint64_t samples = 0;
  BOOST_OUTCOME_TRYV(for_each_field(message, "a series", [&](const field& f) -> result<void> {
    if (f.type != wire::bytes)
      return ok();
    if (f.number == 1) {
      if (labels_.size() == request_labels_max)
        beyond = too_many("labels", request_labels_max);
      if (!beyond.empty())
        return ok();
      auto& to = labels_.emplace_back();
      return for_each_field(f.bytes, "a label", [&to](const field& of) -> result<void> {
        if (of.number == 1 && of.type == wire::bytes)
          to.name = as_text(of.bytes);
        else if (of.number == 2 && of.type == wire::bytes)
          to.value = as_text(of.bytes);
        return ok();
      });
    }
    if (f.number == 2) {
      ++samples;
      if (samples_.size() == request_samples_max)
        beyond = too_many("samples", request_samples_max);
      if (!beyond.empty())
        return ok();
      auto& to = samples_.emplace_back();
      return for_each_field(f.bytes, "a sample", [&to](const field& of) -> result<void> {
        if (of.number == 1 && of.type == wire::fixed64)
          to.value = std::bit_cast<double>(of.number_value);
        else if (of.number == 2 && of.type == wire::varint)
          to.time_ms = static_cast<std::int64_t>(of.number_value);
        return ok();
      });
    }
    exemplars_ += f.number == 3 ? 1 : 0;
    part.histograms += f.number == 4 ? 1 : 0;
    return ok();
  }));
  if (!beyond.empty()) { // as a whole: half of its labels would be another series
    labels_.resize(part.first_label);
    samples_.resize(part.first_sample);
    beyond_.samples += samples;
    if (beyond_.why.empty())
      beyond_.why = std::move(beyond);
    return ok();
  }
  part.label_count = static_cast<std::uint32_t>(labels_.size()) - part.first_label;
  part.sample_count = static_cast<std::uint32_t>(samples_.size()) - part.first_sample;
  series_.push_back(part);
  return ok();
}

} // namespace skerry::push
