#include "edge/uplink/spool_source.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace skerry::edge {

namespace {

// Damage is salvaged where it is met; the second try tells what is left.
template <class Read, class Describe>
auto twice(log_limiter& lines, Read read, Describe what) -> decltype(read()) {
  auto found = read();
  if (!found && found.error().code == errc::corrupt)
    found = read();
  if (!found && lines.allow())
    spdlog::error("uplink: {} cannot be read: {}", what(), found.error().message);
  return found;
}

} // namespace

std::vector<link::hello_stream> spool_source::streams() {
  std::vector<link::hello_stream> out;
  for (auto& state : store_->streams())
    out.push_back({state.key, std::move(state.held), std::move(state.released), state.last, state.closed,
                   state.last_digest, std::move(state.kept)});
  return out;
}

result<std::optional<run>> spool_source::read(const stream_key& key, sequence from, std::size_t bytes_max) {
  return twice(
      lines_, [&] { return store_->read(key, from, bytes_max); },
      [&] { return fmt::format("{} from {}", to_string(key), from); });
}

result<series_set_ptr> spool_source::find_set(edge_id edge, const set_hash& hash) {
  BOOST_OUTCOME_TRY(found, twice(
                               lines_, [&] { return store_->find_set(edge, hash); },
                               [&] { return fmt::format("series set {}", to_string(hash)); }));
  return found.value_or(nullptr);
}

} // namespace skerry::edge
