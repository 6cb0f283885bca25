#pragma once

// Prometheus' JSON envelope: {"status":"success","data":…} or {"status":"error","errorType":…,"error":…}.

#include "actors/http/server.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace skerry::api {

enum class api_errc : std::uint8_t {
  bad_data,
  execution,
  canceled,
  timeout,
  internal,
  unavailable,
  not_found,
  forbidden,
  conflict
};

struct api_error {
  api_errc type = api_errc::internal;
  std::string message;
};

[[nodiscard]] std::string_view to_string(api_errc type) noexcept; // "bad_data"
[[nodiscard]] unsigned status_of(api_errc type) noexcept;         // 400
[[nodiscard]] api_error to_api_error(const error& e); // for failures without a meaning of their own

// `data` is JSON already.
[[nodiscard]] http::response success(std::string_view data, const std::vector<std::string>& warnings = {});
[[nodiscard]] http::response failure(const api_error& e);
[[nodiscard]] http::response plain_text(unsigned status, std::string text);

// Builds a success around data that is appended in place: one buffer, no copy of a large answer.
[[nodiscard]] std::string begin_success();
[[nodiscard]] http::response end_success(std::string body, const std::vector<std::string>& warnings = {},
                                         const std::vector<std::string>& infos = {});
// The same at the end of what is written in pieces.
void append_end(std::string& out, const std::vector<std::string>& warnings = {},
                const std::vector<std::string>& infos = {});

} // namespace skerry::api
