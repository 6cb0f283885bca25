#include "actors/base/http_client.hpp"

#include "actors/base/http_body.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <memory>

namespace skerry {

namespace {

struct body_sink {
  CURL* curl = nullptr;
  http_body decoder;
  std::string body;
  std::size_t bytes_max = 0;
  bool too_long = false;
};

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& sink = *static_cast<body_sink*>(user);
  const bool taken = sink.decoder.take(sink.curl, {data, size * count}, [&](std::string_view piece) {
    sink.too_long = piece.size() > sink.bytes_max - sink.body.size();
    if (!sink.too_long)
      sink.body.append(piece);
    return !sink.too_long;
  });
  return taken ? size * count : 0; // 0 ends the transfer
}

std::string form_of(const std::vector<std::pair<std::string, std::string>>& parameters) {
  std::string out;
  for (const auto& [name, value] : parameters) {
    if (!out.empty())
      out += '&';
    out += percent_encode(name) + "=" + percent_encode(value);
  }
  return out;
}

bool single_line(std::string_view text) {
  return text.find_first_of(std::string_view{"\r\n\0", 3}) == text.npos;
}

error failure_of(CURLcode code, const outgoing_request& request, const char* details, const body_sink& sink) {
  const auto where = request.unix_socket.empty() ? request.url : request.unix_socket;
  const std::string_view why = !sink.decoder.error().empty() ? std::string_view{sink.decoder.error()}
                               : details[0] != '\0'          ? details
                                                             : curl_easy_strerror(code);
  if (sink.too_long)
    return {errc::exhausted,
            fmt::format("the answer from {} is longer than {} bytes", where, request.body_bytes_max)};
  switch (code) {
  case CURLE_COULDNT_CONNECT:
  case CURLE_COULDNT_RESOLVE_HOST:
    return {errc::unavailable,
            fmt::format("can't reach {}: {}; is the node running, and is the address right?", where, why)};
  case CURLE_OPERATION_TIMEDOUT:
    return {errc::timeout, fmt::format("no answer from {} within {} ms", where, request.timeout.count())};
  case CURLE_URL_MALFORMAT:
  case CURLE_UNSUPPORTED_PROTOCOL:
    return {errc::invalid_argument, fmt::format("'{}' is no http:// or https:// address", request.url)};
  default: return {errc::io, fmt::format("asking {} failed: {}", where, why)};
  }
}

} // namespace

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const auto c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.'
        || c == '_' || c == '~')
      out += c;
    else
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

result<outgoing_response> send_request(const outgoing_request& request) {
  static const auto initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl{curl_easy_init(), curl_easy_cleanup};
  if (initialised != CURLE_OK || !curl)
    return fail(errc::io, "libcurl can't be started");
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };

  auto url = request.url;
  const auto form = form_of(request.parameters);
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (!form.empty() && (reads || !request.body.empty()))
    url += (url.find('?') == std::string::npos ? "?" : "&") + form;
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  set(CURLOPT_HTTP_CONTENT_DECODING, 0L);
  set(CURLOPT_USERAGENT, "skerry");
  if (!request.unix_socket.empty())
    set(CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());

  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers{nullptr, curl_slist_free_all};
  const auto add_header = [&](const std::string& line) {
    if (auto* longer = curl_slist_append(headers.get(), line.c_str())) {
      (void)headers.release();
      headers.reset(longer);
    }
  };
  add_header(http_body::accept_gzip);
  if (!single_line(request.bearer_token) || !single_line(request.content_type)
      || !single_line(request.method))
    return fail(errc::invalid_argument, "a header of the request holds a line break");
  for (const auto& [name, value] : request.headers) {
    if (!single_line(name) || !single_line(value))
      return fail(errc::invalid_argument,
                  fmt::format("the header {} holds a line break", percent_encode(name)));
    add_header(name + ": " + value);
  }
  if (!request.bearer_token.empty())
    add_header("Authorization: Bearer " + request.bearer_token);
  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (!reads) {
    const auto& body = request.body.empty() ? form : request.body;
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    set(CURLOPT_POSTFIELDS, body.c_str());
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    add_header(
        "Content-Type: "
        + (request.body.empty() ? std::string{"application/x-www-form-urlencoded"} : request.content_type));
  }
  set(CURLOPT_HTTPHEADER, headers.get());

  body_sink sink;
  sink.curl = curl.get();
  sink.bytes_max = request.body_bytes_max;
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, &sink);
  char details[CURL_ERROR_SIZE] = {};
  set(CURLOPT_ERRORBUFFER, details);
  const auto code = curl_easy_perform(curl.get());
  const bool whole = code == CURLE_OK && (request.method == "HEAD" || sink.decoder.finish(curl.get()));
  if (!whole)
    return boost::outcome_v2::failure(failure_of(code, request, details, sink));

  outgoing_response out;
  long status = 0;
  const char* type = nullptr;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(curl.get(), CURLINFO_CONTENT_TYPE, &type);
  out.status = static_cast<unsigned>(status);
  out.content_type = type != nullptr ? type : "";
  out.body = std::move(sink.body);
  return out;
}

} // namespace skerry
