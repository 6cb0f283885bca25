#include "tests/actors/link/support.hpp"

#include <fmt/format.h>

namespace skerry::link::test {

namespace {

std::uint64_t below(random_engine& random, std::uint64_t n) { return random() % n; }

template <std::size_t N>
std::array<std::uint8_t, N> random_array(random_engine& random) {
  std::array<std::uint8_t, N> out{};
  for (auto& byte : out)
    byte = static_cast<std::uint8_t>(random());
  return out;
}

std::string random_text(random_engine& random) {
  std::string out;
  for (auto n = below(random, 40); n > 0; --n)
    out +=
        below(random, 9) == 0 ? std::string{"ø"} : std::string(1, static_cast<char>(' ' + below(random, 95)));
  return out;
}

epoch_id random_epoch(random_engine& random) { return {random(), random_array<16>(random)}; }

stream_key random_key(random_engine& random) {
  return {edge_id{random()}, random_epoch(random),
          below(random, 2) == 0 ? stream_id::alert : stream_id::telemetry};
}

range_set random_ranges(random_engine& random) {
  range_set out;
  sequence at = 1;
  for (auto n = below(random, 6); n > 0; --n) {
    at += 2 + below(random, 1000);
    out.add({at, at + below(random, 1 << 20)});
    at = out.highest();
  }
  return out;
}

std::vector<stream_held> random_held(random_engine& random) {
  std::vector<stream_held> out;
  for (auto n = below(random, 5); n > 0; --n)
    out.push_back({random_key(random), random_ranges(random)});
  return out;
}

std::vector<set_hash> random_hashes(random_engine& random) {
  std::vector<set_hash> out;
  for (auto n = below(random, 5); n > 0; --n)
    out.push_back({random_array<16>(random)});
  return out;
}

bool same(const stream_held& a, const stream_held& b) { return a.key == b.key && a.ranges == b.ranges; }
bool same(const std::vector<stream_held>& a, const std::vector<stream_held>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](auto& x, auto& y) { return same(x, y); });
}
bool same(const hello_stream& a, const hello_stream& b) {
  return a.key == b.key && a.held == b.held && a.released == b.released && a.last == b.last
         && a.closed == b.closed && a.last_digest == b.last_digest && a.kept == b.kept;
}
bool same_bytes(bytes_view a, bytes_view b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

struct comparer {
  const body& other;
  template <class T>
  bool operator()(const T& a) const {
    return eq(a, std::get<T>(other));
  }
  static bool eq(const unknown&, const unknown&) { return true; }
  static bool eq(const hello& a, const hello& b) {
    return a.protocol == b.protocol && a.protocol_min == b.protocol_min && a.features == b.features
           && a.edge == b.edge && a.instance == b.instance
           && std::equal(a.streams.begin(), a.streams.end(), b.streams.begin(), b.streams.end(),
                         [](auto& x, auto& y) { return same(x, y); })
           && a.wall_ns == b.wall_ns && a.monotonic_ns == b.monotonic_ns && a.software == b.software
           && a.receiver == b.receiver && a.current == b.current && a.ping_interval_ns == b.ping_interval_ns
           && a.kinds == b.kinds;
  }
  static bool eq(const welcome& a, const welcome& b) {
    return a.protocol == b.protocol && a.features == b.features && same(a.durable, b.durable)
           && a.credit_bytes == b.credit_bytes && a.config_version == b.config_version
           && a.server_time_ns == b.server_time_ns && a.incarnation == b.incarnation
           && same(a.lost_custody, b.lost_custody) && a.batch_bytes_max == b.batch_bytes_max
           && a.refused_edges == b.refused_edges && same(a.again, b.again) && a.kinds == b.kinds
           && same(a.not_safe, b.not_safe);
  }
  static bool eq(const batch& a, const batch& b) {
    return a.number == b.number && a.lane == b.lane && a.pending_records == b.pending_records
           && a.link == b.link && a.run.header == b.run.header
           && same_bytes(a.run.bytes.view, b.run.bytes.view);
  }
  static bool eq(const ack& a, const ack& b) {
    return same(a.ranges, b.ranges) && a.freed_bytes == b.freed_bytes && a.level == b.level;
  }
  static bool eq(const need& a, const need& b) { return a.edge == b.edge && a.sets == b.sets; }
  static bool eq(const sets& a, const sets& b) {
    return a.edge == b.edge && a.missing == b.missing
           && std::equal(a.found.begin(), a.found.end(), b.found.begin(), b.found.end(),
                         [](auto& x, auto& y) {
                           const auto a_plain = unpack(x), b_plain = unpack(y);
                           return x.hash == y.hash && a_plain && b_plain
                                  && same_bytes(a_plain.value()->encoded.view, b_plain.value()->encoded.view);
                         });
  }
  static bool eq(const credit& a, const credit& b) { return a.bytes == b.bytes; }
  static bool eq(const config& a, const config& b) {
    return a.version == b.version && a.document == b.document;
  }
  static bool eq(const redirect& a, const redirect& b) { return a.owner == b.owner; }
  static bool eq(const join& a, const join& b) {
    return a.public_key == b.public_key && a.software == b.software;
  }
  static bool eq(const joined& a, const joined& b) { return a.edge == b.edge && a.site == b.site; }
  static bool eq(const bye& a, const bye& b) { return a.reason == b.reason && a.message == b.message; }
  static bool eq(const ping& a, const ping& b) {
    return a.wall_ns == b.wall_ns && a.monotonic_ns == b.monotonic_ns && a.link == b.link;
  }
  static bool eq(const pong& a, const pong& b) {
    return a.wall_ns == b.wall_ns && a.monotonic_ns == b.monotonic_ns;
  }
  static bool eq(const origins& a, const origins& b) { return a.edges == b.edges; }
  static bool eq(const origin_state& a, const origin_state& b) {
    return a.edge == b.edge && a.current == b.current && a.closed == b.closed;
  }
  static bool eq(const refusal& a, const refusal& b) {
    return a.key == b.key && a.batch == b.batch && a.scope == b.scope && a.reason == b.reason
           && a.message == b.message;
  }
  static bool eq(const origin_links& a, const origin_links& b) {
    return std::equal(a.links.begin(), a.links.end(), b.links.begin(), b.links.end(),
                      [](const origin_link& x, const origin_link& y) {
                        return x.edge == y.edge && x.now == y.now && x.since_ns == y.since_ns
                               && x.heard_ns == y.heard_ns && x.cause == y.cause;
                      });
  }
};

template <class T>
T random_body(random_engine& random) {
  T m;
  const auto number = [&] { return static_cast<std::int64_t>(random()); };
  if constexpr (std::is_same_v<T, hello>) {
    m.protocol = static_cast<std::uint16_t>(random());
    m.protocol_min = static_cast<std::uint16_t>(random());
    m.features = random();
    m.edge = edge_id{random()};
    m.instance = random_array<16>(random);
    for (auto n = below(random, 5); n > 0; --n)
      m.streams.push_back({random_key(random), random_ranges(random), random_ranges(random), random(),
                           random() % 2 == 0, random()});
    m.wall_ns = number();
    m.monotonic_ns = number();
    if constexpr (std::is_same_v<T, ping>)
      m.link = {static_cast<std::uint16_t>(below(random, 5)), random()};
    m.software = random_text(random);
    if (random() % 2 == 0)
      m.receiver = random_array<16>(random);
    m.current = random_epoch(random);
    m.kinds = random();
  } else if constexpr (std::is_same_v<T, welcome>) {
    m.protocol = static_cast<std::uint16_t>(random());
    m.features = random();
    m.durable = random_held(random);
    m.credit_bytes = random();
    m.config_version = random();
    m.server_time_ns = number();
    m.incarnation = random_array<16>(random);
    m.lost_custody = random_held(random);
    m.batch_bytes_max = static_cast<std::uint32_t>(random());
    m.kinds = random();
    m.not_safe = random_held(random);
    for (auto n = below(random, 3); n > 0; --n)
      m.refused_edges.push_back(edge_id{random()});
  } else if constexpr (std::is_same_v<T, batch>) {
    m.number = random();
    m.lane = link::lane{static_cast<std::uint16_t>(below(random, 3))};
    m.run = sample_run(random(), 1 + below(random, 20));
    m.pending_records = random();
    m.link = {static_cast<std::uint16_t>(below(random, 5)), random()};
  } else if constexpr (std::is_same_v<T, ack>) {
    m.ranges = random_held(random);
    m.freed_bytes = random();
    m.level = ack_level{static_cast<std::uint16_t>(below(random, 2))};
  } else if constexpr (std::is_same_v<T, need>) {
    m.edge = edge_id{random()};
    m.sets = random_hashes(random);
  } else if constexpr (std::is_same_v<T, sets>) {
    m.edge = edge_id{random()};
    for (auto n = below(random, 4); n > 0; --n)
      m.found.push_back(pack(*sample_set(random())));
    m.missing = random_hashes(random);
  } else if constexpr (std::is_same_v<T, credit>) {
    m.bytes = random();
  } else if constexpr (std::is_same_v<T, config>) {
    m.version = random();
    const auto text = random_text(random);
    const auto view = as_bytes(text);
    m.document.assign(view.begin(), view.end());
  } else if constexpr (std::is_same_v<T, redirect>) {
    m.owner = random_text(random);
  } else if constexpr (std::is_same_v<T, join>) {
    m.public_key.bytes = random_array<32>(random);
    m.software = random_text(random);
  } else if constexpr (std::is_same_v<T, joined>) {
    m.edge = edge_id{random()};
    m.site = random_text(random);
  } else if constexpr (std::is_same_v<T, bye>) {
    m.reason = bye_reason{static_cast<std::uint16_t>(below(random, 7))};
    m.message = random_text(random);
  } else if constexpr (std::is_same_v<T, ping> || std::is_same_v<T, pong>) {
    m.wall_ns = number();
    m.monotonic_ns = number();
  } else if constexpr (std::is_same_v<T, origins>) {
    for (auto n = below(random, 5); n > 0; --n)
      m.edges.push_back(edge_id{random()});
  } else if constexpr (std::is_same_v<T, origin_state>) {
    m.edge = edge_id{random()};
    m.current = random_epoch(random);
    for (auto n = below(random, 5); n > 0; --n)
      m.closed.push_back({random_key(random), random()});
  } else if constexpr (std::is_same_v<T, refusal>) {
    m.key = random_key(random);
    if (const auto first = below(random, 1'000'000); first != 0)
      m.batch = {first, first + below(random, 1000)};
    m.scope = refusal_scope{static_cast<std::uint16_t>(below(random, 4))};
    m.reason = refusal_reason{static_cast<std::uint16_t>(below(random, 4))};
    m.message = random_text(random);
  } else if constexpr (std::is_same_v<T, origin_links>) {
    for (auto n = below(random, 5); n > 0; --n)
      m.links.push_back({edge_id{random()},
                         presence{static_cast<std::uint16_t>(below(random, presence_count))}, number(),
                         number(), random_text(random)});
  }
  return m;
}

template <std::size_t... I>
body body_of_kind(random_engine& random, std::size_t kind, std::index_sequence<I...>) {
  body out;
  ((I == kind ? (void)(out = random_body<std::variant_alternative_t<I, body>>(random)) : (void)0), ...);
  return out;
}

} // namespace

message random_message(random_engine& random, std::size_t kind) {
  return {random(), body_of_kind(random, kind, std::make_index_sequence<std::variant_size_v<body>>{})};
}

bool equal(const message& a, const message& b) {
  return a.session == b.session && a.body.index() == b.body.index() && std::visit(comparer{b.body}, a.body);
}

skerry::run sample_run(std::uint64_t seed, std::size_t records) {
  random_engine random{seed};
  run_builder builder{random_key(random), 1 + below(random, 1'000'000)};
  for (std::size_t i = 0; i < records; ++i)
    builder.append(record_kind::event, static_cast<std::int64_t>(i) * 1000, "host",
                   as_bytes(random_text(random)));
  return std::move(builder).finish();
}

series_set_ptr sample_set(std::uint64_t seed) {
  random_engine random{seed};
  std::vector<series> members;
  for (std::uint64_t i = 0, n = 1 + below(random, 20); i < n; ++i)
    members.push_back({0,
                       {{"__name__", "node_cpu_seconds_total"},
                        {"cpu", fmt::format("{}", i)},
                        {"seed", fmt::format("{}", seed)}}});
  return make_series_set({{"node_cpu_seconds_total", metric_type::counter, "Seconds.", "seconds"}},
                         std::move(members));
}

} // namespace skerry::link::test
