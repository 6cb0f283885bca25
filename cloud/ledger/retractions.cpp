#include "cloud/ledger/retractions.hpp"

#include "schemas/bytes.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <charconv>
#include <ctime>
#include <future>

namespace skerry::cloud {

namespace {

constexpr std::string_view state_prefix = "retracted/0/"; // of tenant 0
constexpr std::uint8_t value_version = 1;

std::string encode(const retraction& one) {
  byte_buffer value;
  byte_writer w{value};
  w.fixed(value_version);
  w.fixed(static_cast<std::uint64_t>(one.edge));
  w.text(one.host);
  w.fixed(one.from_ns);
  w.fixed(one.to_ns);
  w.fixed(one.at_ns);
  w.text(one.reason);
  return std::string{as_text(value)};
}

} // namespace

result<std::shared_ptr<retractions>> retractions::open(std::shared_ptr<state_store> store) {
  std::shared_ptr<retractions> made{new retractions{std::move(store)}};
  BOOST_OUTCOME_TRYV(
      made->store_->scan_state(state_prefix, [&](std::string_view key, std::string_view value) {
        byte_reader r{as_bytes(value)};
        const auto version = r.fixed<std::uint8_t>();
        retraction one;
        one.edge = edge_id{r.fixed<std::uint64_t>()};
        one.host = std::string{r.text()};
        one.from_ns = r.fixed<std::int64_t>();
        one.to_ns = r.fixed<std::int64_t>();
        one.at_ns = r.fixed<std::int64_t>();
        one.reason = std::string{r.text()};
        const auto digits = key.substr(state_prefix.size());
        std::uint64_t number = 0;
        std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
        made->next_key_ = std::max(made->next_key_, number + 1);
        if (r.failed() || version != value_version)
          spdlog::error("ledger: what was taken back under '{}' does not decode and is ignored", key);
        else
          made->all_.push_back(std::move(one));
      }));
  return made;
}

result<void> retractions::add(retraction one) {
  if (one.reason.empty() || one.reason.size() > retraction_reason_bytes_max)
    return fail(errc::invalid_argument,
                fmt::format("a reason of up to {} bytes is wanted: it stands beside the entries from now on",
                            retraction_reason_bytes_max));
  std::string key;
  {
    const std::lock_guard lock{mutex_};
    if (next_key_ >= retractions_max)
      return fail(errc::exhausted, fmt::format("entries were taken back {} times already, at most {} can be",
                                               next_key_, retractions_max));
    key = fmt::format("{}{:016x}", state_prefix, next_key_++);
  }
  const auto stored = std::make_shared<std::promise<result<void>>>();
  auto waiting = stored->get_future();
  store_->put_state({{std::move(key), encode(one)}},
                    [stored](result<void> done) { stored->set_value(std::move(done)); });
  BOOST_OUTCOME_TRYV(waiting.get());
  spdlog::warn("ledger: what edge {} says of {} is taken back: {}", to_string(one.edge),
               one.host.empty() ? std::string{"every host"} : fmt::format("host '{}'", one.host), one.reason);
  const std::lock_guard lock{mutex_};
  all_.push_back(std::move(one));
  return ok();
}

std::string retractions::of(const loss_entry& entry) const {
  const std::lock_guard lock{mutex_};
  for (const auto& one : all_)
    if (one.edge == entry.origin.edge && (one.host.empty() || one.host == entry.host)
        && entry.from_ns >= one.from_ns && entry.to_ns <= one.to_ns)
      return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}: {}",
                         fmt::gmtime(static_cast<std::time_t>(one.at_ns / 1'000'000'000)), one.reason);
  return {};
}

} // namespace skerry::cloud
