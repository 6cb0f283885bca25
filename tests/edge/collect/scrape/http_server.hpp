#pragma once

// A small HTTP/1.1 server for tests: one thread a connection, keep-alive, optionally TLS with a certificate
// that it makes itself. Answers are given by a function of the request's head.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <openssl/ssl.h>
#include <string>
#include <thread>
#include <vector>

namespace skerry::test {

class http_server {
public:
  // `head` is the request up to and with the empty line. The answer is written as it is; empty: no answer,
  // the connection stays open and silent.
  using handler = std::function<std::string(const std::string& head)>;

  explicit http_server(handler handle, bool tls = false);
  ~http_server(); // closes all connections

  [[nodiscard]] int port() const noexcept { return port_; }
  [[nodiscard]] std::string url(const std::string& path = "/metrics") const;
  [[nodiscard]] const std::string& certificate_pem() const noexcept {
    return certificate_pem_;
  } // for localhost
  [[nodiscard]] int connections() const noexcept { return connections_; }

  std::atomic<bool> closes{false}; // each connection after its first answer

  // 200 with Content-Length.
  [[nodiscard]] static std::string ok(const std::string& body, const std::string& headers = "");

private:
  void accept_all();
  void serve(int fd);

  handler handle_;
  int listener_ = -1;
  int port_ = 0;
  std::string certificate_pem_;
  SSL_CTX* tls_ = nullptr;
  std::atomic<int> connections_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

} // namespace skerry::test
