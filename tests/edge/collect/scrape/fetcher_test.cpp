#include "edge/collect/scrape/fetcher.hpp"
#include "tests/edge/collect/scrape/http_server.hpp"

#include <catch2/catch.hpp>
#include <prometheus/registry.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <zlib.h>

using namespace skerry;
using namespace skerry::edge;
using skerry::test::http_server;
using namespace std::chrono_literals;

namespace {

struct setup {
  prometheus::Registry registry;
  std::unique_ptr<fetcher> fetch = fetcher::start(registry).value();

  fetch_response get(const fetch_slot_ptr& slot, fetch_request request = {}) {
    std::promise<fetch_response> answer;
    auto future = answer.get_future();
    auto started =
        fetch->fetch(slot, std::move(request), [&](fetch_response r) { answer.set_value(std::move(r)); });
    if (!started)
      FAIL(started.error().message);
    if (future.wait_for(20s) != std::future_status::ready)
      std::abort(); // `answer` must not go while the fetcher may answer
    return future.get();
  }
  fetch_response get(fetch_options options, fetch_request request = {}) {
    auto slot = fetch->open(std::move(options));
    if (!slot)
      FAIL(slot.error().message);
    return get(slot.value(), std::move(request));
  }
};

fetch_options to(std::string url) {
  fetch_options out;
  out.url = std::move(url);
  return out;
}

std::string gzip(const std::string& text) {
  z_stream z{};
  deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()) + 32, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

} // namespace

TEST_CASE("pages come over one connection, and the request says who asks") {
  std::string head;
  http_server server{[&](const std::string& h) {
    head = h;
    return http_server::ok("a 1\n");
  }};
  setup s;
  auto options = to(server.url("/metrics?x=1"));
  options.headers = {"Accept: text/plain", "User-Agent: Skerry", "X-Extra: 1"};
  options.basic_auth = true;
  options.username = "user";
  options.password = "pass";
  const auto slot = s.fetch->open(options).value();
  for (int i = 0; i < 5; ++i) {
    fetch_request request;
    request.buffer = std::string(100, 'x');
    const auto r = s.get(slot, std::move(request));
    CHECK(r.error.empty());
    CHECK(r.failure == fetch_failure::none);
    CHECK(r.status == 200);
    CHECK(r.body == "a 1\n");
    CHECK(r.content_type == "text/plain; version=0.0.4");
    CHECK(r.duration.count() > 0);
  }
  CHECK(server.connections() == 1);
  CHECK(head.starts_with("GET /metrics?x=1 HTTP/1.1\r\n"));
  CHECK(head.find("\r\nAccept: text/plain\r\n") != std::string::npos);
  CHECK(head.find("\r\nX-Extra: 1\r\n") != std::string::npos);
  CHECK(head.find("\r\nAuthorization: Basic dXNlcjpwYXNz\r\n") != std::string::npos);
  CHECK(head.find("Accept-Encoding") == std::string::npos); // loopback
}

TEST_CASE("gzip where it is asked for") {
  const std::string page(100'000, 'a');
  http_server server{[&](const std::string& head) {
    CHECK(head.find("Accept-Encoding: gzip") != std::string::npos);
    return http_server::ok(gzip(page), "Content-Encoding: gzip\r\n");
  }};
  setup s;
  auto options = to(server.url());
  options.gzip = compression::on;
  CHECK(s.get(options).body == page);
  fetch_request request; // the bound is on what comes out
  request.body_bytes_max = 50'000;
  CHECK(s.get(options, std::move(request)).failure == fetch_failure::body_size);
}

TEST_CASE("a compressed page is one whole stream, whoever asked for it") {
  const std::string page = "a 100000040\nb 2\n";
  const auto whole = gzip(page);
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
  std::string answer;
  http_server server{[&](const std::string&) { return answer; }};
  server.closes = true;
  setup s;
  const auto slot = s.fetch->open(to(server.url())).value(); // loopback: gzip was not asked for
  const auto get = [&](std::string bytes) {
    answer = std::move(bytes);
    return s.get(slot);
  };
  CHECK(get(head + whole).body == page);
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    const auto r = get(head + whole.substr(0, cut));
    INFO("cut after " << cut << " of " << whole.size() << " bytes");
    REQUIRE(r.failure == fetch_failure::other);
    REQUIRE(r.body.empty());
    REQUIRE(r.error == "the answer is incomplete: its compressed data ends before its end");
  }
  // Two members are one page, also where one of them is cut or nothing.
  CHECK(get(head + gzip("a 1\n") + gzip("b 2\n")).body == "a 1\nb 2\n");
  CHECK(get(head + whole + gzip("c 3\n").substr(0, 12)).failure == fetch_failure::other);
  CHECK(get(head + gzip("") + whole + gzip("")).body == page);
  CHECK(get(head + gzip("")).error.empty());
  // What is damaged, and what follows.
  for (const auto at : {whole.size() - 1, whole.size() - 5, std::size_t{12}, std::size_t{0}}) {
    auto damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    INFO("flipped at " << at);
    CHECK(get(head + damaged).failure == fetch_failure::other);
  }
  CHECK(get(head + whole + "\n").failure == fetch_failure::other);
  CHECK(get(head + whole + std::string(8, '\0')).failure == fetch_failure::other);
  CHECK(get(head + page).error == "the answer's compressed data is damaged: incorrect header check");
  // A length or chunks do not make a cut stream whole.
  const auto cut = whole.substr(0, whole.size() / 2);
  CHECK(get(http_server::ok(cut, "Content-Encoding: gzip\r\n")).failure == fetch_failure::other);
}

TEST_CASE("the answer's header says how it is encoded") {
  const std::string page = "a 1\n";
  std::string headers;
  std::string bytes;
  http_server server{[&](const std::string&) { return http_server::ok(bytes, headers); }};
  setup s;
  const auto slot = s.fetch->open(to(server.url())).value();
  const auto get = [&](std::string header, std::string body) {
    headers = std::move(header);
    bytes = std::move(body);
    return s.get(slot);
  };
  CHECK(get("content-encoding: GZip\r\n", gzip(page)).body == page);
  CHECK(get("Content-Encoding: x-gzip\r\n", gzip(page)).body == page);
  CHECK(get("Content-Encoding: , identity ,gzip\r\n", gzip(page)).body == page);
  CHECK(get("Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", gzip(page)).body == page);
  CHECK(get("Content-Encoding: identity\r\n", page).body == page);
  CHECK(get("Content-Encoding:\r\n", page).body == page);
  CHECK(get("", gzip(page)).body == gzip(page)); // a page of its own kind, for the parser to refuse
  std::string zlib(100, '\0');
  auto size = static_cast<uLongf>(zlib.size());
  REQUIRE(compress(reinterpret_cast<Bytef*>(zlib.data()), &size, reinterpret_cast<const Bytef*>(page.data()),
                   static_cast<uLong>(page.size()))
          == Z_OK);
  zlib.resize(size);
  CHECK(get("Content-Encoding: deflate\r\n", zlib).body == page);
  CHECK(get("Content-Encoding: deflate\r\n", zlib.substr(0, size - 1)).failure == fetch_failure::other);
  CHECK(get("Content-Encoding: deflate\r\n", zlib + zlib).failure == fetch_failure::other);
  CHECK(get("Content-Encoding: br\r\n", page).error
        == "the answer's Content-Encoding 'br' is not understood; it may be gzip, deflate or identity");
  CHECK(
      get("Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n", gzip(gzip(page))).error
      == "the answer's Content-Encoding 'gzip, gzip' is not understood; it may be gzip, deflate or identity");
  CHECK(get("Content-Encoding: br\r\n", "").failure == fetch_failure::other); // also of nothing
  CHECK(get("Content-Encoding: gzip\r\n", "").failure == fetch_failure::other);
  CHECK(get("Transfer-Encoding: gzip, chunked\r\n", gzip(page)).failure == fetch_failure::other);
}

TEST_CASE("compressed bytes without end are bounded as pages are") {
  std::string bytes;
  http_server server{
      [&](const std::string&) { return http_server::ok(bytes, "Content-Encoding: gzip\r\n"); }};
  setup s;
  const auto slot = s.fetch->open(to(server.url())).value();
  const auto get = [&] {
    fetch_request request;
    request.body_bytes_max = 100'000;
    return s.get(slot, std::move(request));
  };
  bytes = gzip(std::string(100'000, 'a'));
  CHECK(get().body.size() == 100'000);
  bytes = gzip(std::string(100'001, 'a'));
  CHECK(get().failure == fetch_failure::body_size);
  bytes = gzip(std::string(64 << 20, 'a'));
  CHECK(get().failure == fetch_failure::body_size);
  bytes.clear();
  for (const auto nothing = gzip(""); bytes.size() < 200'000;)
    bytes += nothing;
  CHECK(get().failure == fetch_failure::body_size);
}

TEST_CASE("a plain page ends where it says, or with a line feed") {
  std::string answer;
  http_server server{[&](const std::string&) { return answer; }};
  server.closes = true;
  setup s;
  const auto slot = s.fetch->open(to(server.url())).value();
  const auto get = [&](std::string bytes) {
    answer = std::move(bytes);
    return s.get(slot);
  };
  const std::string page = "a 1\nb 100000040\n";
  // With a length, and in chunks: cut anywhere it is refused.
  const auto measured = http_server::ok(page);
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na 1\nb\r\nb\r\n "
                              "100000040\n\r\n0\r\n\r\n";
  for (const auto& whole : {measured, chunked}) {
    REQUIRE(get(whole).body == page);
    for (auto cut = whole.find("\r\n\r\n") + 4; cut < whole.size(); ++cut) {
      if (cut == whole.size() - 1 && whole == chunked)
        break; // nothing is missing but the line feed of the last chunk, which libcurl can do without
      const auto r = get(whole.substr(0, cut));
      INFO("cut after " << cut << " of " << whole.size() << " bytes");
      REQUIRE(r.failure == fetch_failure::other);
      REQUIRE(r.error.starts_with("the answer is incomplete: "));
      REQUIRE(r.body.empty());
    }
  }
  CHECK(get(http_server::ok("a 1\nb 2")).body == "a 1\nb 2"); // it has a length
  const std::string head = "HTTP/1.0 200 OK\r\n\r\n";
  CHECK(get(head + page).body == page);
  for (const auto* cut : {"", "a", "a 1\nb", "a 1\nb 100"}) {
    INFO(cut);
    CHECK(get(head + cut).error
          == "the answer is incomplete: it has no length, and its connection was closed within a line");
  }
}

TEST_CASE("pages without end share one budget, and do not stop small pages") {
  constexpr std::size_t budget = 8 << 20;
  std::string chunk(1 << 20, '1');
  chunk.insert(0, "100000\r\n");
  chunk.append("\r\n");
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  // Each answers with far more than the budget; the small one only once the others have sent that.
  http_server endless{[&](const std::string&) {
    auto out = head;
    for (int i = 0; i < 64; ++i)
      out += chunk;
    return out;
  }};
  http_server small{[](const std::string&) { return http_server::ok("a 1\n"); }};
  prometheus::Registry registry;
  const auto fetch = fetcher::start(registry, budget).value();
  std::vector<fetch_slot_ptr> slots;
  std::mutex mutex;
  std::vector<std::string> errors;
  for (int i = 0; i < 8; ++i) {
    slots.push_back(fetch->open(to(endless.url())).value());
    REQUIRE(fetch->fetch(slots.back(), {}, [&](fetch_response r) {
      const std::lock_guard lock{mutex};
      CHECK(r.failure == fetch_failure::body_size);
      CHECK(r.body.empty());
      errors.push_back(r.error);
    }));
  }
  const auto slot = fetch->open(to(small.url())).value();
  for (std::size_t done = 0; done != 8;) {
    std::promise<fetch_response> answer;
    auto future = answer.get_future();
    REQUIRE(fetch->fetch(slot, {}, [&](fetch_response r) { answer.set_value(std::move(r)); }));
    const auto r = future.get();
    REQUIRE(r.error.empty());
    REQUIRE(r.body == "a 1\n");
    REQUIRE(r.charge.bytes() >= r.body.size());
    const std::lock_guard lock{mutex};
    done = errors.size();
  }
  CHECK(std::any_of(errors.begin(), errors.end(), [](const auto& error) {
    return error.find("collect.pages_bytes_max") != std::string::npos;
  }));
}

TEST_CASE("answered pages count until they are taken in, and one alone always fits") {
  constexpr std::size_t budget = 1 << 20;
  http_server server{[](const std::string&) { return http_server::ok(std::string(900'000, 'a')); }};
  prometheus::Registry registry;
  const auto fetch = fetcher::start(registry, budget).value();
  const auto get = [&](const fetch_slot_ptr& slot, std::size_t bytes_max) {
    std::promise<fetch_response> answer;
    auto future = answer.get_future();
    fetch_request request;
    request.body_bytes_max = bytes_max;
    REQUIRE(
        fetch->fetch(slot, std::move(request), [&](fetch_response r) { answer.set_value(std::move(r)); }));
    return future.get();
  };
  const auto first = fetch->open(to(server.url())).value();
  const auto second = fetch->open(to(server.url())).value();
  {
    const auto kept = get(first, 0);
    CHECK(kept.error.empty());
    CHECK(get(second, 0).error.find("collect.pages_bytes_max") != std::string::npos);
  }
  CHECK(get(second, 0).error.empty());
  http_server large{[](const std::string&) { return http_server::ok(std::string(3'000'000, 'a')); }};
  const auto third = fetch->open(to(large.url())).value();
  CHECK(get(third, 0).error == "the page is larger than body_size_limit (1048576 bytes)");
  CHECK(get(third, 3'000'000).body.size() == 3'000'000);
}

TEST_CASE("an answer that is no page is not taken in") {
  std::string answer;
  http_server server{[&](const std::string&) { return answer; }};
  setup s;
  const auto slot = s.fetch->open(to(server.url())).value();
  for (const auto* status : {"204 No Content", "206 Partial Content", "404 Not Found", "500 Oops"}) {
    answer = std::string{"HTTP/1.1 "} + status + "\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\n"
             + (std::string_view{status}.starts_with("204") ? "" : "a 1\n");
    const auto r = s.get(slot);
    INFO(status);
    CHECK(r.failure == fetch_failure::status);
    CHECK(r.error == std::string{"server returned HTTP status "} + std::string{status}.substr(0, 3));
    CHECK(r.body.empty());
  }
  answer = "HTTP/1.1 503 Busy\r\nContent-Length: 10000000\r\n\r\n" + std::string(10'000'000, 'x');
  CHECK(s.get(slot).error == "server returned HTTP status 503");
}

TEST_CASE("chunked pages, and pages that end with the connection") {
  setup s;
  http_server chunked{[](const std::string&) {
    return std::string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na 1\r\n3\r\n\nb "
                       "\r\n2\r\n2\n\r\n0\r\n\r\n"};
  }};
  CHECK(s.get(to(chunked.url())).body == "a 1\nb 2\n");
}

TEST_CASE("a page over the limit is cut off, not taken in") {
  http_server server{[](const std::string&) { return http_server::ok(std::string(1 << 20, 'a')); }};
  setup s;
  const auto slot = s.fetch->open(to(server.url())).value();
  fetch_request request;
  request.body_bytes_max = 1000;
  const auto r = s.get(slot, std::move(request));
  CHECK(r.failure == fetch_failure::body_size);
  CHECK(r.error == "the page is larger than body_size_limit (1000 bytes)");
  CHECK(r.body.empty());
  CHECK(s.get(slot).body.size() == 1 << 20);
}

TEST_CASE("what goes wrong is told apart") {
  setup s;
  http_server silent{[](const std::string&) { return std::string{}; }};
  fetch_request quick;
  quick.timeout = 50ms;
  const auto late = s.get(to(silent.url()), std::move(quick));
  CHECK(late.failure == fetch_failure::timeout);
  CHECK(late.error == "no complete page within 50 ms");

  http_server missing{[](const std::string&) {
    return std::string{"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"};
  }};
  const auto gone = s.get(to(missing.url()));
  CHECK(gone.failure == fetch_failure::status);
  CHECK(gone.status == 404);
  CHECK(gone.body.empty());

  http_server garbage{[](const std::string&) {
    std::string noise(5000, '\x01');
    noise.append("\r\n\r\n"); // not with +: GCC 12 warns about memory that is not touched
    return noise;
  }};
  fetch_request short_wait;
  short_wait.timeout = 500ms;
  CHECK(s.get(to(garbage.url()), std::move(short_wait)).failure != fetch_failure::none);

  int port = 0;
  {
    http_server closed{[](const std::string&) { return std::string{}; }};
    port = closed.port();
  }
  CHECK(s.get(to("http://127.0.0.1:" + std::to_string(port) + "/")).failure == fetch_failure::connect);
  CHECK(s.get(to("file:///etc/passwd")).failure == fetch_failure::other);
}

TEST_CASE("redirects are followed, or not") {
  http_server server{[](const std::string& head) {
    if (head.starts_with("GET /old"))
      return std::string{"HTTP/1.1 302 Found\r\nLocation: /new\r\nContent-Length: 5\r\n\r\nmoved"};
    return http_server::ok("new\n");
  }};
  setup s;
  CHECK(s.get(to(server.url("/old"))).body == "new\n");
  auto stay = to(server.url("/old"));
  stay.follow_redirects = false;
  CHECK(s.get(stay).status == 302);
}

TEST_CASE("credentials go along a redirect to the same host, and to no other") {
  std::mutex mutex;
  std::vector<std::string> heads;
  const auto page = [&](const std::string& head) {
    const std::lock_guard lock{mutex};
    heads.push_back(head);
    return http_server::ok("a 1\n");
  };
  const auto moved = [](const std::string& where) {
    return "HTTP/1.1 307 Moved\r\nLocation: " + where + "\r\nContent-Length: 0\r\n\r\n";
  };
  http_server end{page};
  http_server secure_end{page, true};
  const auto by_name = [](const http_server& server) {
    return "http://localhost:" + std::to_string(server.port());
  };
  http_server back{[&](const std::string&) { return moved(end.url("/again")); }};
  http_server first{[&](const std::string& head) {
    if (head.starts_with("GET /here"))
      return moved("/end");
    if (head.starts_with("GET /port"))
      return moved(end.url("/end"));
    if (head.starts_with("GET /scheme"))
      return moved("https://127.0.0.1:" + std::to_string(secure_end.port()) + "/end");
    if (head.starts_with("GET /name"))
      return moved(by_name(end) + "/end"); // another name of the same machine is another host
    if (head.starts_with("GET /there"))
      return moved(by_name(back) + "/back");
    if (head.starts_with("GET /loop"))
      return moved("/loop");
    if (head.starts_with("GET /nowhere"))
      return std::string{"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"};
    if (head.starts_with("GET /file"))
      return moved("file:///etc/passwd");
    return page(head);
  }};
  setup s;
  for (const bool basic : {false, true}) {
    const std::string wanted =
        basic ? "\r\nAuthorization: Basic dXNlcjpwYXNz\r\n" : "\r\nAuthorization: Bearer secret\r\n";
    const auto sent = [&](const std::string& path) {
      auto options = to(first.url(path));
      options.basic_auth = basic;
      options.username = "user";
      options.password = "pass";
      if (!basic)
        options.authorization = "Bearer secret";
      options.insecure_skip_verify = true;
      const auto slot = s.fetch->open(options).value();
      heads.clear();
      for (int i = 0; i < 2; ++i) { // the second begins at the target again
        const auto r = s.get(slot);
        INFO(path << ": " << r.error);
        CHECK(r.body == "a 1\n");
      }
      CHECK(heads.size() == 2);
      return std::all_of(heads.begin(), heads.end(),
                         [&](const auto& head) { return head.find(wanted) != std::string::npos; })
                 ? "all"
             : std::none_of(heads.begin(), heads.end(),
                            [](const auto& head) { return head.find("Authorization") != std::string::npos; })
                 ? "none"
                 : "some";
    };
    CHECK(sent("/metrics") == std::string{"all"});
    CHECK(sent("/here") == std::string{"all"});
    CHECK(sent("/port") == std::string{"all"});
    CHECK(sent("/scheme") == std::string{"all"});
    CHECK(sent("/name") == std::string{"none"});
    CHECK(sent("/there") == std::string{"none"}); // nor any more when that host points back
  }
  CHECK(s.get(to(first.url("/loop"))).error == "more than 10 redirects");
  CHECK(s.get(to(first.url("/nowhere"))).status == 302);
  CHECK(s.get(to(first.url("/file"))).failure != fetch_failure::none);
}

TEST_CASE("TLS: the target proves who it is") {
  http_server server{[](const std::string&) { return http_server::ok("a 1\n"); }, true};
  auto text = (std::filesystem::temp_directory_path() / "skerry_tls_XXXXXX").string();
  REQUIRE(mkdtemp(text.data()) != nullptr);
  const std::filesystem::path folder{text};
  std::ofstream{folder / "ca.pem"} << server.certificate_pem();
  setup s;
  CHECK(s.get(to(server.url())).failure == fetch_failure::tls);
  auto options = to(server.url());
  options.insecure_skip_verify = true;
  CHECK(s.get(options).body == "a 1\n");
  options.insecure_skip_verify = false;
  options.ca_file = folder / "ca.pem";
  CHECK(s.get(options).body == "a 1\n");
  options.tls_min_version = "TLS13";
  CHECK(s.get(options).body == "a 1\n");
  // By address the certificate does not fit, unless the name is given.
  options.url = "https://127.0.0.1:" + std::to_string(server.port()) + "/metrics";
  CHECK(s.get(options).failure == fetch_failure::tls);
  options.server_name = "named.test";
  CHECK(s.get(options).body == "a 1\n");
  options.server_name = "other.test";
  CHECK(s.get(options).failure == fetch_failure::tls);
  std::filesystem::remove_all(folder);
}

TEST_CASE("one request at a time for a target, and every one is answered when the fetcher stops") {
  http_server silent{[](const std::string&) { return std::string{}; }};
  auto s = std::make_unique<setup>();
  std::vector<fetch_slot_ptr> slots;
  std::atomic<int> answers{0};
  for (int i = 0; i < 20; ++i) {
    slots.push_back(s->fetch->open(to(silent.url())).value());
    REQUIRE(s->fetch->fetch(slots.back(), {}, [&](const fetch_response& r) {
      answers += r.failure == fetch_failure::other ? 1 : 0;
    }));
  }
  CHECK(s->fetch->fetch(slots.back(), {}, [](auto) {}).error().code == errc::conflict);
  s->fetch.reset();
  CHECK(answers == 20);
}

TEST_CASE("many targets at once, from several threads") {
  http_server server{
      [](const std::string& head) { return http_server::ok(head.substr(4, head.find(' ', 4) - 4)); }};
  setup s;
  std::atomic<int> good{0};
  std::atomic<int> all{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const auto path = "/" + std::to_string(t) + "/" + std::to_string(i);
        auto slot = s.fetch->open(to(server.url(path))).value();
        const auto started = s.fetch->fetch(slot, {}, [&, path](const fetch_response& r) {
          good += r.body == path ? 1 : 0;
          ++all;
        });
        if (!started)
          ++all;
      }
    });
  for (auto& thread : threads)
    thread.join();
  for (const auto until = std::chrono::steady_clock::now() + 20s;
       all != 200 && std::chrono::steady_clock::now() < until;)
    std::this_thread::yield();
  CHECK(good == 200);
}
