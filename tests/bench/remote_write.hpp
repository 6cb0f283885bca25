#pragma once

// A remote write 1.0 request, built by hand: protobuf in a snappy frame of literals. For loading other systems with
// the same samples; blocking, one connection, one thread.

#include "schemas/error.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace skerry::bench {

class remote_write_body {
public:
  void add(const labels& all, std::span<const std::int64_t> times_ms, std::span<const double> values);
  [[nodiscard]] std::string snappy() const;
  [[nodiscard]] std::size_t bytes() const noexcept { return plain_.size(); }
  void clear() { plain_.clear(); }

private:
  std::string plain_;
  std::string series_;
  std::string part_;
};

class remote_write_client {
public:
  // Of http://HOST:PORT/PATH; HOST is an IPv4 address.
  [[nodiscard]] static result<remote_write_client> connect(std::string_view url);
  ~remote_write_client();
  remote_write_client(remote_write_client&& other) noexcept;
  remote_write_client& operator=(remote_write_client&&) = delete;

  // Any 2xx; everything else is a failure with the answer's body. A connection that was closed is made anew, once:
  // servers end long ones.
  [[nodiscard]] result<void> post(const std::string& body);

private:
  remote_write_client() = default;
  [[nodiscard]] result<void> open();
  [[nodiscard]] result<void> exchange(const std::string& request);
  std::string host_;
  std::string path_;
  int socket_ = -1;
};

} // namespace skerry::bench
