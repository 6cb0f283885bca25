#pragma once

// A receiver over a backend in memory, and what a peer sends it.

#include "actors/delivery/receiver.hpp"
#include "tests/actors/delivery/world.hpp"

#include <algorithm>
#include <vector>

namespace skerry::delivery::test {

struct receiver_fixture {
  manual_clock clock;
  seeded_random random{7};
  memory_backend backend;
  receiver under_test;
  explicit receiver_fixture(receiver_config config = {})
      : under_test{std::move(config), clock, random, backend} {}

  const edge_id edge{1};
  const stream_key key{edge, {1, {1}}, stream_id::telemetry};
  const stream_key outer{edge_id{2}, {1, {1}}, stream_id::telemetry};
  std::uint64_t features = link::feature_refusals;

  link::hello hello_of(std::uint8_t instance) const {
    link::hello hello;
    hello.edge = edge;
    hello.features = features;
    hello.instance = {instance};
    hello.current = key.epoch;
    return hello;
  }
  // Says that the epoch of hello_of() is over, with record `last`.
  link::hello successor(std::uint8_t instance, sequence last) const {
    auto hello = hello_of(instance);
    hello.current = {2, {2}};
    hello.streams.push_back({key, {}, {}, last, true, 0});
    return hello;
  }
  template <class T>
  const T* last_sent(const link::peer_id& to) const {
    for (auto it = backend.outbox.rbegin(); it != backend.outbox.rend(); ++it)
      if (it->first == to)
        return std::get_if<T>(&it->second.body);
    return nullptr;
  }
  std::uint64_t open(const link::peer_id& peer, std::uint8_t instance) {
    under_test.on_message(peer, edge, link::message{0, hello_of(instance)});
    for (auto it = backend.outbox.rbegin(); it != backend.outbox.rend(); ++it)
      if (it->first == peer && std::holds_alternative<link::welcome>(it->second.body))
        return it->second.session;
    return 0;
  }
  run events(sequence first, int count, const stream_key& of) const {
    run_builder builder{of, first};
    for (int i = 0; i < count; ++i)
      builder.append(record_kind::event, 1000, "host", as_bytes("x"));
    return std::move(builder).finish();
  }
  void send(const link::peer_id& peer, std::uint64_t session, const run& r,
            link::lane lane = link::lane::live) {
    link::batch batch;
    batch.run = r;
    batch.lane = lane;
    under_test.on_message(peer, edge, link::message{session, batch});
  }
  void settle() {
    while (!backend.queue.empty())
      backend.complete_one(under_test, false);
  }
  static run frame_of(const stream_key& of, sequence seq, const std::vector<series_set_ptr>& sets) {
    frame fr;
    for (const auto& set : sets) {
      fr.sections.push_back({set->hash, static_cast<std::uint16_t>(set->members.size()), {}});
      fr.values.insert(fr.values.end(), set->members.size(), 1);
    }
    value_encoder encoder;
    byte_buffer payload;
    encode_frame(fr, encoder, payload);
    run_builder builder{of, seq};
    builder.append(record_kind::frame, 0, "host", payload);
    return std::move(builder).finish();
  }
  std::size_t needs() const {
    return static_cast<std::size_t>(
        std::count_if(backend.outbox.begin(), backend.outbox.end(), [](const auto& message) {
          return std::holds_alternative<link::need>(message.second.body);
        }));
  }
};

} // namespace skerry::delivery::test
