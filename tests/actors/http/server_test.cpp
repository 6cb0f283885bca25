#include "actors/http/server.hpp"
#include "tests/actors/http/client.hpp"

#include <catch2/catch.hpp>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <condition_variable>
#include <filesystem>
#include <future>
#include <mutex>
#include <sys/stat.h>
#include <zlib.h>

using namespace skerry;
using namespace skerry::http;
using namespace skerry::http::test;

namespace {

std::string unique_path(std::string_view name) {
  static std::atomic<int> number{0};
  return (std::filesystem::temp_directory_path()
          / ("skerry-" + std::to_string(::getpid()) + "-" + std::to_string(number++) + "-"
             + std::string{name}))
      .string();
}

void text(const responder_ptr& to, std::string body) { to->answer({200, "text/plain", std::move(body), {}}); }

std::vector<route> routes() {
  const auto echo = [](const request& from, responder_ptr to) {
    std::string out = from.method + " " + from.path + " [" + from.capture + "]";
    for (const auto& [name, value] : from.parameters)
      out += " " + name + "=" + value;
    out += " body=" + std::to_string(from.body.size()) + " who=" + from.who.subject;
    text(to, out);
  };
  return {{"GET", "/echo", right::read, echo},
          {"POST", "/echo", right::read, echo},
          {"GET", "/label/{}/values", right::read, echo},
          {"POST", "/change", right::administer, echo},
          {"GET", "/large", right::read,
           [](const request&, responder_ptr to) { text(to, std::string(100'000, 'x')); }},
          {"GET", "/drop", right::read, [](const request&, responder_ptr) {}},
          {"GET", "/throw", right::read,
           [](const request&, responder_ptr) { throw std::runtime_error{"secret detail"}; }},
          {"GET", "/twice", right::read,
           [](const request&, responder_ptr to) {
             text(to, "first");
             text(to, "second");
           }},
          {"GET", "/odd", right::read,
           [](const request&, responder_ptr to) {
             to->answer({200, "text/plain", "x", {{"X-Good", "1"}, {"X-Bad", "1\r\nInjected: 1"}}});
           }},
          {"GET", "/none", right::read, [](const request&, responder_ptr to) {
             to->answer({204, "", "", {}});
           }}};
}

struct running {
  explicit running(server_config config = {}, std::vector<route> with = routes()) {
    if (config.listen == server_config{}.listen)
      config.listen = "127.0.0.1:0";
    auto started = server::start(std::move(config), std::move(with), registry);
    if (!started)
      FAIL(started.error().message);
    it = std::move(started).value();
  }
  [[nodiscard]] std::string address() const { return it->address(); }
  [[nodiscard]] bool counted(const std::string& line) const {
    return prometheus::TextSerializer{}.Serialize(registry.Collect()).find(line + "\n") != std::string::npos;
  }
  prometheus::Registry registry;
  std::unique_ptr<server> it;
};

std::string get(std::string_view path, std::string_view more = "") {
  return "GET " + std::string{path} + " HTTP/1.1\r\nHost: localhost\r\n" + std::string{more} + "\r\n";
}

std::string post(std::string_view path, std::string_view body, std::string_view more = "") {
  return "POST " + std::string{path} + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
         + std::to_string(body.size()) + "\r\n" + std::string{more} + "\r\n" + std::string{body};
}

std::string gunzip(const std::string& from) {
  std::string out(1 << 20, '\0');
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, 31) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(from.data()));
  stream.avail_in = static_cast<uInt>(from.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  inflateEnd(&stream);
  return out;
}

} // namespace

TEST_CASE("requests are answered over one kept connection", "[http]") {
  running server;
  client c{server.address()};
  CHECK(c.ask(get("/echo?a=1&b=x+y%21")).body == "GET /echo [] a=1 b=x y! body=0 who=this machine");
  CHECK(c.ask(get("/label/job%2Fx/values")).body
        == "GET /label/job/x/values [job/x] body=0 who=this machine");
  const std::string form = "q=up+%2B1&a=2";
  CHECK(c.ask(post("/echo?a=1", form, "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n"))
            .body
        == "POST /echo [] q=up +1 a=2 a=1 body=13 who=this machine");
  CHECK(c.ask(post("/echo", "q=1", "Content-Type: text/plain\r\n")).body
        == "POST /echo [] body=3 who=this machine");
  const auto head = c.ask("HEAD /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(head.status == 200);
  CHECK(head.has("Content-Length: 100000"));
  CHECK(c.ask(get("/large")).body.size() == 100'000);
  CHECK(c.ask(get("/none")).status == 204);
  CHECK(c.ask(get("/twice")).body == "first");
  CHECK(c.ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
              "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
            .body
        == "POST /echo [] body=3 who=this machine");
  const auto odd = c.ask(get("/odd"));
  CHECK(odd.has("X-Good: 1"));
  CHECK(odd.has(" GMT\r\n")); // Date, RFC 9110
  CHECK(!odd.has("Injected"));
  CHECK(!odd.has("Access-Control"));
  CHECK(
      eventually([&] { return server.counted(R"(skerry_http_requests_total{code="200",path="/echo"} 4)"); }));
  CHECK(server.counted("skerry_http_connections 1"));
}

TEST_CASE("refusals have their status and keep the connection where they can", "[http]") {
  running server;
  client c{server.address()};
  const auto missing = c.ask(get("/nothing"));
  CHECK(missing.status == 404);
  CHECK(missing.body == "404 page not found\n");
  const auto method = c.ask("DELETE /echo HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(method.status == 405);
  CHECK(method.has("Allow: GET, HEAD, POST"));
  CHECK(c.ask("OPTIONS /echo HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 405);
  CHECK(c.ask(get("/echo?a=%zz")).status == 400);
  CHECK(c.ask(post("/echo", "a=%", "Content-Type: application/x-www-form-urlencoded\r\n")).status == 400);
  CHECK(c.ask(get("/echo", "Origin: http://evil.example\r\n")).status == 403);
  CHECK(c.ask("GET /echo HTTP/1.1\r\nHost: evil.example\r\n\r\n").status == 403);
  CHECK(c.ask(get("/drop")).status == 500);
  const auto thrown = c.ask(get("/throw"));
  CHECK(thrown.status == 500);
  CHECK(thrown.body.find("secret") == std::string::npos);
  CHECK(c.ask(post("/change", "")).status == 403);
  CHECK(c.ask(get("/echo")).status == 200);
  CHECK(server.counted(R"(skerry_http_refused_total{reason="host"} 1)"));
  CHECK(server.counted(R"(skerry_http_refused_total{reason="origin"} 1)"));
  CHECK(server.counted(R"(skerry_http_refused_total{reason="right"} 1)"));
  client missing_host{server.address()};
  CHECK(missing_host.ask("GET /echo HTTP/1.1\r\n\r\n").status == 400);
  client two_hosts{server.address()};
  CHECK(two_hosts.ask("GET /echo HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n").status == 400);
  for (const auto* request : {"GET http://evil.example/echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
                              "GET http://evil.example/echo HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                              "GET http://evil.example/echo HTTP/1.0\r\n\r\n"}) {
    client by_url{server.address()};
    CHECK(by_url.ask(request).status == 403);
  }
  client by_same_url{server.address()};
  CHECK(by_same_url.ask("GET http://localhost/echo HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200);
}

TEST_CASE("below /api/ every refusal is Prometheus' envelope", "[http]") {
  running server;
  client c{server.address()};
  const auto missing = c.ask(get("/api/v1/nothing"));
  CHECK(missing.status == 404);
  CHECK(missing.has("Content-Type: application/json"));
  CHECK(missing.body == R"({"error":"404 page not found","errorType":"not_found","status":"error"})");
  const auto escape = c.ask(get("/api/v1/query%zz"));
  CHECK(escape.status == 400);
  CHECK(escape.body.find(R"("errorType":"bad_data")") != std::string::npos);
}

TEST_CASE("a multipart form is refused with what to send", "[http]") {
  running server;
  client c{server.address()};
  const auto refused = c.ask(post("/echo", "--x--", "Content-Type: Multipart/Form-Data; boundary=x\r\n"));
  CHECK(refused.status == 415);
  CHECK(refused.body.find("application/x-www-form-urlencoded") != std::string::npos);
}

TEST_CASE("HTTP/1.0, Connection: close and a half-closed client get their answer", "[http]") {
  running server;
  client old{server.address()};
  CHECK(old.ask("GET /echo HTTP/1.0\r\n\r\n").status == 200);
  CHECK(old.closed_by_server());
  client closing{server.address()};
  CHECK(closing.ask(get("/echo", "Connection: close\r\n")).status == 200);
  CHECK(closing.closed_by_server());
  client half{server.address()};
  half.send(get("/echo"));
  half.half_close();
  CHECK(half.receive());
  CHECK(half.closed_by_server());
}

TEST_CASE("requests sent without waiting are answered in order", "[http]") {
  running server;
  client c{server.address()};
  c.send(get("/echo?n=1") + get("/echo?n=2") + get("/echo?n=3"));
  for (const auto* n : {"n=1", "n=2", "n=3"})
    CHECK(c.receive()->body.find(n) != std::string::npos);
}

TEST_CASE("Expect: 100-continue is honoured, and refused bodies are not asked for", "[http]") {
  running server;
  client c{server.address()};
  const std::string header =
      " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
  CHECK(c.ask("POST /echo" + header).status == 100);
  CHECK(c.ask("hello").body == "POST /echo [] body=5 who=this machine");
  CHECK(c.ask("POST /nothing" + header).status == 404);
  CHECK(c.closed_by_server());
}

TEST_CASE("large answers are compressed for who asks", "[http]") {
  running server;
  client c{server.address()};
  const auto small = c.ask(get("/large", "Accept-Encoding: gzip\r\n"));
  CHECK(small.has("Content-Encoding: gzip"));
  CHECK(small.has("Vary: Accept-Encoding"));
  CHECK(small.body.size() < 1'000);
  CHECK(gunzip(small.body) == std::string(100'000, 'x'));
  CHECK(!c.ask(get("/large")).has("Content-Encoding"));
  CHECK(!c.ask(get("/echo", "Accept-Encoding: gzip\r\n")).has("Content-Encoding"));
}

TEST_CASE("the token opens what changes state, and a wrong one is refused", "[http]") {
  server_config config;
  config.bearer_token = "0123456789abcdef";
  running server{config};
  client c{server.address()};
  CHECK(c.ask(post("/change", "", "Authorization: Bearer 0123456789abcdef\r\n")).body
        == "POST /change [] body=0 who=bearer token");
  const auto wrong = c.ask(get("/echo", "Authorization: Bearer 0123456789abcdeg\r\n"));
  CHECK(wrong.status == 401);
  CHECK(wrong.has("WWW-Authenticate: Bearer"));
  CHECK(c.ask(get("/echo")).status == 200); // reading, on loopback
}

TEST_CASE("the operator's socket is private, replaces a stale one, and is not taken from a live one",
          "[http]") {
  server_config config;
  config.listen = "";
  config.unix_socket = unique_path("socket");
  {
    running server{config};
    CHECK(server.address() == "unix:" + config.unix_socket);
    struct stat there {};
    REQUIRE(::stat(config.unix_socket.c_str(), &there) == 0);
    CHECK((there.st_mode & 0777) == 0600);
    client c{config.unix_socket};
    CHECK(c.ask(post("/change", "")).body == "POST /change [] body=0 who=operator socket");
    prometheus::Registry registry;
    const auto second = server::start(config, {}, registry);
    REQUIRE(!second);
    CHECK(second.error().code == errc::conflict);
    CHECK(c.ask(get("/echo")).status == 200);
  }
  CHECK(!std::filesystem::exists(config.unix_socket));
  // What a killed process leaves behind.
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, config.unix_socket.c_str(), sizeof address.sun_path - 1);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  ::close(fd);
  {
    running server{config};
    CHECK(client{config.unix_socket}.ask(get("/echo")).status == 200);
  }
  std::FILE* file = std::fopen(config.unix_socket.c_str(), "w");
  REQUIRE(file != nullptr);
  std::fclose(file);
  prometheus::Registry registry;
  const auto refused = server::start(config, {}, registry);
  REQUIRE(!refused);
  CHECK(refused.error().message.find("is no socket") != std::string::npos);
  CHECK(std::filesystem::exists(config.unix_socket));
  std::filesystem::remove(config.unix_socket);
}

TEST_CASE("a port in use is a conflict with advice", "[http]") {
  running server;
  server_config config;
  config.listen = server.address();
  prometheus::Registry registry;
  const auto second = server::start(config, {}, registry);
  REQUIRE(!second);
  CHECK(second.error().code == errc::conflict);
  CHECK(second.error().message.find(server.address()) != std::string::npos);
}

TEST_CASE("it listens on IPv6 and on every interface when told", "[http]") {
  server_config config;
  config.listen = "*:0";
  config.allow_remote_unauthenticated = true;
  running server{config};
  client c{server.address()};
  CHECK(c.ask("GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").status == 200);
}

TEST_CASE("answers come from any thread, and a client that left is noticed", "[http]") {
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<responder_ptr> waiting;
  auto with = routes();
  with.push_back({"GET", "/later", right::read, [&](const request&, responder_ptr to) {
                    const std::lock_guard lock{mutex};
                    waiting.push_back(std::move(to));
                    arrived.notify_all();
                  }});
  const auto take = [&] {
    std::unique_lock lock{mutex};
    REQUIRE(arrived.wait_for(lock, std::chrono::seconds{20}, [&] { return !waiting.empty(); }));
    auto out = std::move(waiting.back());
    waiting.pop_back();
    return out;
  };
  responder_ptr outliving;
  {
    running server{{}, with};
    client c{server.address()};
    c.send(get("/later"));
    auto to = take();
    CHECK(!to->client_gone());
    std::thread{[to] { text(to, "from elsewhere"); }}.join();
    CHECK(c.receive()->body == "from elsewhere");
    text(to, "late, and ignored");
    CHECK(!to->client_gone());
    CHECK(c.ask(get("/echo")).status == 200);

    c.send(get("/later"));
    to = take();
    std::thread{[moved = std::move(to)]() mutable { moved.reset(); }}.join();
    CHECK(c.receive()->status == 500);

    c.send(get("/later"));
    to = take();
    c.close();
    CHECK(eventually([&] { return to->client_gone(); }));
    text(to, "nobody hears");
    CHECK(eventually([&] { return server.counted("skerry_http_connections 0"); }));

    client left{server.address()};
    left.send(get("/later"));
    outliving = take();
  }
  CHECK(outliving->client_gone());
  text(outliving, "the server is gone");
}

TEST_CASE("200 clients at once, with one thread and with four", "[http]") {
  for (const std::size_t threads : {1, 4}) {
    server_config config;
    config.threads = threads;
    running server{config};
    std::vector<client> clients;
    for (int i = 0; i < 200; ++i)
      clients.emplace_back(server.address());
    for (int round = 0; round < 3; ++round) {
      for (auto& c : clients)
        REQUIRE(c.send(get("/echo?r=" + std::to_string(round))));
      for (auto& c : clients)
        CHECK(c.receive()->body.find("r=" + std::to_string(round)) != std::string::npos);
    }
    CHECK(server.counted("skerry_http_connections 200"));
  }
}

TEST_CASE("stopping while answers come in from other threads", "[http]") {
  std::atomic<bool> run{true};
  std::mutex mutex;
  std::vector<responder_ptr> waiting;
  auto with = routes();
  with.push_back({"GET", "/later", right::read, [&](const request&, responder_ptr to) {
                    const std::lock_guard lock{mutex};
                    waiting.push_back(std::move(to));
                  }});
  std::thread answering{[&] {
    while (run) {
      std::vector<responder_ptr> batch;
      {
        const std::lock_guard lock{mutex};
        batch.swap(waiting);
      }
      for (auto& to : batch)
        text(to, "x");
      std::this_thread::yield();
    }
  }};
  for (int round = 0; round < 20; ++round) {
    server_config config;
    config.threads = 1 + round % 3;
    running server{config, with};
    std::vector<client> clients;
    for (int i = 0; i < 8; ++i) {
      clients.emplace_back(server.address());
      clients.back().send(get("/later") + get("/later"));
    }
    if (round % 2 == 0)
      CHECK(clients[0].receive());
  }
  run = false;
  answering.join();
}
