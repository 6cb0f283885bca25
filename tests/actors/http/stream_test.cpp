// Answers that last, over real sockets: server-sent events and WebSockets.

#include "actors/http/server.hpp"
#include "tests/actors/http/client.hpp"

#include <catch2/catch.hpp>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <malloc.h>
#include <mutex>
#include <sys/resource.h>

using namespace skerry;
using namespace skerry::http;
using namespace skerry::http::test;

namespace {

stream_message_ptr message(std::string data, std::string id = "") {
  return std::make_shared<const stream_message>(stream_message{"news", std::move(id), std::move(data)});
}

// A server with a route whose answers last, and what a producer does with them.
struct newsroom {
  explicit newsroom(server_config config = {}) {
    if (config.listen == server_config{}.listen)
      config.listen = "127.0.0.1:0";
    config.answers = budget;
    std::vector<route> routes{{"GET", "/news", right::read,
                               [this](const request& asked, responder_ptr to) {
                                 auto opened = to->open_stream();
                                 if (!opened)
                                   return;
                                 const std::lock_guard lock{mutex};
                                 last_ids.emplace_back(asked.last_event_id());
                                 readers.push_back(std::move(opened));
                               }},
                              {"GET", "/-/healthy", right::read, [](const request&, responder_ptr to) {
                                 to->answer({200, "text/plain", "healthy", {}});
                               }}};
    auto started = server::start(std::move(config), std::move(routes), registry);
    if (!started)
      FAIL(started.error().message);
    it = std::move(started).value();
  }
  [[nodiscard]] bool counted(const std::string& line) const {
    return prometheus::TextSerializer{}.Serialize(registry.Collect()).find(line + "\n") != std::string::npos;
  }
  [[nodiscard]] bool ended(const std::string& reason, int count) const {
    return counted("skerry_http_streams_ended_total{reason=\"" + reason + "\"} " + std::to_string(count));
  }
  [[nodiscard]] std::size_t count() {
    const std::lock_guard lock{mutex};
    return readers.size();
  }
  // How many of the readers took it; the others are let go.
  std::size_t push(const stream_message_ptr& one) {
    const std::lock_guard lock{mutex};
    std::erase_if(readers, [&](const stream_ptr& to) { return !to->push(one); });
    return readers.size();
  }
  void let_go() {
    const std::lock_guard lock{mutex};
    readers.clear();
  }

  prometheus::Registry registry;
  std::shared_ptr<memory_budget> budget = std::make_shared<memory_budget>(64 << 20);
  std::mutex mutex;
  std::vector<stream_ptr> readers;
  std::vector<std::string> last_ids;
  std::unique_ptr<server> it; // the first to go
};

std::string ask(std::string_view more = "", std::string_view path = "/news") {
  return "GET " + std::string{path} + " HTTP/1.1\r\nHost: localhost\r\n" + std::string{more} + "\r\n";
}

// The key and its answer are RFC 6455's own example.
const std::string upgrade = ask("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
const std::string accepted = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

struct frame {
  unsigned kind = 0; // 1 text, 8 close, 9 ping, 10 pong
  std::string text;
};
frame read_frame(client& from) {
  const auto head = from.read(2);
  REQUIRE(head.size() == 2);
  const auto byte = [](char c) { return static_cast<unsigned char>(c); };
  CHECK((byte(head[0]) & 0x70) == 0); // not compressed
  CHECK((byte(head[1]) & 0x80) == 0); // a server masks nothing
  std::size_t size = byte(head[1]) & 0x7f;
  if (size >= 126) {
    const auto more = from.read(size == 126 ? 2 : 8);
    size = 0;
    for (const auto c : more)
      size = size << 8 | byte(c);
  }
  return {byte(head[0]) & 0x0fu, from.read(size)};
}
// With a mask of zeros.
std::string client_frame(unsigned kind, const std::string& text) {
  std::string out;
  out += static_cast<char>(0x80 | kind);
  if (text.size() < 126) {
    out += static_cast<char>(0x80 | text.size());
  } else {
    out += static_cast<char>(0x80 | 126);
    out += static_cast<char>(text.size() >> 8);
    out += static_cast<char>(text.size() & 0xff);
  }
  return out + std::string(4, '\0') + text;
}
unsigned close_code(const frame& of) {
  return of.text.size() < 2
             ? 0
             : static_cast<unsigned char>(of.text[0]) << 8 | static_cast<unsigned char>(of.text[1]);
}

const std::string stream_over = "\r\n0\r\n\r\n"; // the last chunk

// Room for as many clients and their servers' ends.
bool files_for(std::size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, std::max<rlim_t>(limit.rlim_cur, wanted));
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur >= wanted;
}

} // namespace

TEST_CASE("server-sent events", "[http]") {
  newsroom room;
  client c{room.it->address()};
  CHECK(c.send(ask("Accept-Encoding: gzip\r\nLast-Event-ID: 41\r\n")));
  const auto head = c.receive(true);
  REQUIRE(head);
  CHECK(head->status == 200);
  CHECK(head->has("Content-Type: text/event-stream\r\n"));
  CHECK(head->has("Cache-Control: no-store\r\n"));
  CHECK(head->has("Transfer-Encoding: chunked\r\n"));
  CHECK_FALSE(head->has("Content-Encoding"));
  REQUIRE(eventually([&] { return room.count() == 1; }));
  CHECK(room.last_ids[0] == "41");
  CHECK(room.push(message(R"({"a":1})", "42")) == 1);
  CHECK(c.read_until("\n\n") == "22\r\nid: 42\nevent: news\ndata: {\"a\":1}\n\n");
  CHECK(room.push(message("one\ntwo\r\nthree\rfour", "bad\nid")) == 1);
  CHECK(c.read_until("\n\n").ends_with(
      "id: badid\nevent: news\ndata: one\ndata: two\ndata: three\ndata: four\n\n"));
  CHECK(room.push(message(std::string(100'000, 'x'))) == 1); // nothing compresses it
  CHECK(c.read_until("\n\n").find(std::string(100'000, 'x')) != std::string::npos);
  CHECK(room.counted("skerry_http_streams 1"));
  CHECK(room.counted(R"(skerry_http_requests_total{code="200",path="/news"} 1)"));
  CHECK(room.counted("skerry_http_connections 0"));
  room.let_go();
  const auto end = c.read_until(stream_over);
  CHECK(end.find(
            "event: end\ndata: {\"message\":\"there is no more\",\"missed\":0,\"reason\":\"finished\"}\n\n")
        != std::string::npos);
  CHECK(c.closed_by_server());
  CHECK(eventually([&] { return room.ended("finished", 1) && room.counted("skerry_http_streams 0"); }));
}

TEST_CASE("an event stream over HTTP/1.0 ends with the connection, and HEAD gets none", "[http]") {
  newsroom room;
  client c{room.it->address()};
  CHECK(c.send("GET /news?last_event_id=7 HTTP/1.0\r\nHost: localhost\r\n\r\n"));
  const auto head = c.receive(true);
  REQUIRE(head);
  CHECK(head->head.starts_with("HTTP/1.0 200 OK\r\n"));
  CHECK_FALSE(head->has("Transfer-Encoding"));
  REQUIRE(eventually([&] { return room.count() == 1; }));
  CHECK(room.last_ids[0] == "7");
  room.push(message("1"));
  CHECK(c.read_until("\n\n") == "event: news\ndata: 1\n\n");
  room.let_go();
  CHECK(c.read_until("\n\n").starts_with("event: end\n"));
  CHECK(c.closed_by_server());
  client h{room.it->address()};
  const auto only_head = h.ask("HEAD /news HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(only_head.status == 200);
  CHECK(only_head.has("Content-Type: text/event-stream\r\n"));
  CHECK(h.ask(ask("", "/-/healthy")).status == 200);
}

TEST_CASE("a WebSocket gets the same messages as frames", "[http]") {
  newsroom room;
  client c{room.it->address()};
  CHECK(c.send(upgrade));
  const auto head = c.receive(true);
  REQUIRE(head);
  CHECK(head->status == 101);
  CHECK(head->has(accepted));
  CHECK_FALSE(head->has("Sec-WebSocket-Extensions"));
  REQUIRE(eventually([&] { return room.count() == 1; }));
  CHECK(room.push(message(R"({"a":1})", "42")) == 1);
  CHECK(room.push(message(std::string(70'000, '1'))) == 1);
  auto got = read_frame(c);
  CHECK(got.kind == 1);
  CHECK(got.text == R"({"event":"news","id":"42","data":{"a":1}})");
  CHECK(read_frame(c).text == R"({"event":"news","data":)" + std::string(70'000, '1') + "}");
  CHECK(c.send(client_frame(1, "anything")));
  CHECK(c.send(client_frame(9, "are you there")));
  got = read_frame(c);
  CHECK(got.kind == 10);
  CHECK(got.text == "are you there");
  CHECK(room.counted(R"(skerry_http_requests_total{code="101",path="/news"} 1)"));

  SECTION("the producer lets go") {
    room.let_go();
    got = read_frame(c);
    CHECK(got.text.find(R"("event":"end")") != std::string::npos);
    got = read_frame(c);
    CHECK(got.kind == 8);
    CHECK(close_code(got) == 1000);
    CHECK(c.send(client_frame(8, got.text)));
    CHECK(c.closed_by_server());
    CHECK(eventually([&] { return room.ended("finished", 1); }));
  }
  SECTION("the client closes") {
    CHECK(c.send(client_frame(8, std::string{"\x03\xe8", 2})));
    got = read_frame(c);
    CHECK(got.kind == 8);
    CHECK(c.closed_by_server());
    CHECK(eventually([&] { return room.ended("client", 1); }));
    CHECK(room.push(message("1")) == 0);
  }
  SECTION("the client sends too much, or what is no frame") {
    CHECK(c.send(GENERATE(client_frame(1, std::string(5'000, 'x')), std::string(64, '\xff'))));
    got = read_frame(c);
    CHECK(got.kind == 8);
    CHECK((close_code(got) == 1009 || close_code(got) == 1002));
    c.close();
    CHECK(eventually([&] { return room.ended("client", 1); }));
  }
}

TEST_CASE("a WebSocket is opened under the rules of every request", "[http]") {
  newsroom room;
  const auto status = [&](std::string text) {
    client c{room.it->address()};
    CHECK(c.send(text));
    const auto got = c.receive();
    return got ? got->status : 0;
  };
  const auto with = [&](std::string_view line) {
    auto text = upgrade;
    return text.insert(text.size() - 2, line);
  };
  CHECK(status(with("Origin: http://localhost\r\n")) == 101);
  CHECK(status(with("Origin: http://evil.example\r\n")) == 403);
  CHECK(status(with("Origin: null\r\n")) == 403);
  auto rebound = upgrade;
  CHECK(status(rebound.replace(rebound.find("localhost"), 9, "evil.example")) == 403);
  auto old = upgrade;
  CHECK(status(old.replace(old.find("Version: 13"), 11, "Version: 7")) == 426);
  CHECK(status(upgrade + client_frame(1, "before the handshake")) == 400);
  auto elsewhere = upgrade;
  CHECK(status(elsewhere.replace(4, 5, "/-/healthy")) == 200); // who answers once answers so
}

TEST_CASE("who reads too slowly is told how much it missed, and nothing grows", "[http]") {
  server_config config;
  config.stream_bytes_max = 128 << 10;
  newsroom room{config};
  const bool websocket = GENERATE(false, true);
  client slow{room.it->address()};
  client quick{room.it->address()};
  CHECK(slow.send(websocket ? upgrade : ask()));
  CHECK(slow.receive(true));
  CHECK(quick.send(ask()));
  CHECK(quick.receive(true));
  REQUIRE(eventually([&] { return room.count() == 2; }));
  // It reads nothing: the kernel's buffers fill, then the queue. The other one reads all.
  const auto large = message("\"" + std::string(16 << 10, 'x') + "\"");
  std::uint64_t most = 0;
  int pushes = 0;
  while (room.push(large) == 2) {
    ++pushes;
    REQUIRE(pushes < 10'000);
    CHECK(quick.read_until("\n\n").size() > 16 << 10);
    most = std::max(most, room.budget->taken());
  }
  quick.read_until("\n\n");
  CHECK(pushes > 4);
  // Of each queue what is beyond 64 KiB.
  CHECK(most <= config.stream_bytes_max - answer_free_bytes);
  CHECK(room.count() == 1);
  CHECK(room.push(message("2")) == 1); // the other goes on
  CHECK(quick.read_until("data: 2\n\n").size() > 0);
  // It comes back to life: what was on its way, then the end.
  if (websocket) {
    frame got;
    do
      got = read_frame(slow);
    while (got.kind == 1 && got.text.find(R"("event":"news")") != std::string::npos);
    CHECK(got.text.find(R"("reason":"overflow")") != std::string::npos);
    got = read_frame(slow);
    CHECK(got.kind == 8);
    CHECK(close_code(got) == 1013);
    CHECK(got.text.substr(2) == "this client reads more slowly than messages come");
  } else {
    const auto rest = slow.read_until(stream_over);
    CHECK(rest.find("\"reason\":\"overflow\"") != std::string::npos);
    CHECK(rest.find("\"missed\":0") == std::string::npos);
  }
  slow.close();
  CHECK(eventually([&] { return room.ended("overflow", 1) && room.budget->taken() == 0; }));
}

TEST_CASE("who takes nothing is closed", "[http]") {
  server_config config;
  config.stall_timeout = std::chrono::milliseconds{20};
  config.stream_bytes_max = 16 << 20;
  newsroom room{config};
  client c{room.it->address()};
  CHECK(c.send(ask()));
  CHECK(c.receive(true));
  REQUIRE(eventually([&] { return room.count() == 1; }));
  const auto large = message(std::string(32 << 10, 'x'));
  for (int i = 0; i < 400; ++i)
    room.push(large);
  CHECK(eventually([&] { return room.ended("write_timeout", 1); }));
  CHECK(eventually([&] { return room.budget->taken() == 0; }));
  CHECK(room.push(large) == 0);
}

TEST_CASE("where nothing is sent there are heartbeats", "[http]") {
  server_config config;
  config.stream_heartbeat = std::chrono::milliseconds{5};
  newsroom room{config};
  client events{room.it->address()};
  CHECK(events.send(ask()));
  CHECK(events.receive(true));
  for (int i = 0; i < 3; ++i)
    CHECK(events.read_until("\n\n") == (i == 0 ? "3\r\n:\n\n" : "\r\n3\r\n:\n\n"));
  client socket{room.it->address()};
  CHECK(socket.send(upgrade));
  CHECK(socket.receive(true));
  for (int i = 0; i < 3; ++i)
    CHECK(read_frame(socket).kind == 9);
}

TEST_CASE("clients whose answers last have a bound of their own", "[http]") {
  server_config config;
  config.streams_max = 3;
  config.connections_max = 1;
  newsroom room{config};
  std::vector<client> kept;
  for (std::size_t i = 0; i < 3; ++i) {
    kept.emplace_back(room.it->address());
    CHECK(kept.back().send(i == 1 ? upgrade : ask()));
    REQUIRE(kept.back().receive(true));
    REQUIRE(eventually([&] { return room.counted("skerry_http_connections 0"); }));
  }
  {
    client one_more{room.it->address()};
    const auto refused = one_more.ask(ask());
    CHECK(refused.status == 503);
    CHECK(refused.has("Retry-After: 1\r\n"));
    CHECK(refused.body.find("http.streams_max") != std::string::npos);
    CHECK(one_more.ask(ask("", "/-/healthy")).status == 200); // the same connection
    CHECK(room.counted(R"(skerry_http_refused_total{reason="streams_max"} 1)"));
  }
  kept.pop_back(); // one leaves, and its place is free
  CHECK(eventually([&] { return room.ended("client", 1); }));
  CHECK(eventually([&] {
    client next{room.it->address()};
    next.send(ask());
    const auto got = next.receive(true);
    return got && got->status == 200;
  }));
}

TEST_CASE("a server that stops says so to everybody, also to who does not read", "[http]") {
  server_config config;
  config.threads = 4;
  newsroom room{config};
  std::vector<client> all;
  for (std::size_t i = 0; i < 40; ++i) {
    all.emplace_back(room.it->address());
    CHECK(all.back().send(i % 2 == 0 ? ask() : upgrade));
    REQUIRE(all.back().receive(true));
  }
  REQUIRE(eventually([&] { return room.count() == 40; }));
  client deaf{room.it->address()};
  CHECK(deaf.send(ask()));
  REQUIRE(deaf.receive(true));
  REQUIRE(eventually([&] { return room.count() == 41; }));
  {
    const std::lock_guard lock{room.mutex};
    const auto large = message(std::string(64 << 10, 'x'));
    for (int i = 0; i < 1000 && room.readers.back()->push(large); ++i) {
    }
  }
  std::atomic<bool> stopped{false};
  std::thread stopper{[&] {
    room.it.reset();
    stopped = true;
  }};
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i % 2 == 0) {
      CHECK(all[i].read_until(stream_over).find("this node stops") != std::string::npos);
    } else {
      CHECK(read_frame(all[i]).text.find("this node stops") != std::string::npos);
      const auto last = read_frame(all[i]);
      CHECK(last.kind == 8);
      CHECK(close_code(last) == 1001);
      CHECK(all[i].send(client_frame(8, last.text)));
    }
    CHECK(all[i].closed_by_server());
  }
  CHECK(eventually([&] { return stopped.load(); })); // within a second of the last
  stopper.join();
  CHECK(room.counted("skerry_http_streams 0"));
  CHECK(room.push(message("1")) == 0); // the producer may be the last to hear of it
}

TEST_CASE("a thousand clients whose answers last", "[http]") {
  constexpr std::size_t clients = 1000;
  if (!files_for(2 * clients + 100)) {
    WARN("the limit of open files is too low");
    return;
  }
  server_config config;
  config.streams_max = clients;
  config.connections_max = 50;
  config.threads = 4;
  newsroom room{config};
  const bool websocket = GENERATE(false, true);
  const auto before = ::mallinfo2().uordblks;
  std::vector<client> all;
  for (std::size_t i = 0; i < clients; ++i) {
    all.emplace_back(room.it->address());
    REQUIRE(all.back().send(websocket ? upgrade : ask()));
    REQUIRE(all.back().receive(true));
  }
  REQUIRE(eventually([&] { return room.count() == clients; }));
  const auto idle = (::mallinfo2().uordblks - before) / clients;
  CHECK(room.push(message(R"({"site":"harbour"})")) == clients);
  for (auto& one : all)
    CHECK(!one.read_until("harbour").empty());
  CHECK(room.counted("skerry_http_streams 1000"));
  client other{room.it->address()};
  CHECK(other.ask(ask("", "/-/healthy")).status == 200);
  // The test's own ends of them included.
  WARN((websocket ? "a WebSocket: " : "an event stream: ") << idle << " bytes a client");
  CHECK(idle < 16 << 10);
}
