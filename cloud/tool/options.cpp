#include "cloud/tool/options.hpp"

#include "cloud/tool/table.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sys/stat.h>

namespace skerry::cloud {

namespace {

constexpr std::size_t token_bytes_max = 4'096;

result<std::string> read_token(const std::filesystem::path& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0)
    return fail(errc::not_found,
                fmt::format("cannot read the token file {}: {}", file.string(), std::strerror(errno)));
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return fail(errc::forbidden, fmt::format("the token file {} can be read by others; run `chmod 600 {}`",
                                             file.string(), file.string()));
  std::ifstream in{file};
  std::string token(token_bytes_max, '\0');
  in.read(token.data(), static_cast<std::streamsize>(token.size()));
  token.resize(static_cast<std::size_t>(in.gcount()));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' '))
    token.pop_back();
  if (token.empty() || token.find_first_of("\r\n") != std::string::npos)
    return fail(errc::invalid_argument, fmt::format("the token file {} must hold one line", file.string()));
  return token;
}

// Over a Unix socket the host name in the URL only has to pass the server's check of Host.
constexpr const char* socket_url = "http://localhost";

} // namespace

result<endpoint> global_options::for_reading() const {
  const std::string node = edge ? "edge" : "cloud";
  endpoint to{url, {}, {}, node};
  if (!url_given && (socket_given || (data_given && token_file.empty())))
    return endpoint{socket_url, socket.empty() ? data / "operator.sock" : socket, {}, node};
  if (!token_file.empty()) {
    BOOST_OUTCOME_TRY(token, read_token(token_file));
    to.bearer_token = std::move(token);
  }
  return to;
}

result<endpoint> global_options::for_changing() const {
  const std::string node = edge ? "edge" : "cloud";
  if (!token_file.empty() && !socket_given) {
    BOOST_OUTCOME_TRY(token, read_token(token_file));
    return endpoint{url, {}, std::move(token), node};
  }
  return endpoint{socket_url, socket.empty() ? data / "operator.sock" : socket, {}, node};
}

int report(const error& e) {
  // A message may quote what came from elsewhere.
  fmt::print(stderr, "skerry: {}\n", printable(e.message));
  return e.code == errc::unavailable ? exit_unreachable : exit_failure;
}

} // namespace skerry::cloud
