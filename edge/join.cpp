#include "edge/join.hpp"

#include "actors/base/version.hpp"
#include "actors/link/keys.hpp"
#include "actors/link/messages.hpp"

#include <fmt/format.h>
#include <prometheus/registry.h>
#include <spdlog/spdlog.h>

#include <condition_variable>
#include <mutex>
#include <optional>

namespace skerry::edge {

namespace {

constexpr std::size_t answer_bytes_max = 64 << 10;

// What the link's thread tells the one that waits.
struct conversation {
  std::mutex mutex;
  std::condition_variable changed;
  bool connected = false;
  bool refused = false;
  std::optional<link::message> answer;
};

// conflict: the receiver said no, in its words; forbidden: its door did not open.
result<link::joined> ask(const std::string& address, const link::join_token& token, const link::join& request,
                         std::chrono::milliseconds timeout) {
  conversation with;
  link::client_config settings;
  settings.address = address;
  settings.server_key = token.server_key;
  settings.keys = token.one_time;
  link::client_events events;
  events.message = [&with](link::message_parts parts) {
    auto message = link::decode(parts, answer_bytes_max);
    const std::lock_guard lock{with.mutex};
    if (message)
      with.answer = std::move(message).value();
    with.changed.notify_all();
  };
  events.state = [&with](link::client_state now) {
    const std::lock_guard lock{with.mutex};
    with.connected = now == link::client_state::connected;
    with.refused = now == link::client_state::refused;
    with.changed.notify_all();
  };
  prometheus::Registry metrics;
  BOOST_OUTCOME_TRY(transport, link::start_client(settings, std::move(events), metrics));

  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::unique_lock lock{with.mutex};
  bool asked = false;
  const auto done = [&] { return with.refused || with.answer || (with.connected && !asked); };
  while (with.changed.wait_until(lock, deadline, done)) {
    if (with.refused)
      return fail(errc::forbidden,
                  fmt::format("{} does not accept this token: it was revoked, has expired, or was made "
                              "by another node. Ask for a new one",
                              address));
    if (with.answer) {
      if (const auto* joined = std::get_if<link::joined>(&with.answer->body))
        return *joined;
      if (const auto* bye = std::get_if<link::bye>(&with.answer->body))
        return fail(errc::conflict, fmt::format("{} refused: {}", address, bye->message));
      with.answer.reset();
      continue;
    }
    lock.unlock();
    asked = transport->try_send(link::encode({0, request}));
    lock.lock();
  }
  return fail(errc::unavailable,
              fmt::format("{} did not answer within {} s: is it reachable from here, and is "
                          "skerry-cloud running there?",
                          address, timeout.count() / 1000));
}

} // namespace

result<edge_identity> join(const std::filesystem::path& data, const link::join_token& token,
                           std::chrono::milliseconds timeout) {
  std::optional<edge_identity> known;
  if (auto loaded = load_identity(data))
    known = std::move(loaded).value();
  else if (loaded.error().code == errc::malformed) // what the token is for is the way out of it
    spdlog::warn("join: {}", loaded.error().message);
  else if (loaded.error().code != errc::not_found)
    return loaded.error();
  const auto key_file = data / "link.key";
  // Scripts repeat: with the token that this edge joined with there is nothing left to do.
  if (known && known->joined_with == token.one_time.public_key && link::load_keypair(key_file))
    return *known;
  // The registry knows the key of an edge that joined before: joining again takes a new one, which replaces the old
  // one only when the receiver has it. Repeating a join that was cut off uses the same key.
  const auto new_key_file = known ? data / "link.key.joining" : key_file;
  BOOST_OUTCOME_TRY(keys, link::load_or_create_keypair(new_key_file));
  const auto forget_new_key = [&] {
    std::error_code ignored;
    if (known)
      std::filesystem::remove(new_key_file, ignored);
  };
  const link::join request{keys.public_key, fmt::format("skerry-edge {}", version),
                           known ? known->edge : edge_id::none};
  std::optional<error> last;
  for (const auto& address : token.addresses) {
    auto joined = ask(address, token, request, timeout);
    if (!joined) {
      if (token.addresses.size() > 1)
        spdlog::warn("join: {}", joined.error().message);
      last = joined.error();
      continue;
    }
    if (known && known->edge != joined.value().edge) { // by a receiver that did not look at who we are
      forget_new_key();
      return fail(
          errc::conflict,
          fmt::format(
              "{} belongs to edge {} already, and the token is for edge {}: ask for a token made with "
              "`skerry invite --edge {}`, or join with an empty data directory",
              data.string(), to_string(known->edge), to_string(joined.value().edge), to_string(known->edge)));
    }
    if (known) {
      BOOST_OUTCOME_TRYV(link::save_keypair(key_file, keys));
    }
    edge_identity identity{joined.value().edge, joined.value().site, token.server_key, token.addresses,
                           token.one_time.public_key};
    BOOST_OUTCOME_TRYV(save_identity(data, identity));
    forget_new_key();
    return identity;
  }
  // Whoever refused may know this key under another name by now: the next token gets a fresh one.
  if (last && last->code == errc::conflict)
    forget_new_key();
  return last ? *last : error{errc::invalid_argument, "the token names no address"};
}

} // namespace skerry::edge
