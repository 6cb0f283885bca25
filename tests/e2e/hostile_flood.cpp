#include "tests/e2e/hostile_flood.hpp"

#include "actors/base/clock.hpp"
#include "actors/base/files.hpp"
#include "actors/link/limits.hpp"
#include "actors/link/token.hpp"
#include "edge/identity.hpp"
#include "schemas/model/frame.hpp"
#include "schemas/model/payload.hpp"
#include "tests/e2e/hostile_peer.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <random>

namespace skerry::hostile {

namespace {

using steady = std::chrono::steady_clock;

epoch_id new_epoch(std::uint64_t boot) { return {boot, {system_random().next_128()}}; }

// One who floods: what is sent next, within a session.
class flooder {
public:
  flooder(edge_id edge, std::uint64_t seed)
      : edge_(edge), random_(seed), key_{edge, new_epoch(1), stream_id::telemetry} {}

  [[nodiscard]] link::hello hello() const {
    link::hello out;
    out.features = link::feature_refusals;
    out.edge = edge_;
    out.instance = system_random().next_128();
    out.software = "hostile";
    out.wall_ns = system_clock().wall_ns();
    out.current = key_.epoch;
    return out;
  }

  // A Hello with thousands of epochs, each with holes that were released.
  link::message_parts large_hello() {
    auto out = hello();
    for (int i = 0; i < 3000; ++i) {
      link::hello_stream stream;
      stream.key = {edge_, new_epoch(random_() % 100'000), stream_id::telemetry};
      stream.last = 1000;
      for (sequence seq = 1; seq < 40; seq += 2)
        stream.released.add({seq, seq});
      stream.closed = i % 2 == 0;
      out.streams.push_back(std::move(stream));
    }
    return link::encode({0, out});
  }

  link::message_parts many_origins(std::uint64_t session) {
    link::origins out;
    for (std::size_t i = 0; i < link::message_origins_max; ++i)
      out.edges.push_back(edge_id{random_()});
    return link::encode({session, out});
  }

  link::message_parts many_epochs(std::uint64_t session) {
    link::origin_state out;
    out.edge = edge_;
    out.current = key_.epoch;
    for (int i = 0; i < 4000; ++i)
      out.closed.push_back({{edge_, new_epoch(random_() % 1'000'000), stream_id::telemetry}, 1000});
    return link::encode({session, out});
  }

  link::message_parts unasked_sets(std::uint64_t session) {
    link::sets out;
    out.edge = edge_;
    for (int i = 0; i < 8; ++i)
      out.found.push_back(link::pack(*swollen_set()));
    return link::encode({session, out});
  }

  // Names sets that nobody has, and answers what is asked for them with nothing.
  link::message_parts unknown_sets(std::uint64_t session) {
    if (++turn_ % 2 == 0)
      return link::encode({session, link::sets{edge_, {}, {}}});
    frame fr;
    for (int i = 0; i < 4000; ++i) {
      set_hash hash;
      for (auto& byte : hash.bytes)
        byte = static_cast<std::uint8_t>(random_());
      fr.sections.push_back({hash, 1, {}});
      fr.values.push_back(1);
    }
    return batch_of(session, [&](run_builder& to) { add_frame(to, fr, "h"); });
  }

  // Labels that are small on the link and large in memory, each asked for and sent.
  link::message_parts labels(std::uint64_t session) {
    frame fr;
    for (int i = 0; i < 4; ++i) {
      auto set = swollen_set();
      fr.sections.push_back({set->hash, static_cast<std::uint16_t>(set->members.size()), {}});
      fr.values.insert(fr.values.end(), set->members.size(), 1);
      offered_.emplace(set->hash, link::pack(*set));
    }
    return batch_of(session, [&](run_builder& to) { add_frame(to, fr, "h"); });
  }

  // Epoch after epoch, each with hosts in all shards.
  link::message_parts epochs(std::uint64_t session) {
    key_.epoch = new_epoch(++boot_);
    next_ = 1;
    return batch_of(session, [&](run_builder& to) {
      for (int i = 0; i < 500; ++i)
        to.append(record_kind::event, now(), "h" + std::to_string(i), as_bytes("x"));
    });
  }

  link::message_parts holes(std::uint64_t session) {
    next_ += 1 + random_() % 3;
    return batch_of(session, [&](run_builder& to) {
      to.append(record_kind::event, now(), "h" + std::to_string(random_() % 2000), as_bytes("x"));
    });
  }

  link::message_parts hosts(std::uint64_t session) {
    return batch_of(session, [&](run_builder& to) {
      for (int i = 0; i < 500; ++i) {
        byte_buffer payload;
        encode_payload(watermark{}, payload);
        frame fr;
        fr.time_ns = now();
        fr.monotonic_ns = 1;
        add_frame(to, fr, fmt::format("{:0200}", random_()));
        to.append(record_kind::watermark, now(), fmt::format("w{:0200}", random_()), payload);
      }
    });
  }

  // Rows of the ledger that say all there is to say, of everybody.
  link::message_parts stones(std::uint64_t session) {
    return batch_of(session, [&](run_builder& to) {
      for (int i = 0; i < 500; ++i) {
        byte_buffer payload;
        const auto at = now() - static_cast<std::int64_t>(random_() % (86'400ull * 1'000'000'000));
        if (i % 2 == 0) {
          tombstone stone;
          stone.last = to.header().first + to.header().sequence_count;
          stone.from_ns = 1;
          stone.to_ns = at;
          stone.samples = stone.bytes = UINT64_MAX;
          stone.cause = static_cast<loss_cause>(1 + random_() % 8);
          encode_payload(stone, payload);
          to.append(record_kind::tombstone, at, "good", payload);
        } else {
          encode_payload(not_collected{1, INT64_MAX, loss_cause::node_off, std::string(1000, 'd')}, payload);
          to.append(record_kind::not_collected, at, i % 4 == 1 ? "" : "good", payload);
        }
      }
    });
  }

  link::message_parts future(std::uint64_t session) {
    return batch_of(session, [&](run_builder& to) {
      for (int i = 0; i < 500; ++i)
        to.append(record_kind::event, now() + 86'400'000'000'000ll * (1 + i), "h" + std::to_string(i),
                  as_bytes("x"));
    });
  }

  link::message_parts pings(std::uint64_t session) {
    return link::encode({session, link::ping{now(), now(), {}}});
  }

  link::message_parts pongs(std::uint64_t session) {
    return link::encode({session, link::pong{now(), now()}});
  }

  // Whoever says goodbye needs another Hello.
  link::message_parts goodbyes(std::uint64_t session) {
    return link::encode(
        {session, link::bye{link::bye_reason::stopping, std::string(link::bye_message_bytes_max, 'b')}});
  }

  // How edges behind it stand: as many as one message takes, then many messages.
  link::message_parts origin_links(std::uint64_t session) {
    link::origin_links out;
    out.links.resize(turn_++ % 100 == 0 ? link::message_origin_links_max : 100);
    for (auto& one : out.links)
      one = {edge_id{random_()}, static_cast<link::presence>(random_() % link::presence_count), now(), now(),
             std::string(64, 'c')};
    return link::encode({session, out});
  }

  // What a receiver says and a sender does not.
  link::message_parts answers(std::uint64_t session) {
    switch (turn_++ % 9) {
    case 0: return link::encode({session, link::ack{many_streams(), UINT64_MAX, link::ack_level::safe}});
    case 1: return link::encode({session, link::need{edge_, std::vector<set_hash>(link::need_sets_max)}});
    case 2: return link::encode({session, link::config{1, byte_buffer(link::config_document_bytes_max)}});
    case 3: return link::encode({session, link::credit{UINT64_MAX}});
    case 4: return link::encode({session, link::redirect{std::string(link::name_bytes_max, 'r')}});
    case 5: return link::encode({session, link::joined{edge_, std::string(link::name_bytes_max, 's')}});
    case 6:
      return link::encode({session, link::refusal{key_,
                                                  {1, 2},
                                                  link::refusal_scope::everything,
                                                  link::refusal_reason::forbidden,
                                                  std::string(200, 'r')}});
    case 7: return link::encode({session, link::unknown{}});
    default: {
      link::welcome out;
      out.durable = many_streams();
      return link::encode({session, out});
    }
    }
  }

  // With a key that has joined, or one that may do nothing else: then another one is to join each time, or the same
  // again, or something else is sent.
  link::message_parts joins(std::uint64_t session) {
    link::join out;
    if (++turn_ % 2 == 0)
      for (auto& byte : out.public_key.bytes)
        byte = static_cast<std::uint8_t>(random_());
    out.software = std::string(link::name_bytes_max, 'j');
    return turn_ % 100 == 0 ? large_hello() : link::encode({session, out});
  }

  link::message_parts garbage() {
    byte_buffer bytes(8 * (1 + random_() % 600));
    std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::byte>(random_()); });
    return {shared_bytes::take(std::move(bytes))};
  }

  // What a receiver sends is answered where that costs it more. On the transport's thread.
  std::optional<link::message> answer_to(const link::message& from) {
    const auto* need = std::get_if<link::need>(&from.body);
    if (need == nullptr)
      return std::nullopt;
    link::sets out;
    out.edge = need->edge;
    const std::lock_guard lock{mutex_};
    for (const auto& hash : need->sets)
      if (const auto it = offered_.find(hash); it != offered_.end())
        out.found.push_back(it->second);
    return link::message{from.session, std::move(out)};
  }

  void new_session() {
    key_.epoch = new_epoch(++boot_);
    next_ = 1;
    const std::lock_guard lock{mutex_};
    offered_.clear();
  }

private:
  static std::int64_t now() { return system_clock().wall_ns(); }

  template <class Fill>
  link::message_parts batch_of(std::uint64_t session, Fill&& fill) {
    run_builder builder{key_, next_};
    fill(builder);
    link::batch out;
    out.number = ++number_;
    out.run = std::move(builder).finish();
    next_ = out.run.header.last() + 1;
    return link::encode({session, out});
  }

  std::vector<link::stream_held> many_streams() {
    std::vector<link::stream_held> out(30'000);
    for (auto& one : out) {
      one.key = {edge_, new_epoch(random_()), stream_id::telemetry};
      one.ranges.add({1, 1000});
    }
    return out;
  }

  void add_frame(run_builder& to, const frame& fr, std::string_view host) {
    byte_buffer payload;
    encode_frame(fr, encoder_, payload);
    to.append(record_kind::frame, fr.time_ns != 0 ? fr.time_ns : now(), host, payload);
  }

  series_set_ptr swollen_set() {
    const std::string value(4096, 'x');
    std::vector<series> members;
    const auto number = std::to_string(random_());
    for (int i = 0; i < 256; ++i)
      members.push_back(
          {0, {{"__name__", "m"}, {"n", number + "-" + std::to_string(i)}, {"v", value}, {"w", value}}});
    return make_series_set({{"m", metric_type::gauge, "", ""}}, std::move(members));
  }

  const edge_id edge_;
  std::mt19937_64 random_;
  stream_key key_;
  sequence next_ = 1;
  std::uint64_t boot_ = 1;
  std::uint64_t number_ = 0;
  std::uint64_t turn_ = 0;
  value_encoder encoder_;
  std::mutex mutex_;
  std::map<set_hash, link::packed_set> offered_;
};

using maker = link::message_parts (flooder::*)(std::uint64_t session);
const std::map<std::string, maker>& makers() {
  static const std::map<std::string, maker> all{
      {"origins", &flooder::many_origins}, {"origin_state", &flooder::many_epochs},
      {"sets", &flooder::unasked_sets},    {"unknown_sets", &flooder::unknown_sets},
      {"labels", &flooder::labels},        {"epochs", &flooder::epochs},
      {"holes", &flooder::holes},          {"hosts", &flooder::hosts},
      {"stones", &flooder::stones},        {"future", &flooder::future},
      {"pings", &flooder::pings},          {"pongs", &flooder::pongs},
      {"goodbyes", &flooder::goodbyes},    {"origin_links", &flooder::origin_links},
      {"answers", &flooder::answers},      {"joins", &flooder::joins},
  };
  return all;
}

struct joined_edge {
  edge::edge_identity who;
  link::curve_keypair keys;

  // From the data of an edge, or with the one-time key of a token's file.
  explicit joined_edge(const std::filesystem::path& data) {
    if (std::filesystem::is_regular_file(data)) {
      auto text = read_file(data, link::token_text_max);
      if (!text)
        give_up(text.error().message);
      auto token = link::decode_token(text.value(), system_clock().wall_ns() / 1'000'000'000);
      if (!token)
        give_up(token.error().message);
      who.addresses = token.value().addresses;
      who.server_key = token.value().server_key;
      keys = token.value().one_time;
      return;
    }
    auto identity = edge::load_identity(data);
    auto pair = link::load_keypair(data / "link.key");
    if (!identity || !pair)
      give_up("no edge has joined from " + data.string());
    who = std::move(identity).value();
    keys = pair.value();
  }
};

} // namespace

std::vector<std::string> flood_kinds() {
  std::vector<std::string> out{"hello", "garbage", "joining"};
  for (const auto& [name, make] : makers())
    out.push_back(name);
  return out;
}

int play_flood(const std::filesystem::path& data, const flood_options& options) {
  const joined_edge own{data};
  flooder from{own.who.edge, options.seed};
  std::atomic<peer*> ready{nullptr};
  peer to{own.who.addresses.front(), own.who.server_key, own.keys, [&](const link::message& message) {
            if (auto answer = from.answer_to(message))
              if (auto* connection = ready.load())
                static_cast<void>(connection->try_send(link::encode(*answer)));
          }};
  ready = &to;
  const auto began = steady::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(steady::now() - began).count(); };
  std::uint64_t messages = 0, sessions = 0, stuck = 0;
  double bytes = 0;
  std::uint64_t session = 0;
  const bool needs_session = makers().contains(options.kind);
  while (elapsed() < options.seconds) {
    if (needs_session && (session == 0 || to.ended() || options.kind == "goodbyes")) {
      from.new_session();
      session = to.try_open(from.hello(), 2s);
      ++sessions;
      if (session == 0) {
        std::this_thread::sleep_for(100ms);
        continue;
      }
    }
    auto parts = options.kind == "hello"     ? from.large_hello()
                 : options.kind == "garbage" ? from.garbage()
                 : options.kind == "joining" ? from.joins(0)
                                             : (from.*makers().at(options.kind))(session);
    for (const auto& part : parts)
      bytes += static_cast<double>(part.view.size());
    if (to.try_send(std::move(parts)))
      ++messages;
    else
      ++stuck;
    const auto due = bytes / options.bytes_per_second;
    if (due > elapsed())
      std::this_thread::sleep_for(std::chrono::duration<double>(std::min(due - elapsed(), 1.0)));
    else if (stuck != 0)
      std::this_thread::sleep_for(1ms);
  }
  fmt::print("{{\"kind\": \"{}\", \"messages\": {}, \"bytes\": {:.0f}, \"sessions\": {}}}\n", options.kind,
             messages, bytes, sessions);
  std::fflush(stdout);
  std::_Exit(0); // nobody waits for what is still queued
}

int play_probe(const std::filesystem::path& data, double seconds) {
  const joined_edge own{data};
  const stream_key key{own.who.edge, new_epoch(static_cast<std::uint64_t>(system_clock().wall_ns())),
                       stream_id::telemetry};
  std::mutex mutex;
  std::map<sequence, steady::time_point> sent;
  std::vector<double> took_ms;
  peer to{own.who.addresses.front(), own.who.server_key, own.keys, [&](const link::message& message) {
            const auto* ack = std::get_if<link::ack>(&message.body);
            if (ack == nullptr)
              return;
            const auto now = steady::now();
            const std::lock_guard lock{mutex};
            for (const auto& held : ack->ranges)
              for (auto it = sent.begin(); held.key == key && it != sent.end();)
                if (held.ranges.contains(it->first)) {
                  took_ms.push_back(std::chrono::duration<double, std::milli>(now - it->second).count());
                  it = sent.erase(it);
                } else {
                  ++it;
                }
          }};
  link::hello hello;
  hello.features = link::feature_refusals;
  hello.edge = own.who.edge;
  hello.instance = system_random().next_128();
  hello.software = "probe";
  hello.current = key.epoch;
  const auto session = to.open_session(hello);
  const auto until = steady::now() + std::chrono::duration<double>(seconds);
  sequence next = 1;
  while (steady::now() < until) {
    run_builder builder{key, next};
    builder.append(record_kind::event, system_clock().wall_ns(), "probe", as_bytes("x"));
    link::batch batch;
    batch.number = next;
    batch.run = std::move(builder).finish();
    {
      const std::lock_guard lock{mutex};
      sent.emplace(next, steady::now());
    }
    to.send(link::encode({session, batch}));
    ++next;
    std::this_thread::sleep_for(50ms);
  }
  const auto patience = steady::now() + 10s;
  std::size_t missing = 1;
  while (missing != 0 && steady::now() < patience) {
    std::this_thread::sleep_for(10ms);
    const std::lock_guard lock{mutex};
    missing = sent.size();
  }
  const std::lock_guard lock{mutex};
  std::sort(took_ms.begin(), took_ms.end());
  const auto at = [&](double share) {
    return took_ms.empty()
               ? 0.0
               : took_ms[static_cast<std::size_t>(share * static_cast<double>(took_ms.size() - 1))];
  };
  fmt::print("{{\"sent\": {}, \"missing\": {}, \"p50\": {:.1f}, \"p99\": {:.1f}, \"max\": {:.1f}}}\n",
             next - 1, missing, at(0.5), at(0.99), at(1));
  return 0;
}

} // namespace skerry::hostile
