#include "cloud/tool/client.hpp"

#include "actors/base/http_body.hpp"

#include <curl/curl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace skerry::cloud {

using nlohmann::json;

namespace {

constexpr std::size_t answer_bytes_max = std::size_t{1} << 30;
constexpr long connect_timeout_ms = 5'000;

// A proxy from the environment is for the world, not for this machine.
bool is_this_machine(std::string_view url) noexcept {
  const auto host = url.substr(std::min(url.find("//"), url.size()));
  return host.starts_with("//127.") || host.starts_with("//localhost") || host.starts_with("//[::1]");
}

struct received {
  CURL* curl = nullptr;
  http_body decoder;
  std::string body;
  bool too_long = false;
};

std::size_t keep(char* data, std::size_t size, std::size_t count, void* into) {
  auto& answer = *static_cast<received*>(into);
  const bool taken = answer.decoder.take(answer.curl, {data, size * count}, [&](std::string_view piece) {
    answer.too_long = piece.size() > answer_bytes_max - answer.body.size();
    if (!answer.too_long)
      answer.body.append(piece);
    return !answer.too_long;
  });
  return taken ? size * count : 0; // 0: curl ends with a write error
}

} // namespace

struct api_client::impl {
  endpoint to;
  std::chrono::milliseconds timeout;
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl{curl_easy_init(), curl_easy_cleanup};
};

std::string endpoint::name() const { return unix_socket.empty() ? url : unix_socket.string(); }

api_client::api_client(endpoint to, std::chrono::milliseconds timeout) : impl_(std::make_unique<impl>()) {
  impl_->to = std::move(to);
  impl_->timeout = timeout;
  while (impl_->to.url.ends_with('/'))
    impl_->to.url.pop_back();
}

api_client::~api_client() = default;

std::string api_client::encode(const form& parameters) const {
  std::string out;
  for (const auto& [name, value] : parameters) {
    if (!out.empty())
      out += '&';
    for (const auto* part : {&name, &value}) {
      const std::unique_ptr<char, decltype(&curl_free)> escaped{
          curl_easy_escape(impl_->curl.get(), part->data(), static_cast<int>(part->size())), curl_free};
      out += escaped ? escaped.get() : "";
      if (part == &name)
        out += '=';
    }
  }
  return out;
}

result<std::pair<long, std::string>> api_client::exchange(std::string_view path, const form* body) {
  auto* curl = impl_->curl.get();
  if (!curl)
    return fail(errc::io, "libcurl can't be set up");
  const auto& to = impl_->to;
  if (!to.unix_socket.empty() && ::access(to.unix_socket.c_str(), R_OK | W_OK) != 0) {
    const auto why = errno;
    if (why == EACCES || why == EPERM)
      return fail(errc::forbidden,
                  fmt::format("cannot open {}: {}; run as the user of skerry-cloud, or with sudo",
                              to.unix_socket.string(), std::strerror(why)));
    return fail(
        errc::unavailable,
        fmt::format("cannot reach {}: {}; is skerry-{} running? Try `systemctl status skerry-{}`, or name "
                    "its directory with --data or its socket with --socket",
                    to.unix_socket.string(), std::strerror(why), to.node, to.node));
  }
  curl_easy_reset(curl);
  const auto url = to.url + std::string{path};
  received answer;
  answer.curl = curl;
  std::string posted = body ? encode(*body) : std::string{};
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(impl_->timeout.count()));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, connect_timeout_ms);
  curl_easy_setopt(curl, CURLOPT_HTTP_CONTENT_DECODING, 0L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers{
      curl_slist_append(nullptr, http_body::accept_gzip), curl_slist_free_all};
  if (!to.unix_socket.empty())
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, to.unix_socket.c_str());
  if (is_this_machine(to.url))
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
  if (!to.bearer_token.empty()) {
    const auto header = "Authorization: Bearer " + to.bearer_token;
    if (curl_slist_append(headers.get(), header.c_str()) == nullptr)
      return fail(errc::exhausted, "libcurl has no memory for a request");
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  if (body) {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, posted.c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(posted.size()));
  }
  const auto code = curl_easy_perform(curl);
  switch (code) {
  case CURLE_OK: break;
  case CURLE_COULDNT_CONNECT:
  case CURLE_COULDNT_RESOLVE_HOST:
  case CURLE_COULDNT_RESOLVE_PROXY:
  case CURLE_GOT_NOTHING:
  case CURLE_RECV_ERROR:
  case CURLE_SEND_ERROR:
    return fail(errc::unavailable,
                fmt::format("cannot reach {}: {}; is skerry-{} running? Try `systemctl status skerry-{}`, or "
                            "name its address with --url",
                            to.name(), curl_easy_strerror(code), to.node, to.node));
  case CURLE_OPERATION_TIMEDOUT:
    return fail(
        errc::unavailable,
        fmt::format(
            "{} gave no answer in {} s; try again, ask for less, or (query) wait longer with --timeout",
            to.name(), impl_->timeout.count() / 1'000));
  default:
    return fail(errc::io, fmt::format("asking {} failed: {}", to.name(),
                                      answer.too_long ? fmt::format("its answer is longer than {} bytes",
                                                                    answer_bytes_max)
                                      : answer.decoder.error().empty() ? curl_easy_strerror(code)
                                                                       : answer.decoder.error()));
  }
  if (!answer.decoder.finish(curl))
    return fail(errc::io, fmt::format("asking {} failed: {}", to.name(), answer.decoder.error()));
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return std::pair{status, std::move(answer.body)};
}

result<json> api_client::unwrap(result<std::pair<long, std::string>> answer) {
  remarks_.clear();
  if (!answer)
    return answer.error();
  const auto& [status, body] = answer.value();
  auto parsed = json::parse(body, nullptr, false);
  const bool envelope = parsed.is_object() && parsed.contains("status");
  if (envelope && parsed["status"] == "success" && parsed.contains("data")) {
    for (const auto* kind : {"warning", "info"})
      if (const auto said = parsed.find(fmt::format("{}s", kind)); said != parsed.end() && said->is_array())
        for (const auto& one : *said)
          if (one.is_string())
            remarks_.push_back(fmt::format("{}: {}", kind, one.get_ref<const std::string&>()));
    return std::move(parsed["data"]);
  }
  std::string why = "no reason given";
  if (envelope && parsed.contains("error") && parsed["error"].is_string())
    why = parsed["error"].get<std::string>();
  if (status == 401 || status == 403)
    return fail(errc::forbidden,
                fmt::format("{} refuses this (HTTP {}): {}; use the operator's socket or --token-file",
                            impl_->to.name(), status, why));
  if (envelope)
    return fail(status == 503   ? errc::unavailable
                : status == 404 ? errc::not_found
                                : errc::invalid_argument,
                why);
  return fail(
      status == 404 ? errc::not_found : errc::malformed,
      fmt::format("{} does not answer as Skerry's cloud node does (HTTP {}); is it the right address?",
                  impl_->to.name(), status));
}

result<json> api_client::get(std::string_view path, const form& parameters) {
  auto target = std::string{path};
  if (!parameters.empty())
    target += '?' + encode(parameters);
  return unwrap(exchange(target, nullptr));
}

result<json> api_client::post(std::string_view path, const form& parameters) {
  return unwrap(exchange(path, &parameters));
}

result<std::pair<long, std::string>> api_client::get_text(std::string_view path) {
  return exchange(path, nullptr);
}

} // namespace skerry::cloud
