#include "cloud/store_part.hpp"

#include "actors/base/clock.hpp"

#include <spdlog/spdlog.h>

#include <cstring>

namespace skerry::cloud {

namespace {

constexpr std::string_view incarnation_key = "incarnation";

result<link::nonce> load_incarnation(state_store& store, random_source& random) {
  link::nonce found{};
  bool any = false;
  BOOST_OUTCOME_TRYV(store.scan_state(incarnation_key, [&](std::string_view key, std::string_view value) {
    if (key == incarnation_key && value.size() == found.size()) {
      std::memcpy(found.data(), value.data(), found.size());
      any = true;
    }
  }));
  if (any)
    return found;
  random.fill(found);
  store.put_state({{std::string{incarnation_key},
                    std::string{reinterpret_cast<const char*>(found.data()), found.size()}}},
                  [](result<void> done) {
                    if (!done)
                      spdlog::error("store: the incarnation was not kept: {}", done.error().message);
                  });
  return found;
}

} // namespace

result<std::unique_ptr<store_part>> store_part::open(const embedded_config& config, random_source& random,
                                                     prometheus::Registry& metrics) {
  std::unique_ptr<store_part> made{new store_part};
  BOOST_OUTCOME_TRY(store, open_embedded_engine(config, metrics));
  made->engine_ = std::move(store);
  BOOST_OUTCOME_TRY(deleted, deletions::open(made->engine_));
  made->deletions_ = std::move(deleted);
  BOOST_OUTCOME_TRY(taken_back, retractions::open(made->engine_));
  made->retractions_ = std::move(taken_back);
  BOOST_OUTCOME_TRY(incarnation, load_incarnation(*made->engine_, random));
  made->incarnation_ = incarnation;
  return made;
}

} // namespace skerry::cloud
