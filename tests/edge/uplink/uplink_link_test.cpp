#include "edge/uplink/uplink_link.hpp"

#include <catch2/catch.hpp>

#include <map>

using namespace skerry;
using namespace skerry::edge;

namespace {

// Connections that the test opens and closes, by the order in which they were made.
struct fake_network {
  struct connection {
    link::client_events events;
    std::uint64_t ip_bytes = 0;
    int messages = 0;
    int reconnects = 0;
    bool exists = true;
  };
  struct transport final : link::client_transport {
    explicit transport(connection& c) : of(c) {}
    ~transport() override { of.exists = false; }
    bool try_send(link::message_parts) override {
      ++of.messages;
      return true;
    }
    void reconnect() override { ++of.reconnects; }
    std::uint64_t bytes_sent() const noexcept override { return of.ip_bytes; }
    std::uint64_t bytes_received() const noexcept override { return 0; }
    link::ip_bytes bytes_on_link() override { return {of.ip_bytes, 0}; }
    connection& of;
  };

  transport_factory factory() {
    return [this](const std::string&,
                  link::client_events events) -> result<std::unique_ptr<link::client_transport>> {
      if (refuse)
        return fail(errc::io, "no descriptor is left");
      auto& made = all[static_cast<int>(all.size())];
      made.events = std::move(events);
      return std::make_unique<transport>(made);
    };
  }

  std::map<int, connection> all;
  bool refuse = false;
};

link::message batch(link::lane lane) {
  link::batch b;
  run_builder builder{{edge_id{1}, {1, {1}}, stream_id::telemetry}, 1};
  builder.append(record_kind::event, 1000, "host", as_bytes("x"));
  b.run = std::move(builder).finish();
  b.lane = lane;
  return {7, b};
}

} // namespace

TEST_CASE("only backlog goes over the second connection, and only while that stands") {
  fake_network net;
  uplink_link under_test{net.factory(), [] { return link::client_events{}; }};
  CHECK_FALSE(under_test.send(batch(link::lane::live))); // nothing is started
  REQUIRE(under_test.start("a"));
  under_test.open_apart("a");
  REQUIRE(net.all.size() == 2);
  CHECK(under_test.send(batch(link::lane::backlog))); // it does not stand yet
  CHECK(net.all[0].messages == 1);
  net.all[1].events.state(link::client_state::connected);
  CHECK(under_test.backlog_apart());
  CHECK(under_test.send(batch(link::lane::backlog)));
  CHECK(net.all[1].messages == 1);
  for (const auto lane : {link::lane::live, link::lane::alert})
    CHECK(under_test.send(batch(lane)));
  CHECK(under_test.send({7, link::ping{}}));
  CHECK(net.all[0].messages == 4);
  net.all[1].events.state(link::client_state::disconnected);
  CHECK_FALSE(under_test.backlog_apart());
  CHECK(under_test.send(batch(link::lane::backlog)));
  CHECK(net.all[0].messages == 5);
  under_test.reconnect();
  CHECK(net.all[0].reconnects == 1);
  CHECK_FALSE(net.all[1].exists);
  CHECK_FALSE(under_test.has_apart());
}

TEST_CASE("bytes of both connections are counted once, also of one that is gone") {
  fake_network net;
  uplink_link under_test{net.factory(), [] { return link::client_events{}; }};
  REQUIRE(under_test.start("a"));
  net.all[0].ip_bytes = 100;
  CHECK(under_test.take_ip_bytes() == 100);
  under_test.open_apart("a");
  net.all[0].ip_bytes += 10;
  net.all[1].ip_bytes += 5;
  CHECK(under_test.bytes_sent() == 115);
  CHECK(under_test.take_ip_bytes() == 15);
  net.all[1].ip_bytes += 3;
  under_test.close_apart();
  CHECK(under_test.take_ip_bytes() == 3);
  net.all[0].ip_bytes += 1;
  under_test.stop();
  CHECK(under_test.take_ip_bytes() == 1);
  CHECK(under_test.take_ip_bytes() == 0);
}

TEST_CASE("without a second connection everything goes over the first") {
  fake_network net;
  uplink_link under_test{net.factory(), [] { return link::client_events{}; }};
  REQUIRE(under_test.start("a"));
  net.refuse = true;
  under_test.open_apart("a");
  CHECK_FALSE(under_test.has_apart());
  CHECK(under_test.send(batch(link::lane::backlog)));
  CHECK(net.all[0].messages == 1);
}
