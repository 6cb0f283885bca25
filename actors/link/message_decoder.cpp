// link::decode: what a peer sent, bounded and checked.

#include "actors/link/limits.hpp"
#include "actors/link/messages.hpp"
#include "actors/link/text.hpp"
#include "schemas/capnp_io.hpp"
#include "schemas/link.capnp.h"

#include <fmt/format.h>

#include <zstd.h>

namespace skerry::link {

namespace {

auto over(std::string_view what, std::size_t count, std::size_t max) {
  return fail(errc::malformed,
              fmt::format("link: a message names {} {}, over the limit of {}", count, what, max));
}

// Absent stands for all zero.
template <std::size_t N>
result<std::array<std::uint8_t, N>> read_array(capnp::Data::Reader from, std::string_view what) {
  std::array<std::uint8_t, N> out{};
  if (from.size() != 0 && from.size() != N)
    return fail(errc::malformed, fmt::format("link: {} has {} bytes, not {}", what, from.size(), N));
  std::copy(from.begin(), from.end(), out.begin());
  return out;
}

result<std::string> read_text(capnp::Text::Reader from, std::size_t bytes_max, std::string_view what) {
  if (from.size() > bytes_max)
    return fail(errc::malformed,
                fmt::format("link: {} has {} bytes, over the limit of {}", what, from.size(), bytes_max));
  std::string out{from.begin(), from.size()};
  if (!is_clean_text(out))
    return fail(errc::malformed, fmt::format("link: {} is not printable UTF-8", what));
  return out;
}

result<epoch_id> read_epoch(wire::EpochId::Reader from) {
  BOOST_OUTCOME_TRY(random, read_array<16>(from.getRandom(), "an epoch"));
  return epoch_id{from.getBootCounter(), random};
}

result<stream_key> read_key(wire::StreamKey::Reader from) {
  BOOST_OUTCOME_TRY(epoch, read_epoch(from.getEpoch()));
  return stream_key{edge_id{from.getEdge()}, epoch, stream_id{from.getStream()}};
}

// `left` is what remains of message_ranges_max.
result<range_set> read_ranges(capnp::List<wire::Range>::Reader from, std::size_t& left) {
  if (from.size() > left)
    return fail(errc::malformed,
                fmt::format("link: a message names more than {} ranges", message_ranges_max));
  left -= from.size();
  range_set out;
  sequence before = 0;
  for (const auto range : from) {
    const auto first = range.getFirst();
    const auto last = range.getLast();
    // Ascending, or adding them would cost the square of their number.
    if (first <= before || last < first || last == UINT64_MAX)
      return fail(errc::malformed,
                  fmt::format("link: range [{}, {}] after {} is out of order", first, last, before));
    out.add({first, last});
    before = last;
  }
  return out;
}

// Streams of a kind that this build does not know are left out: nothing of them was ever sent or asked for.
result<std::vector<stream_held>> read_held(capnp::List<wire::StreamHeld>::Reader from,
                                           std::size_t& ranges_left) {
  if (from.size() > message_streams_max)
    return over("streams", from.size(), message_streams_max);
  std::vector<stream_held> out;
  out.reserve(from.size());
  for (const auto entry : from) {
    BOOST_OUTCOME_TRY(key, read_key(entry.getKey()));
    BOOST_OUTCOME_TRY(ranges, read_ranges(entry.getRanges(), ranges_left));
    if (is_known(key.stream))
      out.push_back({key, std::move(ranges)});
  }
  return out;
}

result<std::vector<set_hash>> read_hashes(capnp::List<capnp::Data>::Reader from, std::size_t max) {
  if (from.size() > max)
    return over("series sets", from.size(), max);
  std::vector<set_hash> out;
  out.reserve(from.size());
  for (const auto hash : from) {
    if (hash.size() != sizeof(set_hash::bytes))
      return fail(errc::malformed, fmt::format("link: a series set's name has {} bytes", hash.size()));
    std::copy(hash.begin(), hash.end(), out.emplace_back().bytes.begin());
  }
  return out;
}

result<std::vector<edge_id>> read_edges(capnp::List<std::uint64_t>::Reader from, std::size_t most) {
  if (from.size() > most)
    return over("edges", from.size(), most);
  std::vector<edge_id> out;
  out.reserve(from.size());
  for (const auto edge : from)
    out.push_back(edge_id{edge});
  return out;
}

result<body> read(wire::Hello::Reader from) {
  hello out;
  out.protocol = from.getProtocol();
  out.protocol_min = from.getProtocolMin();
  out.features = from.getFeatures();
  out.edge = edge_id{from.getEdge()};
  BOOST_OUTCOME_TRY(instance, read_array<16>(from.getInstance(), "an instance"));
  out.instance = instance;
  const auto streams = from.getStreams();
  if (streams.size() > message_streams_max)
    return over("streams", streams.size(), message_streams_max);
  out.streams.reserve(streams.size());
  auto ranges_left = message_ranges_max;
  for (const auto entry : streams) {
    BOOST_OUTCOME_TRY(key, read_key(entry.getKey()));
    BOOST_OUTCOME_TRY(held, read_ranges(entry.getHeld(), ranges_left));
    BOOST_OUTCOME_TRY(released, read_ranges(entry.getReleased(), ranges_left));
    BOOST_OUTCOME_TRY(kept, read_ranges(entry.getKept(), ranges_left));
    if (is_known(key.stream))
      out.streams.push_back({key, std::move(held), std::move(released), entry.getLast(), entry.getClosed(),
                             entry.getLastDigest(), std::move(kept)});
  }
  out.wall_ns = from.getWallNs();
  out.monotonic_ns = from.getMonotonicNs();
  BOOST_OUTCOME_TRY(software, read_text(from.getSoftware(), name_bytes_max, "the software's name"));
  out.software = std::move(software);
  BOOST_OUTCOME_TRY(receiver, read_array<16>(from.getReceiver(), "a receiver's incarnation"));
  out.receiver = receiver;
  BOOST_OUTCOME_TRY(current, read_epoch(from.getCurrent()));
  out.current = current;
  out.ping_interval_ns = from.getPingIntervalNs();
  out.kinds = from.getKinds();
  return out;
}

result<body> read(wire::Welcome::Reader from) {
  welcome out;
  out.protocol = from.getProtocol();
  out.features = from.getFeatures();
  auto ranges_left = message_ranges_max;
  BOOST_OUTCOME_TRY(durable, read_held(from.getDurable(), ranges_left));
  out.durable = std::move(durable);
  out.credit_bytes = from.getCreditBytes();
  out.config_version = from.getConfigVersion();
  out.server_time_ns = from.getServerTimeNs();
  BOOST_OUTCOME_TRY(incarnation, read_array<16>(from.getIncarnation(), "an incarnation"));
  out.incarnation = incarnation;
  BOOST_OUTCOME_TRY(lost, read_held(from.getLostCustody(), ranges_left));
  out.lost_custody = std::move(lost);
  out.batch_bytes_max = from.getBatchBytesMax();
  BOOST_OUTCOME_TRY(refused, read_edges(from.getRefusedEdges(), message_refused_edges_max));
  out.refused_edges = std::move(refused);
  BOOST_OUTCOME_TRY(again, read_held(from.getAgain(), ranges_left));
  out.again = std::move(again);
  out.kinds = from.getKinds();
  BOOST_OUTCOME_TRY(not_safe, read_held(from.getNotSafe(), ranges_left));
  out.not_safe = std::move(not_safe);
  return out;
}

result<body> read(wire::Batch::Reader from, const message_parts& parts) {
  if (parts.size() != 2)
    return fail(errc::malformed, fmt::format("link: a batch has {} parts, not 2", parts.size()));
  batch out;
  out.number = from.getNumber();
  const auto lane = static_cast<std::uint16_t>(from.getLane());
  out.lane = lane <= static_cast<std::uint16_t>(lane::alert) ? link::lane{lane} : lane::live;
  out.pending_records = from.getPendingRecords();
  out.link = {from.getQuota(), from.getLinkBytesToday()};
  BOOST_OUTCOME_TRY(run, decode_run(parts[1]));
  out.run = std::move(run);
  return out;
}

result<body> read(wire::Ping::Reader from) {
  return ping{from.getWallNs(), from.getMonotonicNs(), {from.getQuota(), from.getLinkBytesToday()}};
}

result<body> read(wire::Ack::Reader from) {
  const auto level = static_cast<std::uint16_t>(from.getLevel());
  if (level > static_cast<std::uint16_t>(ack_level::safe))
    return unknown{}; // a promise that this build does not know: nothing to act upon
  ack out;
  out.level = ack_level{level};
  auto ranges_left = message_ranges_max;
  BOOST_OUTCOME_TRY(ranges, read_held(from.getRanges(), ranges_left));
  out.ranges = std::move(ranges);
  out.freed_bytes = from.getFreedBytes();
  return out;
}

result<body> read(wire::Need::Reader from) {
  need out;
  out.edge = edge_id{from.getEdge()};
  BOOST_OUTCOME_TRY(hashes, read_hashes(from.getSets(), need_sets_max));
  out.sets = std::move(hashes);
  return out;
}

// What a compressed set says that it unfolds to.
result<std::size_t> plain_bytes(bytes_view from, const set_hash& name) {
  const auto bytes = ZSTD_getFrameContentSize(from.data(), from.size());
  if (bytes == ZSTD_CONTENTSIZE_UNKNOWN || bytes == ZSTD_CONTENTSIZE_ERROR
      || ZSTD_findFrameCompressedSize(from.data(), from.size()) != from.size())
    return fail(errc::malformed, fmt::format("link: series set {} is not one zstd frame", to_string(name)));
  if (bytes > set_bytes_max)
    return fail(errc::malformed, fmt::format("link: series set {} has {} bytes, over the limit of {}",
                                             to_string(name), bytes, set_bytes_max));
  return static_cast<std::size_t>(bytes);
}

result<body> read(wire::Sets::Reader from, const message_parts& parts) {
  sets out;
  out.edge = edge_id{from.getEdge()};
  BOOST_OUTCOME_TRY(names, read_hashes(from.getSets(), sets_found_max));
  if (parts.size() != 1 + names.size())
    return fail(errc::malformed,
                fmt::format("link: {} series sets are named and {} came", names.size(), parts.size() - 1));
  std::size_t total = 0;
  out.found.reserve(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    BOOST_OUTCOME_TRY(bytes, plain_bytes(parts[1 + i].view, names[i]));
    total += bytes;
    out.found.push_back({names[i], parts[1 + i], bytes});
  }
  if (total > sets_bytes_max)
    return over("bytes of series sets", total, sets_bytes_max);
  BOOST_OUTCOME_TRY(missing, read_hashes(from.getMissing(), need_sets_max));
  out.missing = std::move(missing);
  return out;
}

result<body> read(wire::Config::Reader from) {
  const auto document = from.getDocument();
  if (document.size() > config_document_bytes_max)
    return fail(errc::malformed, fmt::format("link: a configuration of {} bytes is over the limit of {}",
                                             document.size(), config_document_bytes_max));
  const auto view = as_view(document);
  return config{from.getVersion(), {view.begin(), view.end()}};
}

result<body> read(wire::Redirect::Reader from) {
  BOOST_OUTCOME_TRY(owner, read_text(from.getOwner(), name_bytes_max, "an owner's address"));
  return redirect{std::move(owner)};
}

result<body> read(wire::Join::Reader from) {
  join out;
  const auto key = from.getPublicKey();
  if (key.size() != out.public_key.bytes.size())
    return fail(errc::malformed, fmt::format("link: a public key has {} bytes", key.size()));
  std::copy(key.begin(), key.end(), out.public_key.bytes.begin());
  BOOST_OUTCOME_TRY(software, read_text(from.getSoftware(), name_bytes_max, "the software's name"));
  out.software = std::move(software);
  out.edge = edge_id{from.getEdge()};
  return out;
}

result<body> read(wire::Joined::Reader from) {
  BOOST_OUTCOME_TRY(site, read_text(from.getSite(), name_bytes_max, "a site's name"));
  return joined{edge_id{from.getEdge()}, std::move(site)};
}

result<body> read(wire::Bye::Reader from) {
  bye out;
  const auto reason = static_cast<std::uint16_t>(from.getReason());
  if (reason <= static_cast<std::uint16_t>(bye_reason::expired))
    out.reason = bye_reason{reason};
  BOOST_OUTCOME_TRY(text, read_text(from.getMessage(), bye_message_bytes_max, "a farewell"));
  out.message = std::move(text);
  return out;
}

result<body> read(wire::Origins::Reader from) {
  BOOST_OUTCOME_TRY(edges, read_edges(from.getEdges(), message_origins_max));
  return origins{std::move(edges)};
}

result<body> read(wire::OriginState::Reader from) {
  const auto closed = from.getClosed();
  if (closed.size() > message_streams_max)
    return over("streams", closed.size(), message_streams_max);
  origin_state out;
  out.edge = edge_id{from.getEdge()};
  BOOST_OUTCOME_TRY(current, read_epoch(from.getCurrent()));
  out.current = current;
  out.closed.reserve(closed.size());
  for (const auto entry : closed) {
    BOOST_OUTCOME_TRY(key, read_key(entry.getKey()));
    if (is_known(key.stream))
      out.closed.push_back({key, entry.getLast()});
  }
  return out;
}

result<body> read(wire::OriginLinks::Reader from) {
  const auto links = from.getLinks();
  if (links.size() > message_origin_links_max)
    return over("edges", links.size(), message_origin_links_max);
  origin_links out;
  out.links.reserve(links.size());
  for (const auto link : links) {
    auto& to = out.links.emplace_back();
    to.edge = edge_id{link.getEdge()};
    // What a newer sender knows and this build does not: it is not there in a way that is fine.
    to.now = link.getState() < presence_count ? presence{link.getState()} : presence::unreachable;
    to.since_ns = link.getSinceNs();
    to.heard_ns = link.getHeardNs();
    BOOST_OUTCOME_TRY(cause, read_text(link.getCause(), name_bytes_max, "the cause of a state"));
    to.cause = std::move(cause);
  }
  return out;
}

result<body> read(wire::Refusal::Reader from) {
  refusal out;
  BOOST_OUTCOME_TRY(key, read_key(from.getKey()));
  out.key = key;
  const auto batch = from.getBatch();
  out.batch = {batch.getFirst(), batch.getLast()};
  if (out.batch.last < out.batch.first || out.batch.last == UINT64_MAX
      || (out.batch.first == 0 && out.batch.last != 0))
    return fail(errc::malformed,
                fmt::format("link: a refusal of the records [{}, {}]", out.batch.first, out.batch.last));
  const auto scope = static_cast<std::uint16_t>(from.getScope());
  if (scope <= static_cast<std::uint16_t>(refusal_scope::everything))
    out.scope = refusal_scope{scope};
  const auto reason = static_cast<std::uint16_t>(from.getReason());
  if (reason <= static_cast<std::uint16_t>(refusal_reason::over_limit))
    out.reason = refusal_reason{reason};
  BOOST_OUTCOME_TRY(text, read_text(from.getMessage(), bye_message_bytes_max, "a refusal"));
  out.message = std::move(text);
  return out;
}

result<body> read(wire::Message::Reader from, const message_parts& parts) {
  switch (from.which()) {
  case wire::Message::HELLO: return read(from.getHello());
  case wire::Message::WELCOME: return read(from.getWelcome());
  case wire::Message::BATCH: return read(from.getBatch(), parts);
  case wire::Message::ACK: return read(from.getAck());
  case wire::Message::NEED: return read(from.getNeed());
  case wire::Message::SETS: return read(from.getSets(), parts);
  case wire::Message::CREDIT: return credit{from.getCredit().getBytes()};
  case wire::Message::CONFIG: return read(from.getConfig());
  case wire::Message::REDIRECT: return read(from.getRedirect());
  case wire::Message::JOIN: return read(from.getJoin());
  case wire::Message::JOINED: return read(from.getJoined());
  case wire::Message::BYE: return read(from.getBye());
  case wire::Message::PING: return read(from.getPing());
  case wire::Message::PONG: return pong{from.getPong().getWallNs(), from.getPong().getMonotonicNs()};
  case wire::Message::ORIGINS: return read(from.getOrigins());
  case wire::Message::ORIGIN_STATE: return read(from.getOriginState());
  case wire::Message::REFUSAL: return read(from.getRefusal());
  case wire::Message::ORIGIN_LINKS: return read(from.getOriginLinks());
  }
  return unknown{};
}

} // namespace

result<series_set_ptr> unpack(const packed_set& from) {
  byte_buffer plain(from.plain_bytes); // bounded when it was read
  const auto& packed = from.packed.view;
  const auto got = ZSTD_decompress(plain.data(), plain.size(), packed.data(), packed.size());
  if (ZSTD_isError(got) || got != plain.size())
    return fail(errc::malformed,
                fmt::format("link: series set {} does not decompress", to_string(from.hash)));
  if (const auto is = hash_set(plain); is != from.hash)
    return fail(errc::corrupt,
                fmt::format("link: what came as series set {} is {}", to_string(from.hash), to_string(is)));
  return decode_series_set(shared_bytes::take(std::move(plain)));
}

result<message> decode(const message_parts& parts, std::size_t bytes_max) {
  if (parts.empty() || parts.size() > message_parts_max)
    return fail(errc::malformed, fmt::format("link: a message of {} parts; 1 to {} are allowed", parts.size(),
                                             message_parts_max));
  std::size_t bytes = 0;
  for (const auto& part : parts)
    bytes += part.view.size();
  if (bytes > bytes_max)
    return fail(errc::malformed,
                fmt::format("link: a message of {} bytes is over the limit of {}", bytes, bytes_max));
  return read_message<wire::Message>(parts.front().view, envelope_bytes_max,
                                     [&](wire::Message::Reader from) -> result<message> {
                                       BOOST_OUTCOME_TRY(content, read(from, parts));
                                       return message{from.getSession(), std::move(content)};
                                     });
}

} // namespace skerry::link
