#include "actors/node/log.hpp"

#include <spdlog/formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <ctime>

namespace skerry {

namespace {

// The length of the well-formed UTF-8 character at the front, or 0.
std::size_t utf8_length(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto tail = [&](std::size_t i) { return (at(i) & 0xc0) == 0x80; };
  const auto first = at(0);
  if (first < 0x80)
    return 1;
  if (first >= 0xc2 && first <= 0xdf)
    return tail(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const auto low = first == 0xe0 ? 0xa0u : 0x80u;
    const auto high = first == 0xed ? 0x9fu : 0xbfu;
    return at(1) >= low && at(1) <= high && tail(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const auto low = first == 0xf0 ? 0x90u : 0x80u;
    const auto high = first == 0xf4 ? 0x8fu : 0xbfu;
    return at(1) >= low && at(1) <= high && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    auto length = utf8_length(text);
    const bool c1_control = length == 2 && c == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c < 0x20 || c == 0x7f || length == 0 || c1_control) {
      out += fmt::format("\\x{:02x}", c);
      length = 1;
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
}

std::string_view level_name(spdlog::level::level_enum level) noexcept {
  switch (level) {
  case spdlog::level::trace: return "trace";
  case spdlog::level::debug: return "debug";
  case spdlog::level::info: return "info";
  case spdlog::level::warn: return "warn";
  case spdlog::level::err: return "error";
  case spdlog::level::critical: return "critical";
  default: return "off";
  }
}

class logfmt_formatter final : public spdlog::formatter {
public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& into) override {
    const auto line =
        logfmt_line(message.time, message.level, {message.payload.data(), message.payload.size()});
    into.append(line.data(), line.data() + line.size());
  }
  [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<logfmt_formatter>();
  }
};

result<spdlog::level::level_enum> parse_level(std::string_view level) {
  for (const auto known : {spdlog::level::trace, spdlog::level::debug, spdlog::level::info,
                           spdlog::level::warn, spdlog::level::err, spdlog::level::off})
    if (level == level_name(known))
      return known;
  return fail(errc::invalid_argument,
              fmt::format("'{}' is no log level; take debug, info, warn, error or off", level));
}

} // namespace

std::string logfmt_line(std::chrono::system_clock::time_point time, spdlog::level::level_enum level,
                        std::string_view message) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const auto fraction = ((ms % 1000) + 1000) % 1000;
  const std::time_t seconds = (ms - fraction) / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  auto out = fmt::format("time={:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z level={} msg=\"",
                         utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                         fraction, level_name(level));
  append_escaped(out, message.substr(0, log_message_bytes_max));
  if (message.size() > log_message_bytes_max)
    out += fmt::format("… ({} bytes more)", message.size() - log_message_bytes_max);
  out += "\"\n";
  return out;
}

result<void> check_log_level(std::string_view level) {
  BOOST_OUTCOME_TRYV(parse_level(level));
  return ok();
}

result<void> start_logging(std::string_view level) {
  BOOST_OUTCOME_TRY(parsed, parse_level(level));
  try {
    auto logger =
        std::make_shared<spdlog::logger>("skerry", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_formatter(std::make_unique<logfmt_formatter>());
    logger->set_level(parsed);
    logger->set_error_handler([](const std::string&) {}); // stderr is gone: there is nobody to tell
    spdlog::set_default_logger(std::move(logger));
  } catch (const std::exception& e) {
    return fail(errc::io, fmt::format("can't log to stderr: {}", e.what()));
  }
  return ok();
}

result<void> set_log_level(std::string_view level) {
  BOOST_OUTCOME_TRY(parsed, parse_level(level));
  spdlog::set_level(parsed);
  return ok();
}

std::optional<std::uint64_t> rate_limited::admit() {
  const auto now = clock_.monotonic_ns();
  const std::lock_guard lock{mutex_};
  if (last_ns_ && now - *last_ns_ < every_ns_) {
    ++held_back_;
    return std::nullopt;
  }
  last_ns_ = now;
  return std::exchange(held_back_, 0);
}

} // namespace skerry
