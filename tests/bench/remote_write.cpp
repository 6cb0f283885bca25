#include "tests/bench/remote_write.hpp"

#include <arpa/inet.h>
#include <bit>
#include <charconv>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

namespace skerry::bench {

namespace {

void put_varint(std::string& to, std::uint64_t v) {
  while (v >= 0x80) {
    to += static_cast<char>(v | 0x80);
    v >>= 7;
  }
  to += static_cast<char>(v);
}

void put_bytes(std::string& to, char tag, std::string_view bytes) {
  to += tag;
  put_varint(to, bytes.size());
  to += bytes;
}

constexpr char tag_first_bytes = 0x0a;
constexpr char tag_second_bytes = 0x12;
constexpr char tag_first_double = 0x09;
constexpr char tag_second_varint = 0x10;
constexpr std::size_t literal_max = 1 << 16;
constexpr char literal_two_bytes = static_cast<char>(61 << 2);

} // namespace

void remote_write_body::add(const labels& all, std::span<const std::int64_t> times_ms,
                            std::span<const double> values) {
  series_.clear();
  for (const auto& l : all) {
    part_.clear();
    put_bytes(part_, tag_first_bytes, l.name);
    put_bytes(part_, tag_second_bytes, l.value);
    put_bytes(series_, tag_first_bytes, part_);
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    part_.clear();
    part_ += tag_first_double;
    const auto bits = std::bit_cast<std::uint64_t>(values[i]);
    part_.append(reinterpret_cast<const char*>(&bits), sizeof bits);
    part_ += tag_second_varint;
    put_varint(part_, static_cast<std::uint64_t>(times_ms[i]));
    put_bytes(series_, tag_second_bytes, part_);
  }
  put_bytes(plain_, tag_first_bytes, series_);
}

std::string remote_write_body::snappy() const {
  std::string out;
  put_varint(out, plain_.size());
  for (std::size_t at = 0; at < plain_.size(); at += literal_max) {
    const auto piece = std::string_view{plain_}.substr(at, literal_max);
    out += literal_two_bytes;
    out += static_cast<char>((piece.size() - 1) & 0xff);
    out += static_cast<char>((piece.size() - 1) >> 8);
    out += piece;
  }
  return out;
}

result<remote_write_client> remote_write_client::connect(std::string_view url) {
  constexpr std::string_view scheme = "http://";
  if (url.starts_with(scheme))
    url.remove_prefix(scheme.size());
  const auto slash = url.find('/');
  if (slash == std::string_view::npos)
    return fail(errc::invalid_argument, "the address is not of the form http://127.0.0.1:PORT/PATH");
  remote_write_client made;
  made.host_ = url.substr(0, slash);
  made.path_ = url.substr(slash);
  BOOST_OUTCOME_TRYV(made.open());
  return made;
}

result<void> remote_write_client::open() {
  const auto colon = host_.find(':');
  int port = 0;
  if (colon != std::string::npos)
    std::from_chars(host_.data() + colon + 1, host_.data() + host_.size(), port);
  if (socket_ >= 0)
    ::close(socket_);
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::inet_pton(AF_INET, host_.substr(0, colon).c_str(), &to.sin_addr) != 1
      || ::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
    return fail(errc::unavailable, "cannot connect to " + host_);
  return ok();
}

remote_write_client::~remote_write_client() {
  if (socket_ >= 0)
    ::close(socket_);
}

remote_write_client::remote_write_client(remote_write_client&& other) noexcept
    : host_(std::move(other.host_)),
      path_(std::move(other.path_)),
      socket_(std::exchange(other.socket_, -1)) {}

result<void> remote_write_client::post(const std::string& body) {
  const auto request = "POST " + path_ + " HTTP/1.1\r\nHost: " + host_
                       + "\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n"
                         "X-Prometheus-Remote-Write-Version: 0.1.0\r\nContent-Length: "
                       + std::to_string(body.size()) + "\r\n\r\n" + body;
  if (auto done = exchange(request); done || done.error().code != errc::unavailable)
    return done;
  BOOST_OUTCOME_TRYV(open());
  return exchange(request);
}

result<void> remote_write_client::exchange(const std::string& request) {
  for (std::size_t sent = 0; sent < request.size();) {
    const auto n = ::send(socket_, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n <= 0)
      return fail(errc::unavailable, host_ + " closed the connection");
    sent += static_cast<std::size_t>(n);
  }
  // Answers are short: the head, then content-length bytes.
  std::string answer;
  char piece[4096];
  for (;;) {
    if (const auto end = answer.find("\r\n\r\n"); end != std::string::npos) {
      std::size_t length = 0;
      for (const auto* name : {"Content-Length: ", "content-length: "})
        if (const auto at = answer.find(name); at < end)
          std::from_chars(answer.data() + at + std::strlen(name), answer.data() + end, length);
      if (answer.size() >= end + 4 + length) {
        if (answer.size() > 9 && answer[9] == '2')
          return ok();
        return fail(errc::io, host_ + " answered: " + answer.substr(0, 12) + ' ' + answer.substr(end + 4));
      }
    }
    const auto n = ::recv(socket_, piece, sizeof piece, 0);
    if (n <= 0)
      return fail(errc::unavailable, host_ + " closed the connection");
    answer.append(piece, static_cast<std::size_t>(n));
  }
}

} // namespace skerry::bench
