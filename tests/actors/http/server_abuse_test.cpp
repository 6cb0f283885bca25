// What a hostile or broken client sends. The server answers or closes, counts it, and serves the next one.

#include "actors/http/server.hpp"
#include "tests/actors/http/client.hpp"

#include <catch2/catch.hpp>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <random>

using namespace skerry;
using namespace skerry::http;
using namespace skerry::http::test;

namespace {

const std::string good = "GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct running {
  explicit running(server_config config = {}) {
    config.listen = "127.0.0.1:0";
    auto ok = [](const request&, responder_ptr to) { to->answer({200, "text/plain", "ok", {}}); };
    auto huge = [](const request&, responder_ptr to) {
      to->answer({200, "text/plain", std::string(64 << 20, 'x'), {}});
    };
    auto started = server::start(config,
                                 {{"GET", "/ok", right::read, ok},
                                  {"POST", "/ok", right::read, ok},
                                  {"GET", "/huge", right::read, huge}},
                                 registry);
    if (!started)
      FAIL(started.error().message);
    it = std::move(started).value();
  }
  [[nodiscard]] std::string address() const { return it->address(); }
  [[nodiscard]] bool counted(const std::string& line) const {
    return prometheus::TextSerializer{}.Serialize(registry.Collect()).find(line + "\n") != std::string::npos;
  }
  [[nodiscard]] bool serves() const { return client{address()}.ask(good).status == 200; }
  prometheus::Registry registry;
  std::unique_ptr<server> it;
};

server_config hasty() {
  server_config config;
  config.request_timeout = std::chrono::milliseconds{150};
  return config;
}

} // namespace

TEST_CASE("what is not HTTP gets 400 or a closed connection", "[http]") {
  running server;
  int refused = 0;
  for (const std::string& garbage :
       {std::string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11}, std::string{"hello\r\n\r\n"},
        std::string{"GET\r\n\r\n"}, std::string{"GET /ok\r\n\r\n"}, std::string{"GET /ok HTTP/9.9\r\n\r\n"},
        std::string{"GET /ok HTTP/1.1\r\nno colon here\r\n\r\n"},
        std::string{"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n"},
        std::string{"POST /ok HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n"},
        std::string{"POST /ok HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
        std::string{"GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n"}}) {
    INFO(garbage);
    client c{server.address()};
    c.send(garbage);
    c.half_close();
    const auto got = c.receive();
    if (got) {
      CHECK(got->status == 400);
      ++refused;
    }
    CHECK(c.closed_by_server());
  }
  CHECK(server.serves());
  CHECK(refused >= 8);
  CHECK(server.counted(fmt::format(R"(skerry_http_refused_total{{reason="malformed"}} {})", refused)));
}

TEST_CASE("random bytes and random cuts never stop the server", "[http]") {
  const char* from_environment = std::getenv("SKERRY_SEED");
  const auto seed = from_environment != nullptr ? std::stoull(from_environment) : 99ULL;
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  running server;
  for (int round = 0; round < 200; ++round) {
    std::string text =
        random() % 2 == 0
            ? good
            : "POST /ok HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n12345678901234567890";
    for (auto n = random() % 4; n != 0; --n)
      text[random() % text.size()] = static_cast<char>(random());
    text.resize(random() % (text.size() + 1));
    client c{server.address()};
    c.send(text);
    if (random() % 2 == 0)
      c.half_close();
  }
  CHECK(server.serves());
}

TEST_CASE("a header or body beyond its bound is refused", "[http]") {
  server_config config;
  config.header_bytes_max = 1'024;
  config.body_bytes_max = 10'000;
  running server{config};
  const auto status = [&](const std::string& text) {
    client c{server.address()};
    c.send(text);
    const auto got = c.receive();
    CHECK(c.closed_by_server());
    return got ? got->status : 0;
  };
  CHECK(status("GET /ok HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(5'000, 'x') + "\r\n\r\n") == 431);
  CHECK(status("GET /" + std::string(200'000, 'x') + " HTTP/1.1\r\n\r\n") == 431);
  CHECK(status("POST /ok HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
               + std::string(1'000'000, 'x'))
        == 413);
  std::string chunks;
  for (int i = 0; i < 20; ++i)
    chunks += "3e8\r\n" + std::string(1'000, 'x') + "\r\n";
  CHECK(status("POST /ok HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
               + "0\r\n\r\n")
        == 413);
  CHECK(status("POST /ok HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n")
        == 400);
  CHECK(client{server.address()}
            .ask("POST /ok HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\n"
                 + std::string(10'000, 'x'))
            .status
        == 200);
  CHECK(server.counted(R"(skerry_http_refused_total{reason="header_bytes_max"} 2)"));
  CHECK(server.counted(R"(skerry_http_refused_total{reason="body_bytes_max"} 2)"));
}

TEST_CASE("a client that sends slowly or nothing is closed", "[http]") {
  auto config = hasty();
  config.idle_timeout = std::chrono::milliseconds{150};
  running server{config};
  client silent{server.address()};
  CHECK(silent.closed_by_server());
  client idle{server.address()};
  CHECK(idle.ask(good).status == 200);
  CHECK(idle.closed_by_server());
  client half{server.address()};
  half.send("GET /ok HTTP/1.1\r\nHo");
  CHECK(half.receive()->status == 408);
  CHECK(half.closed_by_server());
  client body{server.address()};
  body.send("POST /ok HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n123");
  CHECK(body.receive()->status == 408);
  // A byte now and then does not buy more time.
  client dripping{server.address()};
  dripping.send("GET /ok HTTP/1.1\r\nX: ");
  const auto started = std::chrono::steady_clock::now();
  while (dripping.send("x") && std::chrono::steady_clock::now() - started < std::chrono::seconds{20})
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  CHECK(std::chrono::steady_clock::now() - started < std::chrono::seconds{20});
  CHECK(server.serves());
  CHECK(server.counted(R"(skerry_http_refused_total{reason="request_timeout"} 3)"));
}

TEST_CASE("a client that does not read its answer is closed", "[http]") {
  running server{hasty()};
  client c{server.address()};
  c.send("GET /huge HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(eventually([&] { return server.counted(R"(skerry_http_refused_total{reason="write_timeout"} 1)"); }));
  CHECK(eventually([&] { return server.counted("skerry_http_connections 0"); }));
  CHECK(server.serves());
}

TEST_CASE("connections beyond the bound get 503 until one is free", "[http]") {
  server_config config;
  config.connections_max = 3;
  running server{config};
  std::vector<client> held;
  for (int i = 0; i < 3; ++i) {
    held.emplace_back(server.address());
    CHECK(held.back().ask(good).status == 200);
  }
  client more{server.address()};
  const auto refused = more.receive();
  REQUIRE(refused);
  CHECK(refused->status == 503);
  CHECK(refused->body == "too many connections\n");
  CHECK(more.closed_by_server());
  CHECK(held[0].ask(good).status == 200);
  CHECK(server.counted(R"(skerry_http_refused_total{reason="connections_max"} 1)"));
  held.pop_back();
  CHECK(eventually([&] { return server.counted("skerry_http_connections 2"); }));
  CHECK(server.serves());
}
