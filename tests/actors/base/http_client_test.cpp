#include "actors/base/http_client.hpp"
#include "actors/http/compress.hpp"
#include "actors/http/server.hpp"
#include "tests/actors/base/temporary_folder.hpp"

#include <catch2/catch.hpp>
#include <prometheus/registry.h>

#include <mutex>

using namespace skerry;

namespace {

struct running {
  explicit running(http::server_config config = {}) {
    config.listen = "127.0.0.1:0";
    auto echo = [](const http::request& from, http::responder_ptr to) {
      std::string out = from.method;
      for (const auto& [name, value] : from.parameters)
        out += " " + name + "=" + value;
      to->answer({201, "text/plain", out + " " + from.body + " " + from.who.subject, {}});
    };
    auto large = [](const http::request&, http::responder_ptr to) {
      to->answer({200, "text/plain", std::string(1 << 20, 'x'), {}});
    };
    auto never = [this](const http::request&, http::responder_ptr to) {
      const std::lock_guard lock{mutex};
      waiting.push_back(std::move(to));
    };
    auto packed = [](const http::request& from, http::responder_ptr to) {
      std::string body(4'000, 'x');
      std::vector<std::string> more;
      http::gzip(body, more);
      if (from.parameter("cut") != nullptr)
        body.resize(body.size() - 9);
      to->answer({200, "text/plain", body, {{"Content-Encoding", "gzip"}}});
    };
    auto started = http::server::start(std::move(config),
                                       {{"GET", "/echo", right::read, echo},
                                        {"POST", "/echo", right::administer, echo},
                                        {"GET", "/large", right::read, large},
                                        {"GET", "/packed", right::read, packed},
                                        {"GET", "/never", right::read, never}},
                                       registry);
    if (!started)
      FAIL(started.error().message);
    it = std::move(started).value();
  }
  [[nodiscard]] outgoing_request to(std::string_view path) const {
    outgoing_request out;
    out.url = "http://" + it->address() + std::string{path};
    return out;
  }
  std::mutex mutex;
  std::vector<http::responder_ptr> waiting;
  prometheus::Registry registry;
  std::unique_ptr<http::server> it;
};

} // namespace

TEST_CASE("the client asks over TCP and over the Unix socket", "[http client]") {
  const test::temporary_folder folder;
  http::server_config config;
  config.unix_socket = (folder.path() / "socket").string();
  config.bearer_token = "a-long-enough-token";
  running server{config};
  auto request = server.to("/echo?a=1");
  request.parameters = {{"query", "rate(x[5m]) + 1&2"}};
  auto answer = send_request(request);
  REQUIRE(answer);
  CHECK(answer.value().status == 201);
  CHECK(answer.value().content_type == "text/plain");
  CHECK(answer.value().body == "GET a=1 query=rate(x[5m]) + 1&2  this machine");
  request.method = "POST";
  CHECK(send_request(request).value().status == 403);
  request.bearer_token = config.bearer_token;
  CHECK(send_request(request).value().body
        == "POST query=rate(x[5m]) + 1&2 a=1 query=rate%28x%5B5m%5D%29%20%2B%201%262 bearer token");
  request.bearer_token.clear();
  request.unix_socket = config.unix_socket;
  request.url = "http://localhost/echo";
  request.parameters.clear();
  request.body = "{}";
  CHECK(send_request(request).value().body == "POST {} operator socket");
}

TEST_CASE("a compressed answer that is not whole is none", "[http client]") {
  running server;
  CHECK(send_request(server.to("/packed")).value().body == std::string(4'000, 'x'));
  const auto cut = send_request(server.to("/packed?cut=1"));
  REQUIRE(!cut);
  CHECK(cut.error().message.find("its compressed data ends before its end") != std::string::npos);
}

TEST_CASE("what goes wrong is told apart", "[http client]") {
  running server;
  auto large = server.to("/large");
  CHECK(send_request(large).value().body.size() == 1 << 20);
  large.body_bytes_max = 1'000;
  CHECK(send_request(large).error().code == errc::exhausted);
  auto never = server.to("/never");
  never.timeout = std::chrono::milliseconds{50};
  CHECK(send_request(never).error().code == errc::timeout);
  outgoing_request request;
  request.url = "file:///etc/passwd";
  CHECK(send_request(request).error().code == errc::invalid_argument);
  request.url = "http://127.0.0.1:1/";
  const auto refused = send_request(request);
  REQUIRE(!refused);
  CHECK(refused.error().code == errc::unavailable);
  CHECK(refused.error().message.find("127.0.0.1:1") != std::string::npos);
  request.unix_socket = "/nonexistent/socket";
  CHECK(send_request(request).error().code == errc::unavailable);
  request = server.to("/echo");
  request.headers = {{"X", "1\r\nY: 2"}};
  CHECK(send_request(request).error().code == errc::invalid_argument);
  const std::lock_guard lock{server.mutex};
  server.waiting.clear();
}
