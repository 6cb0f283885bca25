// Serves a recorded sequence of scrapes as many targets (tests/bench/replay_source.hpp): GET
// /targets/<i>/metrics. Every request for a target is its next step. One thread; costs a few percent of a
// core at 100,000 samples a second.
//
// Also: GET /counts (JSON: what was served so far), GET /-/silence and /-/speak (targets answer 503, or well
// again; with ?target=<i> that one alone), GET /-/healthy, and with --journal one line per scrape served:
// target, step, time served in ns since 1970. `replay_values` computes the values of any of them again.

#include "tests/bench/replay_source.hpp"

#include <CLI/CLI.hpp>
#include <boost/asio.hpp>
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>

namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using namespace skerry::bench;

constexpr std::size_t request_bytes_max = 16 << 10;

struct target_state {
  replay_target source;
  std::uint64_t steps = 0; // handed out
  bool silent = false;
};

struct service {
  std::vector<target_state> targets;
  std::uint64_t seed = 1;
  std::chrono::microseconds jitter{0};
  std::uint64_t scrapes = 0; // written completely
  std::uint64_t samples = 0;
  std::uint64_t bytes = 0;
  std::uint64_t broken = 0; // the scraper went away before the end
  std::FILE* journal = nullptr;
};

class session : public std::enable_shared_from_this<session> {
public:
  // `only`: the target of this port, or -1 where the path names it.
  session(service& all, tcp::socket socket, int only)
      : all_(all), socket_(std::move(socket)), delay_(socket_.get_executor()), only_(only) {
    boost::system::error_code ignored;
    socket_.set_option(tcp::no_delay{true}, ignored);
  }

  void read() {
    asio::async_read_until(socket_, asio::dynamic_buffer(request_, request_bytes_max), "\r\n\r\n",
                           [self = shared_from_this()](auto failed, std::size_t n) {
                             if (!failed)
                               self->answer(n);
                           });
  }

private:
  void answer(std::size_t head_bytes) {
    const std::string_view head{request_.data(), head_bytes};
    const auto from = head.find(' ');
    const auto to = head.find(' ', from + 1);
    const auto path = head.starts_with("GET ") && to != std::string_view::npos
                          ? head.substr(from + 1, to - from - 1)
                          : std::string_view{};
    close_ = head.find("Connection: close") != std::string_view::npos
             || head.find(" HTTP/1.0\r\n") != std::string_view::npos;
    target_ = -1;
    auto status = std::string_view{"200 OK"};
    auto type = std::string_view{"text/plain; version=0.0.4; charset=utf-8"};
    const auto query = path.find('?');
    if (const auto i = target_of(path.substr(0, query));
        i >= 0 && all_.targets[static_cast<std::size_t>(i)].silent) {
      status = "503 Service Unavailable";
      body_ = "silent\n";
    } else if (i >= 0) {
      target_ = i;
      auto& target = all_.targets[static_cast<std::size_t>(i)];
      step_ = target.steps++;
      target.source.render(step_, body_);
    } else if (path == "/counts") {
      type = "application/json";
      counts();
    } else if (path.starts_with("/-/silence") || path.starts_with("/-/speak")) {
      silence(query == std::string_view::npos ? "" : path.substr(query), path.starts_with("/-/silence"));
    } else if (path == "/-/healthy") {
      body_ = "ok\n";
    } else {
      status = "404 Not Found";
      body_ = "no such path: /targets/<i>/metrics, /counts, /-/healthy\n";
    }
    header_.clear();
    fmt::format_to(std::back_inserter(header_),
                   "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}\r\n", status, type,
                   body_.size(), close_ ? "Connection: close\r\n" : "");
    request_.erase(0, head_bytes);
    if (target_ < 0 || all_.jitter.count() == 0)
      return write();
    // Hosts answer after times of their own.
    const auto random = (all_.seed + 0x9e3779b97f4a7c15 * (step_ + 1))
                        ^ (static_cast<std::uint64_t>(target_) * 0xbf58476d1ce4e5b9);
    delay_.expires_after(
        std::chrono::microseconds{(random >> 17) % static_cast<std::uint64_t>(all_.jitter.count())});
    delay_.async_wait([self = shared_from_this()](auto) { self->write(); });
  }

  void write() {
    asio::async_write(socket_, std::array{asio::buffer(header_), asio::buffer(body_)},
                      [self = shared_from_this()](auto failed, std::size_t n) { self->written(!failed, n); });
  }

  void written(bool whole, std::size_t n) {
    if (target_ >= 0) {
      all_.bytes += n;
      all_.broken += whole ? 0 : 1;
      if (whole) {
        ++all_.scrapes;
        all_.samples += all_.targets[static_cast<std::size_t>(target_)].source.series_count();
        if (all_.journal != nullptr)
          fmt::print(all_.journal, "{} {} {}\n", target_, step_,
                     std::chrono::nanoseconds{std::chrono::system_clock::now().time_since_epoch()}.count());
      }
    }
    if (whole && !close_)
      return read();
    boost::system::error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
  }

  [[nodiscard]] int target_of(std::string_view path) const {
    if (only_ >= 0)
      return path == "/metrics" ? only_ : -1;
    constexpr std::string_view prefix = "/targets/";
    if (!path.starts_with(prefix))
      return -1;
    path.remove_prefix(prefix.size());
    int i = -1;
    const auto [end, code] = std::from_chars(path.data(), path.data() + path.size(), i);
    const std::string_view rest{end, static_cast<std::size_t>(path.data() + path.size() - end)};
    return code == std::errc{} && rest == "/metrics" && i >= 0
                   && static_cast<std::size_t>(i) < all_.targets.size()
               ? i
               : -1;
  }

  void silence(std::string_view query, bool silent) {
    constexpr std::string_view prefix = "?target=";
    std::size_t only = 0;
    const bool one = query.starts_with(prefix);
    if (one)
      std::from_chars(query.data() + prefix.size(), query.data() + query.size(), only);
    for (std::size_t i = 0; i < all_.targets.size(); ++i)
      if (!one || i == only)
        all_.targets[i].silent = silent;
    body_ = "ok\n";
  }

  void counts() {
    body_.clear();
    auto to = std::back_inserter(body_);
    fmt::format_to(to,
                   R"({{"scrapes":{},"samples":{},"bytes":{},"broken":{},"targets":{},"series":{},"steps":[)",
                   all_.scrapes, all_.samples, all_.bytes, all_.broken, all_.targets.size(),
                   all_.targets.front().source.series_count());
    for (std::size_t i = 0; i < all_.targets.size(); ++i)
      fmt::format_to(to, "{}{}", i == 0 ? "" : ",", all_.targets[i].steps);
    body_ += "]}\n";
  }

  service& all_;
  tcp::socket socket_;
  asio::steady_timer delay_;
  int only_;
  std::string request_, header_, body_;
  int target_ = -1;
  std::uint64_t step_ = 0;
  bool close_ = false;
};

void accept(service& all, tcp::acceptor& on, int only) {
  on.async_accept([&all, &on, only](auto failed, tcp::socket socket) {
    if (failed == asio::error::operation_aborted)
      return;
    if (!failed)
      std::make_shared<session>(all, std::move(socket), only)->read();
    accept(all, on, only);
  });
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"Serves recorded scrapes as many targets, each with its own labels and values"};
  std::vector<std::string> files;
  std::string host = "127.0.0.1", journal, ports_file;
  std::uint16_t port = 0;
  std::uint32_t targets = 1;
  std::uint64_t seed = 1;
  unsigned jitter_ms = 3;
  bool port_per_target = false;
  app.add_option("files", files, "Scrapes in Prometheus' text format, in the order recorded")->required();
  app.add_option("--address", host, "Address to listen at (127.0.0.1)");
  app.add_option("--port", port, "Port to listen at (0: any)");
  app.add_option("--targets", targets, "How many targets (1)")->check(CLI::Range(1, 100000));
  app.add_option("--seed", seed, "Every value follows from it (1)");
  app.add_option("--jitter-ms", jitter_ms, "Answers come up to this much later (3)");
  app.add_option("--journal", journal, "Write a line per scrape served to this file");
  app.add_flag("--port-per-target", port_per_target, "A port for each target, which then serves /metrics");
  app.add_option("--ports-file", ports_file, "Write the ports there once they are open, one a line");
  CLI11_PARSE(app, argc, argv);

  auto loaded = recording::load(files);
  if (!loaded) {
    std::cerr << "replay_server: " << loaded.error().message << '\n';
    return 1;
  }
  const auto from = std::make_shared<const recording>(std::move(loaded).value());
  service all;
  all.seed = seed;
  all.jitter = std::chrono::milliseconds{jitter_ms};
  for (std::uint32_t i = 0; i < targets; ++i)
    all.targets.push_back({replay_target{from, seed, i}});
  if (!journal.empty()) {
    all.journal = std::fopen(journal.c_str(), "we");
    if (all.journal == nullptr) {
      std::cerr << "replay_server: cannot write " << journal << '\n';
      return 1;
    }
    fmt::print(all.journal, "# target step served_ns; seed={} targets={} steps={}\n", seed, targets,
               from->steps());
  }
  try {
    asio::io_context io{1};
    std::vector<tcp::acceptor> acceptors;
    const auto count = port_per_target ? targets : 1;
    acceptors.reserve(count);
    std::string ports;
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto own = static_cast<std::uint16_t>(port == 0 ? 0 : port + i);
      acceptors.emplace_back(io, tcp::endpoint{asio::ip::make_address(host), own});
      ports += fmt::format("{}\n", acceptors.back().local_endpoint().port());
      accept(all, acceptors.back(), port_per_target ? static_cast<int>(i) : -1);
    }
    if (!ports_file.empty()) {
      std::ofstream{ports_file + ".part"} << ports;
      std::rename((ports_file + ".part").c_str(), ports_file.c_str());
    }
    std::cout << fmt::format(
        "listening on {}:{}; {} targets of {} series, {} steps recorded, {} series left out, seed {}\n", host,
        acceptors.front().local_endpoint().port(), targets, all.targets.front().source.series_count(),
        from->steps(), from->series_left_out(), seed)
              << std::flush;
    asio::signal_set signals{io, SIGINT, SIGTERM};
    signals.async_wait([&io](auto, int) { io.stop(); });
    // What is in the journal is on disk soon enough for a test that reads it while we run.
    asio::steady_timer flush{io};
    std::function<void()> arm = [&] {
      flush.expires_after(std::chrono::milliseconds{200});
      flush.async_wait([&](auto failed) {
        if (failed || all.journal == nullptr)
          return;
        std::fflush(all.journal);
        arm();
      });
    };
    if (all.journal != nullptr)
      arm();
    io.run();
  } catch (const std::exception& e) {
    std::cerr << "replay_server: " << e.what() << '\n';
    return 1;
  }
  if (all.journal != nullptr)
    std::fclose(all.journal);
  return 0;
}
