// link::encode: plain structs to Cap'n Proto and raw parts.

#include "actors/link/limits.hpp"
#include "actors/link/messages.hpp"
#include "actors/link/text.hpp"
#include "schemas/capnp_io.hpp"
#include "schemas/link.capnp.h"

#include <algorithm>
#include <array>
#include <zstd.h>

namespace skerry::link {

namespace {

constexpr int set_compression_level = 3;
constexpr std::size_t scratch_words = 128; // acks, pings and batch envelopes need no second segment

capnp::Data::Reader as_data_of(const auto& array) noexcept {
  return {reinterpret_cast<const capnp::byte*>(array.data()), array.size()};
}

void put_text(std::string_view text, std::size_t bytes_max, auto&& init) {
  const auto clipped = clip_text(text, bytes_max);
  auto to = init(static_cast<unsigned>(clipped.size()));
  std::copy(clipped.begin(), clipped.end(), to.begin());
}

void put_epoch(const epoch_id& from, wire::EpochId::Builder to) {
  to.setBootCounter(from.boot_counter);
  to.setRandom(as_data_of(from.random));
}

void put_key(const stream_key& from, wire::StreamKey::Builder to) {
  to.setEdge(static_cast<std::uint64_t>(from.edge));
  put_epoch(from.epoch, to.initEpoch());
  to.setStream(static_cast<std::uint8_t>(from.stream));
}

void put_ranges(const range_set& from, capnp::List<wire::Range>::Builder to) {
  unsigned i = 0;
  for (const auto& range : from.ranges()) {
    to[i].setFirst(range.first);
    to[i].setLast(range.last);
    ++i;
  }
}

unsigned count_of(const auto& list) noexcept { return static_cast<unsigned>(list.size()); }

void put_held(const std::vector<stream_held>& from, capnp::List<wire::StreamHeld>::Builder to) {
  for (unsigned i = 0; i < from.size(); ++i) {
    put_key(from[i].key, to[i].initKey());
    put_ranges(from[i].ranges, to[i].initRanges(count_of(from[i].ranges.ranges())));
  }
}

void put_hashes(const std::vector<set_hash>& from, capnp::List<capnp::Data>::Builder to) {
  for (unsigned i = 0; i < from.size(); ++i)
    to.set(i, as_data_of(from[i].bytes));
}

void put_edges(const std::vector<edge_id>& from, capnp::List<std::uint64_t>::Builder to) {
  for (unsigned i = 0; i < from.size(); ++i)
    to.set(i, static_cast<std::uint64_t>(from[i]));
}

bool is_zero(const nonce& value) noexcept {
  return std::all_of(value.begin(), value.end(), [](auto byte) { return byte == 0; });
}

shared_bytes compress(bytes_view from) {
  byte_buffer out(ZSTD_compressBound(from.size()));
  const auto bytes = ZSTD_compress(out.data(), out.size(), from.data(), from.size(), set_compression_level);
  out.resize(ZSTD_isError(bytes)
                 ? 0
                 : bytes); // can't fail with that bound, save for memory: refused by the peer then
  return shared_bytes::take(std::move(out));
}

struct encoder {
  wire::Message::Builder to;
  message_parts& parts; // those after part 1

  void operator()(const unknown&) {
    // No member of the union has this number: what a peer of the future would send.
    auto data = capnp::AnyStruct::Builder{wire::Message::Builder{to}}.getDataSection();
    data[8] = data[9] = 0xff;
  }
  void operator()(const hello& from) {
    auto m = to.initHello();
    m.setProtocol(from.protocol);
    m.setProtocolMin(from.protocol_min);
    m.setFeatures(from.features);
    m.setEdge(static_cast<std::uint64_t>(from.edge));
    m.setInstance(as_data_of(from.instance));
    auto streams = m.initStreams(count_of(from.streams));
    for (unsigned i = 0; i < from.streams.size(); ++i) {
      const auto& stream = from.streams[i];
      put_key(stream.key, streams[i].initKey());
      put_ranges(stream.held, streams[i].initHeld(count_of(stream.held.ranges())));
      put_ranges(stream.released, streams[i].initReleased(count_of(stream.released.ranges())));
      streams[i].setLast(stream.last);
      streams[i].setClosed(stream.closed);
      streams[i].setLastDigest(stream.last_digest);
      if (!stream.kept.empty())
        put_ranges(stream.kept, streams[i].initKept(count_of(stream.kept.ranges())));
    }
    m.setWallNs(from.wall_ns);
    m.setMonotonicNs(from.monotonic_ns);
    put_text(from.software, name_bytes_max, [&](unsigned n) { return m.initSoftware(n); });
    if (!is_zero(from.receiver))
      m.setReceiver(as_data_of(from.receiver));
    put_epoch(from.current, m.initCurrent());
    m.setPingIntervalNs(from.ping_interval_ns);
    m.setKinds(from.kinds);
  }
  void operator()(const welcome& from) {
    auto m = to.initWelcome();
    m.setProtocol(from.protocol);
    m.setFeatures(from.features);
    put_held(from.durable, m.initDurable(count_of(from.durable)));
    m.setCreditBytes(from.credit_bytes);
    m.setConfigVersion(from.config_version);
    m.setServerTimeNs(from.server_time_ns);
    m.setIncarnation(as_data_of(from.incarnation));
    put_held(from.lost_custody, m.initLostCustody(count_of(from.lost_custody)));
    m.setBatchBytesMax(from.batch_bytes_max);
    if (!from.refused_edges.empty())
      put_edges(from.refused_edges, m.initRefusedEdges(count_of(from.refused_edges)));
    if (!from.again.empty())
      put_held(from.again, m.initAgain(count_of(from.again)));
    m.setKinds(from.kinds);
    if (!from.not_safe.empty())
      put_held(from.not_safe, m.initNotSafe(count_of(from.not_safe)));
  }
  void operator()(const batch& from) {
    auto m = to.initBatch();
    m.setNumber(from.number);
    m.setLane(static_cast<wire::Lane>(from.lane));
    m.setPendingRecords(from.pending_records);
    m.setQuota(from.link.quota);
    m.setLinkBytesToday(from.link.bytes_today);
    parts.push_back(from.run.bytes);
  }
  void operator()(const ack& from) {
    auto m = to.initAck();
    m.setLevel(static_cast<wire::AckLevel>(from.level));
    put_held(from.ranges, m.initRanges(count_of(from.ranges)));
    m.setFreedBytes(from.freed_bytes);
  }
  void operator()(const need& from) {
    auto m = to.initNeed();
    m.setEdge(static_cast<std::uint64_t>(from.edge));
    put_hashes(from.sets, m.initSets(count_of(from.sets)));
  }
  void operator()(const sets& from) {
    auto m = to.initSets();
    m.setEdge(static_cast<std::uint64_t>(from.edge));
    auto found = m.initSets(count_of(from.found));
    for (unsigned i = 0; i < from.found.size(); ++i) {
      found.set(i, as_data_of(from.found[i].hash.bytes));
      parts.push_back(from.found[i].packed);
    }
    put_hashes(from.missing, m.initMissing(count_of(from.missing)));
  }
  void operator()(const credit& from) { to.initCredit().setBytes(from.bytes); }
  void operator()(const config& from) {
    auto m = to.initConfig();
    m.setVersion(from.version);
    m.setDocument(as_data(from.document));
  }
  void operator()(const redirect& from) {
    auto m = to.initRedirect();
    put_text(from.owner, name_bytes_max, [&](unsigned n) { return m.initOwner(n); });
  }
  void operator()(const join& from) {
    auto m = to.initJoin();
    m.setPublicKey(as_data_of(from.public_key.bytes));
    m.setEdge(static_cast<std::uint64_t>(from.edge));
    put_text(from.software, name_bytes_max, [&](unsigned n) { return m.initSoftware(n); });
  }
  void operator()(const joined& from) {
    auto m = to.initJoined();
    m.setEdge(static_cast<std::uint64_t>(from.edge));
    put_text(from.site, name_bytes_max, [&](unsigned n) { return m.initSite(n); });
  }
  void operator()(const bye& from) {
    auto m = to.initBye();
    m.setReason(static_cast<wire::Bye::Reason>(from.reason));
    put_text(from.message, bye_message_bytes_max, [&](unsigned n) { return m.initMessage(n); });
  }
  void operator()(const ping& from) {
    auto m = to.initPing();
    put_ping(from, m);
    m.setQuota(from.link.quota);
    m.setLinkBytesToday(from.link.bytes_today);
  }
  void operator()(const pong& from) { put_ping(from, to.initPong()); }
  void operator()(const origins& from) {
    put_edges(from.edges, to.initOrigins().initEdges(count_of(from.edges)));
  }

  void operator()(const origin_state& from) {
    auto m = to.initOriginState();
    m.setEdge(static_cast<std::uint64_t>(from.edge));
    put_epoch(from.current, m.initCurrent());
    auto closed = m.initClosed(count_of(from.closed));
    for (unsigned i = 0; i < from.closed.size(); ++i) {
      put_key(from.closed[i].key, closed[i].initKey());
      closed[i].setLast(from.closed[i].last);
    }
  }

  void operator()(const refusal& from) {
    auto m = to.initRefusal();
    put_key(from.key, m.initKey());
    auto batch = m.initBatch();
    batch.setFirst(from.batch.first);
    batch.setLast(from.batch.last);
    m.setScope(static_cast<wire::Refusal::Scope>(from.scope));
    m.setReason(static_cast<wire::Refusal::Reason>(from.reason));
    put_text(from.message, bye_message_bytes_max, [&](unsigned n) { return m.initMessage(n); });
  }

  void operator()(const origin_links& from) {
    auto links = to.initOriginLinks().initLinks(count_of(from.links));
    for (unsigned i = 0; i < from.links.size(); ++i) {
      const auto& one = from.links[i];
      links[i].setEdge(static_cast<std::uint64_t>(one.edge));
      links[i].setState(static_cast<std::uint16_t>(one.now));
      links[i].setSinceNs(one.since_ns);
      links[i].setHeardNs(one.heard_ns);
      if (!one.cause.empty())
        put_text(one.cause, name_bytes_max, [&](unsigned n) { return links[i].initCause(n); });
    }
  }

  static void put_ping(const auto& from, wire::Ping::Builder m) {
    m.setWallNs(from.wall_ns);
    m.setMonotonicNs(from.monotonic_ns);
  }
};

} // namespace

packed_set pack(const series_set& from) {
  return {from.hash, compress(from.encoded.view), from.encoded.view.size()};
}

message_parts encode(const message& from) {
  std::array<capnp::word, scratch_words> scratch{};
  capnp::MallocMessageBuilder builder{{scratch.data(), scratch.size()}};
  auto root = builder.initRoot<wire::Message>();
  root.setSession(from.session);
  message_parts parts(1);
  std::visit(encoder{root, parts}, from.body);
  byte_buffer envelope;
  write_message(builder, envelope);
  parts.front() = shared_bytes::take(std::move(envelope));
  return parts;
}

} // namespace skerry::link
