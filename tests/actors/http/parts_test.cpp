#include "actors/http/compress.hpp"
#include "actors/http/guard.hpp"
#include "actors/http/listen.hpp"
#include "actors/http/router.hpp"
#include "actors/http/url.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace skerry;
using namespace skerry::http;

TEST_CASE("escapes are decoded, and bad ones refused", "[http]") {
  CHECK(percent_decode("a%20b+c%2F", plus::literal).value() == "a b+c/");
  CHECK(percent_decode("a%20b+c%2f", plus::is_space).value() == "a b c/");
  CHECK(percent_decode("%00", plus::literal).value() == std::string(1, '\0'));
  for (const auto* bad : {"%", "%2", "%zz", "a%1", "%-1", "100%"})
    CHECK(percent_decode(bad, plus::literal).error().code == errc::malformed);
}

TEST_CASE("every byte survives escaping", "[http]") {
  std::string all;
  std::string escaped;
  for (int i = 0; i < 256; ++i) {
    all += static_cast<char>(i);
    static constexpr std::string_view hex = "0123456789ABCDEF";
    escaped += {'%', hex[i / 16], hex[i % 16]};
  }
  CHECK(percent_decode(escaped, plus::is_space).value() == all);
}

TEST_CASE("parameters keep their order and repetitions", "[http]") {
  parameter_list list;
  REQUIRE(decode_parameters("match[]=up%7B%7D&&match%5B%5D=a+b&empty=&bare&x=1=2", list));
  CHECK(
      list
      == parameter_list{{"match[]", "up{}"}, {"match[]", "a b"}, {"empty", ""}, {"bare", ""}, {"x", "1=2"}});
  CHECK(!decode_parameters("a=%", list));
  parameter_list many;
  std::string text;
  for (std::size_t i = 0; i <= parameters_max; ++i)
    text += "a&";
  CHECK(!decode_parameters(text, many));
  CHECK(many.size() == parameters_max);
}

TEST_CASE("request targets", "[http]") {
  CHECK(split_target("/a/b?c=d?e").value().path == "/a/b");
  CHECK(split_target("/a/b?c=d?e").value().query == "c=d?e");
  CHECK(split_target("http://h:1/p?q").value().path == "/p");
  CHECK(split_target("http://h:1/p?q").value().authority == "h:1");
  CHECK(split_target("/a").value().authority.empty());
  CHECK(!split_target("*"));
  CHECK(!split_target(""));
  CHECK(!split_target("http://h"));
}

TEST_CASE("routes: exact, one segment captured, HEAD as GET, 404 and 405", "[http]") {
  const router routes{{{"GET", "/api/v1/query", right::read, {}},
                       {"POST", "/api/v1/query", right::read, {}},
                       {"GET", "/api/v1/label/{}/values", right::read, {}},
                       {"DELETE", "/thing/{}", right::administer, {}}}};
  const auto find = [&](std::string_view method, std::string_view path) {
    return routes.find(method, path).value();
  };
  CHECK(find("GET", "/api/v1/query").found->method == "GET");
  CHECK(find("HEAD", "/api/v1/query").found->method == "GET");
  CHECK(find("POST", "/api%2Fv1/quer%79").found->method == "POST");
  CHECK(find("PUT", "/api/v1/query").found == nullptr);
  CHECK(find("PUT", "/api/v1/query").allow == "GET, HEAD, POST");
  CHECK(find("GET", "/api/v1/query/").found == nullptr);
  CHECK(find("GET", "/api/v1/query/").allow.empty());
  CHECK(find("GET", "/nothing").pattern == "unknown");
  CHECK(find("GET", "/api/v1/label/a%2Fb/values").capture == "a/b");
  CHECK(find("GET", "/api/v1/label/a%2Fb/values").pattern == "/api/v1/label/{}/values");
  CHECK(find("GET", "/api/v1/label/a/b/values").found == nullptr);
  CHECK(find("GET", "/api/v1/label//values").found == nullptr);
  CHECK(find("DELETE", "/thing/x").found->needs == right::administer);
  CHECK(!routes.find("GET", "/%"));
}

TEST_CASE("prefix routes: the longest wins, exact ones and those with a hole go before", "[http]") {
  const router routes{{{"GET", "/*", right::read, {}},
                       {"GET", "/console/*", right::read, {}},
                       {"GET", "/console/assets/*", right::read, {}},
                       {"GET", "/console/{}", right::read, {}},
                       {"POST", "/console/login", right::push, {}},
                       {"GET", "/console", right::read, {}}}};
  const auto pattern = [&](std::string_view path) { return routes.find("GET", path).value().pattern; };
  const auto capture = [&](std::string_view path) { return routes.find("GET", path).value().capture; };
  CHECK(pattern("/") == "/*");
  CHECK(pattern("/other/thing") == "/*");
  CHECK(capture("/other/thing") == "other/thing");
  CHECK(pattern("/console") == "/console");
  CHECK(pattern("/console/") == "/console/*");
  CHECK(capture("/console/").empty());
  CHECK(pattern("/console/x") == "/console/{}");
  CHECK(pattern("/console/x/") == "/console/*");
  CHECK(capture("/console/x/y%20z") == "x/y z");
  CHECK(pattern("/console/assets/a.js") == "/console/assets/*");
  CHECK(capture("/console/assets/a.js") == "a.js");
  CHECK(pattern("/consolex/y") == "/*");
  // The path decides, then the method: a GET does not fall through to a prefix.
  CHECK(routes.find("GET", "/console/login").value().found == nullptr);
  CHECK(routes.find("GET", "/console/login").value().allow == "POST");
  CHECK(routes.find("HEAD", "/console/a/b").value().found != nullptr);
  for (const auto* bad : {"/console/../etc", "/console/a/..", "/console/%2e%2e/x", "/console/.%2E/x",
                          "/console/./x", "/console/a//b", "/console//a", "/console/a%2fb/c",
                          "/console/a%5Cb/c", "/console/a%00/c", "/console/a%0a/c", "/console/a/%"}) {
    INFO(bad);
    CHECK_FALSE(routes.find("GET", bad));
  }
}

TEST_CASE("prefix routes: what is found is below the prefix, whatever is asked for", "[http]") {
  const std::vector<std::string> stems{"/", "/a/", "/a/b/", "/a/b/c/", "/b/"};
  std::vector<route> all{{"GET", "/a/b/c", right::read, {}}, {"GET", "/a/{}/x", right::read, {}}};
  for (const auto& stem : stems)
    all.emplace_back("GET", stem + "*", right::read, handler{});
  const router routes{all};
  const std::vector<std::string> pieces{"a",  "b",   "c",   "x",   "/",   "/", "/",  ".",
                                        "..", "%2e", "%2F", "%5c", "%61", "%", "%00"};
  for (unsigned seed = 0; seed < 20'000; ++seed) {
    std::mt19937 random{seed};
    std::string path = "/";
    for (auto count = random() % 8; count > 0; --count)
      path += pieces[random() % pieces.size()];
    INFO("seed " << seed << ": " << path);
    const auto got = routes.find("GET", path);
    if (!got)
      continue; // refused
    REQUIRE(got.value().found != nullptr);
    const std::string pattern{got.value().pattern};
    if (!pattern.ends_with("/*"))
      continue;
    const auto stem = pattern.substr(0, pattern.size() - 1);
    REQUIRE(path.starts_with(stem));
    for (const auto& other : stems)
      REQUIRE((!path.starts_with(other) || other.size() <= stem.size()));
    const auto& capture = got.value().capture;
    REQUIRE(percent_decode(path, plus::literal).value() == stem + capture);
    REQUIRE(("/" + capture + "/").find("/../") == std::string::npos);
    REQUIRE(("/" + capture + "/").find("/./") == std::string::npos);
    REQUIRE(capture.find_first_of(std::string_view{"\\\0", 2}) == std::string::npos);
    REQUIRE(capture.find("//") == std::string::npos);
  }
}

TEST_CASE("the guard: whom a proxy speaks for", "[http]") {
  server_config config;
  config.bearer_token = "correct-horse";
  peer near;
  near.loopback = true;
  near.address = "127.0.0.1";
  peer far;
  far.address = "10.1.2.3";
  const auto ask = [](const guard& g, const peer& from, forwarding by, std::string_view auth = "") {
    return g.check(from, true, "127.0.0.1:7480", "", auth, right::read, by);
  };
  const guard none{config};
  for (const auto* header :
       {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "via", "x-real-ip"})
    CHECK(is_proxy_header(header));
  CHECK_FALSE(is_proxy_header("x-prometheus-remote-write-version"));
  // Not trusted: refused on loopback, whatever it says; the token is a right of its own.
  CHECK(ask(none, near, {}).who.subject == "this machine");
  for (const auto* chain : {"", "127.0.0.1", "8.8.8.8"}) {
    CHECK(ask(none, near, {true, chain}).status == 403);
    CHECK(ask(none, near, {true, chain}).message.find("http.trusted_proxies") != std::string_view::npos);
    CHECK(ask(none, near, {true, chain}, "Bearer correct-horse").who.subject == "bearer token");
    CHECK(ask(none, near, {true, chain}, "Bearer wrong").status == 401);
    CHECK(ask(none, far, {true, chain}).status == 401); // no better than without
  }
  config.allow_remote_unauthenticated = true;
  config.trusted_proxies = {"127.0.0.1", "10.0.0.0/8", "fd00::/8"};
  const guard some{config};
  const auto who = [&](const peer& from, const char* chain) {
    return ask(some, from, {true, chain}).who.subject;
  };
  for (const auto* chain :
       {"127.0.0.2", "127.0.0.2, 10.9.9.9", "::1,fd00::7", "8.8.8.8, [::1]:80", "\"127.0.0.9:4711\""}) {
    INFO(chain);
    CHECK(who(near, chain) == "this machine");
    CHECK(who(far, chain) == "this machine");
  }
  for (const auto* chain : {"", "8.8.8.8", "127.0.0.2, 8.8.8.8", "127.0.0.2, 8.8.8.8, 10.1.1.1", "127.0.0.2,",
                            "unknown", "127.0.0.2, _hidden", "10.1.1.1", "127.0.0.1/8"}) {
    INFO(chain);
    CHECK(who(near, chain) == "another machine");
  }
  peer other;
  other.address = "11.1.1.1";
  CHECK(who(other, "127.0.0.2") == "another machine");      // not trusted: what it says counts nothing
  CHECK(ask(some, near, {}).who.subject == "this machine"); // asked by the proxy's machine itself
  for (const auto* bad : {"", "x", "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0.0/8x", "10.0.0"}) {
    config.trusted_proxies = {bad};
    CHECK_FALSE(config.validate());
  }
}

TEST_CASE("the guard: Host, Origin, token, right", "[http]") {
  server_config config;
  config.listen = "10.1.2.3:7480";
  config.bearer_token = "correct-horse";
  config.hosts_allowed = {"skerry.example", "Other.Example:80"};
  const guard g{config};
  peer near;
  near.loopback = true;
  near.local_address = "127.0.0.1";
  peer far;
  far.local_address = "10.9.9.9";
  const auto status = [&](const peer& from, std::string_view host, std::string_view origin = "",
                          std::string_view auth = "", right needs = right::read) {
    return g.check(from, true, host, origin, auth, needs).status;
  };
  for (const auto* host : {"localhost", "LOCALHOST:7480", "localhost.:1", "127.0.0.1:7480", "127.9.9.9",
                           "[::1]:7480", "10.1.2.3", "skerry.example:9", "other.example"})
    CHECK(status(near, host) == 200);
  for (const auto* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::1", "::1",
                           "a:b", ":80", "10.9.9.9", "localhost@evil.example", " "})
    CHECK(status(near, host) == 403);
  CHECK(status(near, "") == 400);
  CHECK(g.check(near, false, "", "", "", right::read).status == 200); // HTTP/1.0
  CHECK(status(near, "localhost:1", "http://localhost:1") == 200);
  CHECK(status(near, "localhost:1", "http://localhost:2") == 403);
  CHECK(status(near, "localhost:1", "http://evil.example") == 403);
  CHECK(status(near, "localhost:1", "null") == 403);
  CHECK(status(far, "10.9.9.9:1") == 401);
  CHECK(status(far, "10.9.9.9:1", "", "Bearer correct-horse") == 200);
  CHECK(status(far, "10.9.9.9:1", "", "bearer correct-horse") == 200);
  CHECK(status(far, "10.9.9.9:1", "", "Bearer correct-hors") == 401);
  CHECK(status(far, "10.9.9.9:1", "", "Bearer correct-horsf") == 401);
  CHECK(status(near, "localhost", "", "Bearer wrong") == 401);
  CHECK(status(near, "localhost", "", "", right::administer) == 403);
  CHECK(status(near, "localhost", "", "Bearer correct-horse", right::administer) == 200);
  CHECK(g.check(near, true, "localhost", "", "Bearer correct-horse", right::read).who.subject
        == "bearer token");
  CHECK(g.check(near, true, "localhost", "", "", right::read).who.subject == "this machine");
  peer socket;
  socket.unix_socket = true;
  CHECK(status(socket, "anything") == 403);
  socket.own_user = true;
  CHECK(status(socket, "anything", "", "", right::administer) == 200);
  CHECK(g.check(socket, true, "x", "", "", right::administer).who.subject == "operator socket");

  config.hosts_allowed = {"*"};
  config.bearer_token.clear();
  config.allow_remote_unauthenticated = true;
  const guard open{config};
  CHECK(open.check(far, true, "evil.example", "", "", right::read).status == 200);
  CHECK(open.check(far, true, "evil.example", "", "Bearer ", right::administer).status == 403);
  CHECK(open.check(far, true, "evil.example", "", "", right::read).who.subject == "another machine");
}

TEST_CASE("the guard: which rights each kind of client has", "[http]") {
  peer near;
  near.loopback = true;
  near.local_address = "127.0.0.1";
  peer far;
  far.local_address = "10.1.2.3";
  peer socket;
  socket.unix_socket = socket.own_user = true;
  server_config config;
  const guard no_token{config};
  config.bearer_token = "correct-horse";
  const guard token{config};
  config.allow_remote_unauthenticated = true;
  const guard flag{config};
  const std::string_view bearer = "Bearer correct-horse";
  struct row {
    const guard& of;
    const peer& from;
    std::string_view auth;
    std::string_view subject;
    rights may;
    unsigned otherwise; // the status of what it may not
  };
  const rights local{right::read, right::push};
  for (const auto& [of, from, auth, subject, may, otherwise] :
       {row{no_token, near, "", "this machine", local, 403}, row{token, near, "", "this machine", local, 403},
        row{flag, near, "", "this machine", local, 403},
        row{no_token, far, "", "another machine", {right::read}, 403},
        row{flag, far, "", "another machine", {right::read}, 403}, row{token, far, "", "", {}, 401},
        row{token, far, bearer, "bearer token", rights::every(), 0},
        row{token, near, bearer, "bearer token", rights::every(), 0},
        row{no_token, socket, "", "operator socket", rights::every(), 0}})
    for (const auto needs : {right::read, right::push, right::name_site, right::operate, right::administer}) {
      const auto host = from.local_address.empty() ? std::string{"x"} : from.local_address;
      const auto got = of.check(from, true, host, "", auth, needs);
      INFO(subject << " " << to_string(needs));
      CHECK(got.status == (may.has(needs) ? 200 : otherwise));
      if (got.status == 200)
        CHECK(got.who.subject == subject);
      if (got.status == 200)
        CHECK_FALSE(got.who.sites);
      if (got.status == 403)
        CHECK(got.message.find("the right `" + std::string{to_string(needs)} + "`")
              != std::string_view::npos);
      if (got.status == 403)
        CHECK(got.reason == "right");
    }
}

TEST_CASE("a bind beyond loopback needs a token or a flag", "[http]") {
  const auto valid = [](std::string listen, std::string token = "", bool flag = false) {
    server_config config;
    config.listen = std::move(listen);
    config.bearer_token = std::move(token);
    config.allow_remote_unauthenticated = flag;
    return config.validate();
  };
  for (const auto* near : {"127.0.0.1:0", "127.1.2.3:80", "[::1]:7480", "localhost:7480"})
    CHECK(valid(near));
  for (const auto* far : {"0.0.0.0:80", "[::]:80", ":80", "*:80", "10.0.0.1:80", "example.org:80"}) {
    INFO(far);
    const auto refused = valid(far);
    REQUIRE(!refused);
    CHECK(refused.error().message.find("http.allow_remote_unauthenticated") != std::string::npos);
    CHECK(valid(far, "token"));
    CHECK(valid(far, "", true));
  }
  for (const auto* bad :
       {"", "nothing", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:80", "a:-1"})
    CHECK(!valid(bad));
  CHECK(!valid("127.0.0.1:0", "to ken"));
}

TEST_CASE("gzip is used where it is asked for and shortens", "[http]") {
  CHECK(accepts_gzip("gzip"));
  CHECK(accepts_gzip("deflate, GZIP;q=0.5 , br"));
  CHECK(!accepts_gzip("gzip;q=0"));
  CHECK(!accepts_gzip("gzip; q=0.0"));
  CHECK(!accepts_gzip("deflate"));
  CHECK(!accepts_gzip(""));
  std::mt19937_64 random{7};
  std::string noise;
  for (int i = 0; i < 4096; ++i)
    noise += static_cast<char>(random());
  const auto before = noise;
  std::vector<std::string> more;
  CHECK(!gzip(noise, more));
  CHECK(noise == before);
}

TEST_CASE("random request pieces never crash", "[http]") {
  const char* from_environment = std::getenv("SKERRY_SEED");
  const auto seed = from_environment != nullptr ? std::stoull(from_environment) : 4711ULL;
  INFO("SKERRY_SEED=" << seed);
  std::mt19937_64 random{seed};
  server_config config;
  config.bearer_token = "t";
  const guard g{config};
  const router routes{{{"GET", "/a/{}/b", right::read, {}}, {"GET", "/", right::read, {}}}};
  static constexpr std::string_view alphabet = "%/:[]?#&=+a1.\0*bB \xff";
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (auto n = random() % 24; n != 0; --n)
      text += alphabet[random() % alphabet.size()];
    parameter_list list;
    (void)decode_parameters(text, list);
    (void)split_target(text);
    (void)routes.find("GET", text);
    (void)parse_listen(text);
    (void)accepts_gzip(text);
    (void)g.check({}, true, text, text, text, right::administer);
  }
}
