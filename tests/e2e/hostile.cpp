// A peer with a valid key that misbehaves on the link; prints, as JSON, how many messages of each kind it sent.
//
//   hostile edge --data DIR [--seed N]   with the key of an edge that has joined and is stopped
//   hostile claim --data DIR --edge ID   brings a record in the name of that edge
//   hostile join --token-file FILE       with the one-time key of a token: says what such a key may not
//   hostile flood --data DIR --kind KIND --seconds N [--rate BYTES]
//                                        sends messages of one kind, each at its bound, for so long; DIR is the
//                                        file of a token for the kind `joining`
//   hostile probe --data DIR --seconds N behaves, and says how long acknowledgements take

#include "actors/base/clock.hpp"
#include "actors/base/files.hpp"
#include "actors/link/keys.hpp"
#include "actors/link/token.hpp"
#include "edge/identity.hpp"
#include "tests/e2e/hostile_flood.hpp"
#include "tests/e2e/hostile_peer.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>
#include <sodium.h>
#include <thread>

namespace {

using namespace skerry;
using namespace skerry::hostile;
using namespace std::chrono_literals;

constexpr int garbage_count = 20;
constexpr int truncated_count = 20;

byte_buffer copy_of(const shared_bytes& part) { return {part.view.begin(), part.view.end()}; }

int play_edge(const std::filesystem::path& data, std::uint64_t seed) {
  auto identity = edge::load_identity(data);
  if (!identity)
    give_up(identity.error().message);
  auto keys = link::load_keypair(data / "link.key");
  if (!keys)
    give_up(keys.error().message);
  const auto& who = identity.value();
  peer to{who.addresses.front(), who.server_key, keys.value()};
  std::mt19937_64 random{seed};
  int malformed = 0;
  int stale = 0;

  for (int i = 0; i < garbage_count; ++i) {
    byte_buffer bytes(i % 2 == 0 ? 1 + random() % 5000
                                 : 8 * (1 + random() % 600)); // words get as far as the decoder
    std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::byte>(random()); });
    to.send({shared_bytes::take(std::move(bytes))});
    ++malformed;
  }

  link::hello hello;
  hello.edge = who.edge;
  hello.instance = system_random().next_128();
  hello.software = "hostile";
  // A Hello cut off within its words: Cap'n Proto that points beyond its end.
  const auto whole = copy_of(link::encode({0, hello}).front());
  for (int i = 0; i < truncated_count; ++i) {
    auto cut = whole;
    cut.resize(8 * (1 + random() % (whole.size() / 8 - 2)));
    to.send({shared_bytes::take(std::move(cut))});
    ++malformed;
  }

  // A set under a name that is not its hash, within a good session.
  const auto session = to.open_session(hello);
  const auto set = make_series_set({{"m", metric_type::gauge, "", ""}}, {{0, {{"__name__", "m"}}}});
  auto parts = link::encode({session, link::sets{who.edge, {link::pack(*set)}, {}}});
  auto head = copy_of(parts.front());
  const auto* name = reinterpret_cast<const std::byte*>(&set->hash);
  const auto at = std::search(head.begin(), head.end(), name, name + sizeof set->hash);
  if (at == head.end())
    give_up("the set's name is not in its message");
  *at ^= std::byte{1};
  parts.front() = shared_bytes::take(std::move(head));
  to.send(std::move(parts)); // nobody asked for it: it is not looked at

  // What belongs to a session that has ended: the one before this Hello.
  const auto next = to.open_session(hello);
  for (const auto old : {session, next + 1000}) {
    to.send(link::encode({old, link::ping{1, 2, {}}}));
    ++stale;
  }
  to.send(link::encode({next, link::bye{link::bye_reason::stopping, ""}}));
  std::this_thread::sleep_for(500ms); // until the last of them has left
  fmt::print("{{\"malformed\": {}, \"stale\": {}}}\n", malformed, stale);
  return 0;
}

// Brings one record in the name of another edge.
int play_claimer(const std::filesystem::path& data, const std::string& claimed) {
  const auto identity = edge::load_identity(data);
  const auto keys = link::load_keypair(data / "link.key");
  const auto victim = parse_edge_id(claimed);
  if (!identity || !keys || !victim)
    give_up("--data or --edge");
  const auto& who = identity.value();
  peer to{who.addresses.front(), who.server_key, keys.value()};
  link::hello hello;
  hello.features = link::feature_refusals;
  hello.edge = who.edge;
  hello.instance = system_random().next_128();
  hello.software = "hostile";
  auto session = to.try_open(hello, 15s);
  if (session == 0) // where a later process of this edge has spoken, it is to be said again
    session = to.try_open(hello, 15s);
  if (session == 0)
    give_up("no Welcome");
  run_builder builder{{victim.value(), {1, system_random().next_128()}, stream_id::telemetry}, 1};
  builder.append(record_kind::event, system_clock().wall_ns(), "claimed", as_bytes("x"));
  link::batch batch;
  batch.run = std::move(builder).finish();
  to.send(link::encode({session, link::origins{{victim.value()}}}));
  to.send(link::encode({session, batch}));
  std::this_thread::sleep_for(500ms); // until the last of them has left
  fmt::print("{{\"claimed\": 1}}\n");
  return 0;
}

int play_joiner(const std::filesystem::path& file) {
  auto text = read_file(file, link::token_text_max);
  if (!text)
    give_up(text.error().message);
  auto token = link::decode_token(text.value(), system_clock().wall_ns() / 1'000'000'000);
  if (!token)
    give_up(token.error().message);
  peer to{token.value().addresses.front(), token.value().server_key, token.value().one_time};
  to.send(link::encode({0, link::hello{}}));
  to.send({shared_bytes::take(byte_buffer{std::byte{1}})});
  std::this_thread::sleep_for(500ms);
  fmt::print("{{\"unauthorized\": 2}}\n");
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"A peer with a valid key that misbehaves on the link."};
  app.require_subcommand(1);
  std::string data;
  std::string token;
  std::uint64_t seed = 1;
  auto* edge = app.add_subcommand("edge", "with the key of an edge that has joined");
  edge->add_option("--data", data)->required();
  edge->add_option("--seed", seed);
  auto* join = app.add_subcommand("join", "with the one-time key of a token");
  join->add_option("--token-file", token)->required();
  std::string claimed;
  auto* claim =
      app.add_subcommand("claim", "with the key of an edge that has joined, in the name of another");
  claim->add_option("--data", data)->required();
  claim->add_option("--edge", claimed)->required();
  flood_options flooding;
  auto* flood = app.add_subcommand("flood", "with the key of an edge that has joined, one kind of message");
  flood->add_option("--data", data)->required();
  flood->add_option("--kind", flooding.kind)->required()->check(CLI::IsMember(flood_kinds()));
  flood->add_option("--seconds", flooding.seconds)->required();
  flood->add_option("--rate", flooding.bytes_per_second);
  flood->add_option("--seed", flooding.seed);
  double seconds = 0;
  auto* probe = app.add_subcommand("probe", "with the key of an edge that has joined: behaves");
  probe->add_option("--data", data)->required();
  probe->add_option("--seconds", seconds)->required();
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(spdlog::level::off); // standard output is the counts alone
  if (sodium_init() < 0)
    give_up("libsodium cannot be initialised");
  if (*flood)
    return play_flood(data, flooding);
  if (*probe)
    return play_probe(data, seconds);
  if (*claim)
    return play_claimer(data, claimed);
  return *edge ? play_edge(data, seed) : play_joiner(token);
}
