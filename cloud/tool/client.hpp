#pragma once

// The operator's tool's way to the cloud: HTTP over TCP or over the operator's Unix socket, one request at a
// time.

#include "schemas/error.hpp"

#include <nlohmann/json_fwd.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace skerry::cloud {

using form = std::vector<std::pair<std::string, std::string>>;

struct endpoint {
  std::string url;                   // "http://127.0.0.1:7480"; over a socket only its path counts
  std::filesystem::path unix_socket; // empty: TCP
  std::string bearer_token;          // a secret; empty: none
  std::string node = "cloud";        // which kind it is, for messages

  [[nodiscard]] std::string name() const; // for messages
};

class api_client {
public:
  explicit api_client(endpoint to, std::chrono::milliseconds timeout = std::chrono::seconds{10});
  ~api_client();
  api_client(const api_client&) = delete;
  api_client& operator=(const api_client&) = delete;

  // The `data` of the answer. unavailable: nobody answers there (the message says what to try); forbidden:
  // the socket can't be opened, or the answer is 401 or 403; what else the server refuses has its own
  // message; malformed: the answer is not the API's.
  [[nodiscard]] result<nlohmann::json> get(std::string_view path, const form& parameters = {});
  [[nodiscard]] result<nlohmann::json> post(std::string_view path, const form& parameters = {});
  // What the last answer of get() or post() said besides, "warning: …" or "info: …"; data that is not complete is named
  // there.
  [[nodiscard]] const std::vector<std::string>& remarks() const noexcept { return remarks_; }
  // Status and body as they are, for answers that are no JSON.
  [[nodiscard]] result<std::pair<long, std::string>> get_text(std::string_view path);

private:
  [[nodiscard]] result<std::pair<long, std::string>> exchange(std::string_view path, const form* body);
  [[nodiscard]] result<nlohmann::json> unwrap(result<std::pair<long, std::string>> answer);
  [[nodiscard]] std::string encode(const form& parameters) const;
  std::vector<std::string> remarks_;
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace skerry::cloud
