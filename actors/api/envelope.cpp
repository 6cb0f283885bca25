#include "actors/api/envelope.hpp"

#include "actors/promql/json.hpp"

namespace skerry::api {

std::string_view to_string(api_errc type) noexcept {
  switch (type) {
  case api_errc::bad_data: return "bad_data";
  case api_errc::execution: return "execution";
  case api_errc::canceled: return "canceled";
  case api_errc::timeout: return "timeout";
  case api_errc::internal: return "internal";
  case api_errc::unavailable: return "unavailable";
  case api_errc::not_found: return "not_found";
  case api_errc::forbidden: return "forbidden";
  case api_errc::conflict: return "conflict";
  }
  return "internal";
}

unsigned status_of(api_errc type) noexcept {
  switch (type) {
  case api_errc::bad_data: return 400;
  case api_errc::execution: return 422;
  case api_errc::canceled:
  case api_errc::timeout:
  case api_errc::unavailable: return 503;
  case api_errc::internal: return 500;
  case api_errc::not_found: return 404;
  case api_errc::forbidden: return 403;
  case api_errc::conflict: return 409;
  }
  return 500;
}

api_error to_api_error(const error& e) {
  switch (e.code) {
  case errc::invalid_argument:
  case errc::malformed:
  case errc::unsupported: return {api_errc::bad_data, e.message};
  case errc::not_found: return {api_errc::not_found, e.message};
  case errc::exhausted: return {api_errc::execution, e.message};
  case errc::unavailable: return {api_errc::unavailable, e.message};
  case errc::timeout: return {api_errc::timeout, e.message};
  case errc::cancelled: return {api_errc::canceled, e.message};
  case errc::unauthenticated:
  case errc::forbidden: return {api_errc::forbidden, e.message};
  case errc::already_exists:
  case errc::conflict: return {api_errc::conflict, e.message};
  case errc::corrupt:
  case errc::unsupported_version:
  case errc::io: break;
  }
  return {api_errc::internal, e.message};
}

std::string begin_success() { return R"({"status":"success","data":)"; }

void append_end(std::string& body, const std::vector<std::string>& warnings,
                const std::vector<std::string>& infos) {
  const auto add = [&body](std::string_view name, const std::vector<std::string>& all) {
    if (all.empty())
      return;
    body += name;
    for (std::size_t i = 0; i < all.size(); ++i) {
      body += i == 0 ? "[" : ",";
      promql::append_string(body, all[i]);
    }
    body += ']';
  };
  add(R"(,"warnings":)", warnings);
  add(R"(,"infos":)", infos);
  body += '}';
}

http::response end_success(std::string body, const std::vector<std::string>& warnings,
                           const std::vector<std::string>& infos) {
  append_end(body, warnings, infos);
  return {200, "application/json", std::move(body), {}};
}

http::response success(std::string_view data, const std::vector<std::string>& warnings) {
  auto body = begin_success();
  body += data;
  return end_success(std::move(body), warnings);
}

http::response failure(const api_error& e) {
  std::string body = R"({"status":"error","errorType":")";
  body += to_string(e.type);
  body += R"(","error":)";
  promql::append_string(body, e.message);
  body += '}';
  http::response out{status_of(e.type), "application/json", std::move(body), {}};
  if (e.type == api_errc::unavailable)
    out.headers.emplace_back("Retry-After", "1");
  return out;
}

http::response plain_text(unsigned status, std::string text) {
  return {status, "text/plain; charset=utf-8", std::move(text), {}};
}

} // namespace skerry::api
