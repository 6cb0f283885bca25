// Runs the real binary against a cloud node that has only memory behind it.

#include "cloud/tool/format.hpp"
#include "tests/cloud/api/test_cloud.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <spawn.h>
#include <sstream>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

using namespace skerry;
using namespace skerry::cloud;
using nlohmann::json;
using skerry::cloud::test::test_cloud;

namespace {

struct outcome {
  int code = -1;
  std::string out;
  std::string err;
};

std::string read_file(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream{file}.rdbuf();
  return text.str();
}

class tool {
public:
  explicit tool(const test_cloud* cloud) : cloud_(cloud) {}

  // Starts `skerry ARGUMENTS`; stdout goes to a file with mode 0600.
  pid_t start(std::vector<std::string> arguments, mode_t mode = 0600) const {
    arguments.insert(arguments.begin(), SKERRY_TOOL);
    std::vector<char*> argv;
    for (auto& a : arguments)
      argv.push_back(a.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    std::filesystem::remove(out());
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, out().c_str(), O_CREAT | O_WRONLY | O_TRUNC, mode);
    posix_spawn_file_actions_addopen(&files, 2, err().c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    pid_t child = 0;
    REQUIRE(::posix_spawn(&child, SKERRY_TOOL, &files, nullptr, argv.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&files);
    return child;
  }
  outcome finish(pid_t child) const {
    int state = 0;
    REQUIRE(::waitpid(child, &state, 0) == child);
    return {WIFEXITED(state) ? WEXITSTATUS(state) : 1'000 + WTERMSIG(state), read_file(out()),
            read_file(err())};
  }
  outcome plain(std::vector<std::string> arguments, mode_t mode = 0600) const {
    return finish(start(std::move(arguments), mode));
  }
  // With the test cloud's address and socket.
  [[nodiscard]] std::vector<std::string> aimed(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--url", cloud_->url(), "--socket", cloud_->socket()});
    return arguments;
  }
  outcome run(std::vector<std::string> arguments, mode_t mode = 0600) const {
    return plain(aimed(std::move(arguments)), mode);
  }

  [[nodiscard]] std::filesystem::path out() const { return directory.path() / "out"; }
  [[nodiscard]] std::filesystem::path err() const { return directory.path() / "err"; }
  test::temporary_directory directory;

private:
  const test_cloud* cloud_;
};

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

} // namespace

TEST_CASE("invite prints the token alone") {
  test_cloud cloud;
  const tool skerry{&cloud};
  const auto made = skerry.run({"invite", "--site", "north", "--ttl", "1h"});
  CHECK(made.code == 0);
  CHECK(made.out == "skerry1.secret0\n");
  CHECK(has(made.err, "Invite for site north, valid until 2023-11-14T23:13:20.000Z"));
  CHECK_FALSE(has(made.err, "secret"));
  CHECK_FALSE(has(made.err, "chmod"));
  CHECK(has(skerry.run({"invite", "--site", "north"}, 0644).err, "chmod 600"));

  const auto again = json::parse(
      skerry.run({"invite", "--site", "north", "--edge", "00c0ffee00c0ffee", "--output", "json"}).out);
  CHECK(again[0]["edge"] == "00c0ffee00c0ffee");
  CHECK(again[0]["token"] == "skerry1.secret2");
}

TEST_CASE("invites from a file: all names are checked before the first is made") {
  test_cloud cloud;
  const tool skerry{&cloud};
  const auto csv = skerry.directory.path() / "sites.csv";
  std::ofstream{csv} << "\xEF\xBB\xBFsite,where\r\nnorth,60\r\n\n# old\n\"south\",-60\nwest\n";
  const auto made = skerry.run({"invite", "--from", csv.string(), "--output", "json"});
  CHECK(made.code == 0);
  const auto all = json::parse(made.out);
  REQUIRE(all.size() == 3);
  CHECK(all[0]["site"] == "north");
  CHECK(all[1]["site"] == "south");
  CHECK(all[2]["token"] == "skerry1.secret2");
  CHECK(has(skerry.run({"invite", "--from", csv.string()}).out, "west   20"));

  std::ofstream{csv} << "good\nnot good\n";
  const auto refused = skerry.run({"invite", "--from", csv.string()});
  CHECK(refused.code == 1);
  CHECK(has(refused.err, "sites.csv:2: \"not good\" can't be a site's name"));
  CHECK(cloud.node.made.size() == 6);

  std::ofstream{csv} << "a\nb\nc\n";
  cloud.node.invites_max = 8;
  const auto partly = skerry.run({"invite", "--from", csv.string(), "--output", "json"});
  CHECK(partly.code == 1);
  CHECK(json::parse(partly.out).size() == 2); // those made are not lost
  CHECK(has(partly.err, "too many open invites"));
  CHECK(has(partly.err, "stopped at site c; 2 invites were made before"));
}

TEST_CASE("sites, revoke, hosts") {
  test_cloud cloud;
  const tool skerry{&cloud};
  const auto sites = skerry.run({"sites"});
  CHECK(sites.code == 0);
  CHECK(has(sites.out, "SITE     EDGE              LINK       LAST HEARD"));
  CHECK(has(sites.out, "harbour  00c0ffee00c0ffee  connected"));
  CHECK(json::parse(skerry.run({"sites", "-o", "json"}).out).size() == 2);
  CHECK(has(skerry.run({"hosts"}).out, "harbour  a        507"));
  CHECK(json::parse(skerry.run({"hosts", "--site", "island", "-o", "json"}).out).empty());

  const auto revoked = skerry.run({"sites", "revoke", "00c0ffee00c0ffee"});
  CHECK(revoked.code == 0);
  CHECK(has(revoked.err, "Edge 00c0ffee00c0ffee is revoked"));
  CHECK(has(skerry.run({"sites"}).out, "revoked"));
  const auto unknown = skerry.run({"sites", "revoke", "1234123412341234"});
  CHECK(unknown.code == 1);
  CHECK(has(unknown.err, "no edge 1234123412341234"));
}

TEST_CASE("times from now on") {
  CHECK(absolute_time("now", 1000) == "1000.000");
  CHECK(absolute_time("now-5m", 1000) == "700.000");
  CHECK(absolute_time("now+1h30m", 1000) == "6400.000");
  CHECK(absolute_time("-500ms", 1000) == "999.500");
  for (const auto* text :
       {"", "1699999990", "1.5", "2026-01-02T03:00:00Z", "nowish", "now-", "-", "-1", "+1h", "now 5m"})
    CHECK(absolute_time(text, 1000) == text);
  test_cloud cloud;
  const tool skerry{&cloud};
  CHECK(skerry.run({"query", "up", "--start", "-1h", "--end", "now-5m", "--step", "1m"}).code == 0);
  CHECK(skerry.run({"query", "up", "--time", "now-1h"}).code == 0);
  CHECK(skerry.run({"query", "up", "--start=-1h"}).code == 0);
}

TEST_CASE("query") {
  test_cloud cloud;
  const tool skerry{&cloud};
  const auto now = skerry.run({"query", "up{host=\"a\"}"});
  CHECK(now.code == 0);
  CHECK(now.out
        == "SERIES                           TIME                      VALUE\n"
           "up{host=\"a\", job=\"p\", site=\"s\"}  2023-11-14T22:13:20.000Z      1\n");
  CHECK(has(skerry.run({"query", "load"}).out, "load{host=\"a<\\u001b[31m\"}"));
  CHECK(has(skerry.run({"query", "up{host=\"a\"}", "--time", "1699999990"}).out,
            "2023-11-14T22:13:10.000Z      0"));
  const auto range = skerry.run(
      {"query", "up{host=\"a\"}", "--start", "1699999990", "--end", "1700000000", "--step", "10s"});
  CHECK(has(range.out, "2023-11-14T22:13:10.000Z      0\n"));
  CHECK(has(range.out, "2023-11-14T22:13:20.000Z      1\n"));
  CHECK(json::parse(skerry.run({"query", "1e21", "-o", "json"}).out)["result"][1]
        == "1000000000000000000000");
  CHECK(has(skerry.run({"query", "\"text\""}).out, "text"));
  const auto wrong = skerry.run({"query", "up{"});
  CHECK(wrong.code == 1);
  CHECK(has(wrong.err, "1:4: parse error: unexpected end of input inside braces"));
  const auto none = skerry.run({"query", "nope"});
  CHECK(none.code == 0);
  CHECK(none.out.empty());
  CHECK(has(none.err, "No series match"));
}

TEST_CASE("status, once and watched") {
  test_cloud cloud;
  const tool skerry{&cloud};
  const auto once = skerry.run({"status"});
  CHECK(once.code == 0);
  CHECK(has(once.out, ": ready\n"));
  CHECK(
      has(once.out, "harbour      1     507       33.8           0  connected  complete           3 MiB\n"));
  CHECK(has(once.out, "12 (4 KiB)"));
  CHECK(json::parse(skerry.run({"status", "-o", "json"}).out)["ready"] == true);
  cloud.node.is_ready = false;
  const auto busy = skerry.run({"status"});
  CHECK(busy.code == 1);
  CHECK(has(busy.out, "the log is being read"));

  const auto watched = skerry.run({"status", "--watch", "--interval", "100ms", "--for", "250ms"});
  CHECK(watched.code == 0);
  CHECK(has(watched.out, "site=harbour hosts=1 series=507"));
  CHECK_FALSE(has(watched.out, "\x1b"));
  // Nothing changes: each site stands there once.
  CHECK(watched.out.find("site=harbour") == watched.out.rfind("site=harbour"));
}

TEST_CASE("a watch ends cleanly with Ctrl-C") {
  test_cloud cloud;
  const tool skerry{&cloud};
  const auto child = skerry.start(skerry.aimed({"status", "--watch", "--interval", "1h"}));
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds{20};
  while (read_file(skerry.out()).empty() && std::chrono::steady_clock::now() < give_up)
    std::this_thread::yield();
  ::kill(child, SIGINT);
  CHECK(skerry.finish(child).code == 0);
}

TEST_CASE("a node that is not there") {
  const tool skerry{nullptr};
  const auto url = skerry.plain({"sites", "--url", "http://127.0.0.1:1"});
  CHECK(url.code == 3);
  CHECK(has(url.err, "cannot reach http://127.0.0.1:1"));
  CHECK(has(url.err, "is skerry-cloud running? Try"));
  const auto socket = skerry.plain({"invite", "--site", "a", "--data", skerry.directory.path().string()});
  CHECK(socket.code == 3);
  CHECK(has(socket.err, "operator.sock: No such file or directory; is skerry-cloud running?"));
  CHECK(skerry.plain({"status", "--watch", "--for", "1ms", "--url", "http://127.0.0.1:1"}).code == 3);
}

TEST_CASE("state is changed with a token where there is no socket") {
  test_cloud cloud;
  const tool skerry{&cloud};
  const auto file = skerry.directory.path() / "token";
  std::ofstream{file} << "not-the-token\n";
  ::chmod(file.c_str(), 0644);
  const std::vector<std::string> ask{"invite",    "--site",       "a",          "--url",
                                     cloud.url(), "--token-file", file.string()};
  const auto open = skerry.plain(ask);
  CHECK(open.code == 1);
  CHECK(has(open.err, "can be read by others; run `chmod 600"));
  ::chmod(file.c_str(), 0600);
  const auto refused = skerry.plain(ask); // this cloud knows no token
  CHECK(refused.code == 1);
  CHECK(has(refused.err, "refuses this"));
  CHECK_FALSE(has(refused.err, "not-the-token"));
  CHECK(cloud.node.made.empty());
}

TEST_CASE("usage") {
  const tool skerry{nullptr};
  CHECK(skerry.plain({"version"}).out == "skerry " SKERRY_VERSION "\n");
  CHECK(skerry.plain({}).code == 2);
  CHECK(skerry.plain({"nonsense"}).code == 2);
  const auto mistyped = skerry.plain({"--url", "http://127.0.0.1:1", "invit", "--help"});
  CHECK(mistyped.code == 2);
  CHECK(has(mistyped.err, "there is no command 'invit'; did you mean 'invite'?"));
  CHECK(has(skerry.plain({"sites", "revok", "00c0ffee00c0ffee"}).err, "did you mean 'revoke'?"));
  CHECK(skerry.plain({"invite"}).code == 2);
  CHECK(skerry.plain({"invite", "--site", "a", "--from", "b"}).code == 2);
  CHECK(skerry.plain({"invite", "--site", "a/b"}).code == 2);
  CHECK(skerry.plain({"invite", "--site", "a", "--ttl", "soon"}).code == 2);
  CHECK(skerry.plain({"sites", "revoke", "12"}).code == 2);
  CHECK(skerry.plain({"query", "up", "--step", "1s"}).code == 2);
  CHECK(skerry.plain({"query", "up", "--time", "1", "--start", "1"}).code == 2);
  CHECK(skerry.plain({"status", "--for", "1s"}).code == 2);
  CHECK(skerry.plain({"sites", "-o", "xml"}).code == 2);
  for (const auto* command : {"invite", "sites", "hosts", "query", "status", "check", "version"}) {
    const auto help = skerry.plain({command, "--help"});
    CHECK(help.code == 0);
    CHECK(has(help.out, "Examples:"));
    CHECK(has(help.out, "Exit codes: 0 done"));
  }
}

TEST_CASE("check config hands the file to the node that it is for") {
  // Beside a copy of the tool stand two programs that say what they were asked.
  const tool skerry{nullptr};
  const auto& here = skerry.directory.path();
  const auto copy = here / "skerry";
  std::filesystem::copy_file(SKERRY_TOOL, copy);
  for (const auto* name : {"skerry-edge", "skerry-cloud"}) {
    std::ofstream{here / name} << "#!/bin/sh\necho \"$(basename \"$0\") $*\"\nexit "
                               << (name[7] == 'e' ? 0 : 1) << "\n";
    ::chmod((here / name).c_str(), 0755);
  }
  std::ofstream{here / "a.yaml"} << "scrape_configs: []\n";
  std::ofstream{here / "b.yaml"} << "retention: 30d\n";
  std::ofstream{here / "c.yaml"} << "log: {}\n";
  const auto run = [&](const std::string& arguments) {
    const auto command = copy.string() + " check config " + arguments + " > " + skerry.out().string() + " 2> "
                         + skerry.err().string();
    const auto state = std::system(command.c_str());
    return outcome{WEXITSTATUS(state), read_file(skerry.out()), read_file(skerry.err())};
  };
  const auto path = [&](const char* name) { return (here / name).string(); };
  const auto edge = run(path("a.yaml"));
  CHECK(edge.code == 0);
  CHECK(edge.out == "skerry-edge run --check-config --config " + path("a.yaml") + "\n");
  const auto both = run(path("a.yaml") + " " + path("b.yaml"));
  CHECK(both.code == 1);
  CHECK(has(both.err, "skerry-cloud run --check-config --config " + path("b.yaml")));
  const auto unclear = run(path("c.yaml")); // only the edge takes it
  CHECK(unclear.code == 0);
  CHECK(has(unclear.out, "skerry-edge run"));
  CHECK(run("--kind edge " + path("c.yaml")).code == 0);
  const auto missing = run(path("nope.yaml"));
  CHECK(missing.code == 1);
  CHECK(has(missing.err, "cannot read"));
  // A mistyped key is shown by whoever knows a near one.
  std::ofstream{here / "d.yaml"} << "colect: {}\n";
  std::ofstream{here / "skerry-edge"}
      << "#!/bin/sh\necho 'd.yaml:1: colect: did you mean collect?' >&2; exit 1\n";
  std::ofstream{here / "skerry-cloud"} << "#!/bin/sh\necho 'd.yaml:1: colect: unknown key' >&2; exit 1\n";
  const auto mistyped = run(path("d.yaml"));
  CHECK(mistyped.code == 1);
  CHECK(has(mistyped.err, "did you mean collect?"));
  CHECK_FALSE(has(mistyped.err, "unknown key"));
  std::filesystem::remove(here / "skerry-edge");
  const auto gone = run("--kind edge " + path("c.yaml"));
  CHECK((gone.code == 1 || has(gone.out, "ok"))); // unless one is installed in PATH
}
