#include "tests/edge/collect/scrape/http_server.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdexcept>
#include <sys/socket.h>
#include <unistd.h>

namespace skerry::test {

namespace {

SSL_CTX* make_tls(std::string& pem) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* cert = X509_new();
  X509_set_version(cert, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
  X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
  X509_set_pubkey(cert, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(cert, X509_get_subject_name(cert));
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:localhost,DNS:named.test");
  X509_add_ext(cert, names, -1);
  X509_EXTENSION_free(names);
  X509_sign(cert, key, EVP_sha256());
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(out, cert);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(out, &data);
  pem.assign(data, static_cast<std::size_t>(size));
  BIO_free(out);
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  SSL_CTX_use_certificate(context, cert);
  SSL_CTX_use_PrivateKey(context, key);
  X509_free(cert);
  EVP_PKEY_free(key);
  return context;
}

} // namespace

http_server::http_server(handler handle, bool tls) : handle_(std::move(handle)) {
  if (tls)
    tls_ = make_tls(certificate_pem_);
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 128) != 0
      || getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error{"the test server can't listen"};
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread{[this] { accept_all(); }};
}

http_server::~http_server() {
  stopping_ = true;
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock{mutex_};
    for (const int fd : open_)
      shutdown(fd, SHUT_RDWR);
  }
  for (auto& thread : threads_)
    thread.join();
  close(listener_);
  SSL_CTX_free(tls_);
}

std::string http_server::url(const std::string& path) const {
  return (tls_ != nullptr ? "https://localhost:" : "http://127.0.0.1:") + std::to_string(port_) + path;
}

std::string http_server::ok(const std::string& body, const std::string& headers) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n" + headers
         + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

void http_server::accept_all() {
  for (;;) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0 || stopping_) {
      if (fd >= 0)
        close(fd);
      return;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ++connections_;
    const std::lock_guard lock{mutex_};
    open_.push_back(fd);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void http_server::serve(int fd) {
  sigset_t pipe; // SSL_write gives no other way
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  SSL* ssl = nullptr;
  bool good = true;
  if (tls_ != nullptr) {
    ssl = SSL_new(tls_);
    SSL_set_fd(ssl, fd);
    good = SSL_accept(ssl) == 1;
  }
  std::string in;
  char chunk[4096];
  while (good) {
    const auto n = ssl != nullptr ? static_cast<ssize_t>(SSL_read(ssl, chunk, sizeof chunk))
                                  : recv(fd, chunk, sizeof chunk, 0);
    if (n <= 0)
      break;
    in.append(chunk, static_cast<std::size_t>(n));
    for (auto end = in.find("\r\n\r\n"); end != std::string::npos && good; end = in.find("\r\n\r\n")) {
      const auto answer = handle_(in.substr(0, end + 4));
      in.erase(0, end + 4);
      for (std::size_t sent = 0; sent < answer.size() && good;) {
        const auto w = ssl != nullptr ? static_cast<ssize_t>(
                           SSL_write(ssl, answer.data() + sent, static_cast<int>(answer.size() - sent)))
                                      : send(fd, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
        good = w > 0;
        sent += good ? static_cast<std::size_t>(w) : 0;
      }
      good = good && !closes;
    }
  }
  SSL_free(ssl);
  const std::lock_guard lock{mutex_};
  open_.erase(std::find(open_.begin(), open_.end(), fd));
  close(fd);
}

} // namespace skerry::test
