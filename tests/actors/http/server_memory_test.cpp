// What connections hold together: bodies being read, answers being written, fields of headers.

#include "actors/http/server.hpp"
#include "tests/actors/http/client.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

using namespace skerry;
using namespace skerry::http;
using namespace skerry::http::test;

namespace {

constexpr std::size_t mib = 1 << 20;
const std::string good = "GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n";
const std::string huge = "GET /huge HTTP/1.1\r\nHost: localhost\r\n\r\n";

std::string post(std::size_t size) {
  return fmt::format("POST /ok HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", size);
}

struct running {
  explicit running(server_config config) {
    config.listen = "127.0.0.1:0";
    auto ok = [](const request& r, responder_ptr to) {
      to->answer({200, "text/plain", std::to_string(r.body.size()), {}});
    };
    auto pieces = [](const request&, responder_ptr to) {
      response out{200, "text/plain", {}, {}};
      for (int i = 0; i < 16; ++i)
        out.more.emplace_back().resize(mib, static_cast<char>('a' + i));
      to->answer(std::move(out));
    };
    auto started = server::start(config,
                                 {{"GET", "/ok", right::read, ok},
                                  {"POST", "/ok", right::read, ok},
                                  {"GET", "/huge", right::read, pieces}},
                                 registry);
    if (!started)
      FAIL(started.error().message);
    it = std::move(started).value();
  }
  [[nodiscard]] bool counted(const std::string& line) const {
    return prometheus::TextSerializer{}.Serialize(registry.Collect()).find(line + "\n") != std::string::npos;
  }
  [[nodiscard]] client connect() const { return client{it->address()}; }
  // Asks until the answer has that status: what others held goes back in its own time.
  [[nodiscard]] bool becomes(const std::string& question, int status) const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds{deadline_ms};
    while (std::chrono::steady_clock::now() < until)
      if (auto c = connect(); c.send(question))
        if (const auto got = c.receive(); got && got->status == status)
          return true;
    return false;
  }
  prometheus::Registry registry;
  std::unique_ptr<server> it;
};

} // namespace

TEST_CASE("bodies being read share a bound", "[http]") {
  constexpr std::size_t body_free = 64 << 10;
  server_config config;
  config.body_bytes_max = 4 * mib;
  config.bodies_bytes_max = 8 * mib;
  running server{config};
  std::vector<client> slow;
  for (int i = 0; i < 2; ++i) {
    slow.push_back(server.connect());
    REQUIRE(slow.back().send(post(4 * mib) + std::string(4 * mib - 1, 'x')));
  }
  // Once theirs have come: asked in a way that takes no room itself.
  const auto may_i = fmt::format("POST /ok HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                                 "Content-Length: {}\r\n\r\n",
                                 body_free + 1);
  CHECK(server.becomes(may_i, 503));
  // The answer comes before the body.
  auto refused = server.connect();
  REQUIRE(refused.send(post(3 * mib)));
  const auto got = refused.receive();
  REQUIRE(got);
  CHECK(got->status == 503);
  CHECK(got->has("Retry-After: 1"));
  CHECK(got->body.find("http.bodies_bytes_max") != std::string::npos);
  // One whose length is not said is stopped on the way.
  auto chunked = server.connect();
  CHECK(chunked.send("POST /ok HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n40000\r\n"
                     + std::string(0x40000, 'x')));
  CHECK(chunked.receive().value().status == 503);
  // Small ones pass.
  CHECK(server.connect().ask(good).status == 200);
  CHECK(server.connect().ask(post(60'000) + std::string(60'000, 'x')).body == "60000");
  // What a client gives up goes back, and so does what was handled.
  CHECK(slow.back().ask("x").body == std::to_string(4 * mib));
  slow.clear();
  CHECK(server.becomes(post(4 * mib) + std::string(4 * mib, 'x'), 200));
}

TEST_CASE("answers that nobody reads share a bound, and end", "[http]") {
  server_config config;
  config.answers_bytes_max = 17 * mib;
  config.stall_timeout = std::chrono::milliseconds{2'000};
  running server{config};
  auto silent = server.connect();
  REQUIRE(silent.send(huge));
  // The first may still be on its way to the kernel's buffers.
  CHECK(server.becomes(huge, 503));
  CHECK(server.connect().ask(good).status == 200);
  CHECK(server.becomes(huge, 200));
  CHECK(server.counted(R"(skerry_http_refused_total{reason="write_timeout"} 1)"));
  const auto whole = server.connect().ask(huge);
  REQUIRE(whole.body.size() == 16 * mib);
  for (std::size_t i = 0; i < 16; ++i)
    CHECK(whole.body[i * mib] == static_cast<char>('a' + i));
}

TEST_CASE("a header has a bound of fields", "[http]") {
  running server{{}};
  std::string many = "GET /ok HTTP/1.1\r\nHost: localhost\r\n";
  for (int i = 0; i < 200; ++i)
    many += "a:\r\n";
  CHECK(server.connect().ask(many + "\r\n").status == 200);
  for (int i = 0; i < 100; ++i)
    many += "a:\r\n";
  CHECK(server.connect().ask(many + "\r\n").status == 431);
  CHECK(server.counted(R"(skerry_http_refused_total{reason="header_fields_max"} 1)"));
  // Line breaks of a body are none of its fields.
  CHECK(server.connect().ask(post(1'000) + std::string(1'000, '\n')).body == "1000");
}

TEST_CASE("an answer in pieces is compressed as one", "[http]") {
  running server{{}};
  const auto got =
      server.connect().ask("GET /huge HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n");
  CHECK(got.status == 200);
  CHECK(got.has("Content-Encoding: gzip"));
  CHECK(got.body.size() < mib);
  CHECK(got.body.starts_with("\x1f\x8b"));
}
