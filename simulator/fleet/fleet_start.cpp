// The beginning of a fleet's run: descriptors, tokens, spools.

#include "actors/base/version.hpp"
#include "edge/spool/files.hpp"
#include "simulator/fleet/running_fleet.hpp"

#include <fmt/format.h>

#include <atomic>
#include <cstring>
#include <malloc.h>
#include <map>
#include <mutex>
#include <sys/resource.h>
#include <thread>

namespace skerry::sim {

namespace {

constexpr std::size_t descriptors_per_edge = 12; // directory, spool (3), link (4), the backlog's (4)
constexpr std::size_t descriptors_spare = 200;
constexpr std::size_t helpers = 8; // that join and open at the same time
constexpr std::chrono::milliseconds join_timeout{30'000};
constexpr int arenas_max = 2; // of the allocator: each keeps what its threads once needed
constexpr int own_map_bytes_min = 128
                                  << 10; // LMDB asks for megabytes that it hardly touches: never from a heap

} // namespace

struct running_fleet::actor_settings : caf::actor_system_config {
  explicit actor_settings(std::size_t threads) {
    add_message_types<caf::id_block::skerry>();
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", threads);
  }
};

running_fleet::running_fleet(const fleet_options& options, const fleet_hooks& hooks)
    : options_(options),
      hooks_(hooks),
      metrics_(version),
      random_(options.seed),
      events_(events_of(options.faults)) {
  (void)::mallopt(M_ARENA_MAX, arenas_max);
  (void)::mallopt(M_MMAP_THRESHOLD, own_map_bytes_min);
  report_.version = version;
  report_.seed = options.seed;
}

running_fleet::~running_fleet() {
  for (auto& one : edges_)
    one->stop();
  if (actors_)
    actors_->await_all_actors_done();
  edges_.clear();
  actors_.reset();
}

result<void> running_fleet::raise_descriptor_limit() const {
  const auto needed = static_cast<rlim_t>(edges_.size() * descriptors_per_edge + descriptors_spare);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
    return ok();
  const auto had = limit.rlim_max;
  limit.rlim_cur = needed;
  limit.rlim_max = std::max(limit.rlim_max, needed);
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0)
    return ok();
  return fail(
      errc::exhausted,
      fmt::format("{} edges need {} open files, and this process may have {} (hard limit {}): raise it with "
                  "`ulimit -n {}` as root, or simulate at most {} edges",
                  edges_.size(), needed, limit.rlim_cur, had, needed,
                  (had - std::min<rlim_t>(had, descriptors_spare)) / descriptors_per_edge));
}

result<void> running_fleet::for_all(fleet_progress::stage stage, const std::vector<std::size_t>& edges,
                                    const std::function<result<void>(std::size_t)>& each) {
  begin_stage();
  std::atomic<std::size_t> next{0}, done{0}, working{std::min(helpers, edges.size())};
  std::mutex mutex;
  std::optional<error> first;
  const auto work = [&] {
    for (auto i = next++; i < edges.size(); i = next++) {
      if (const auto result = each(i); !result) {
        const std::lock_guard lock{mutex};
        if (!first)
          first = result.error();
        next = edges.size();
      }
      ++done;
    }
    --working;
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 0, all = working; i < all; ++i)
    threads.emplace_back(work);
  bool cancelled = false;
  while (working != 0)
    if (pause(stage, done)) {
      cancelled = true;
      next = edges.size();
    }
  for (auto& thread : threads)
    thread.join();
  if (first)
    return *first;
  if (cancelled)
    return fail(errc::cancelled, "stopped before the fleet was up");
  return ok();
}

// Edges that joined in an earlier run go first; each of the others takes a token.
result<void> running_fleet::join_all() {
  const auto count = options_.edges != 0 ? options_.edges : fleet_edges_max;
  std::vector<std::size_t> joining;
  for (std::size_t i = 0; i < count; ++i) {
    auto one = std::make_unique<sim_edge>(shared_, options_.data / fmt::format("edge-{:05}", i + 1));
    const auto loaded = one->load();
    if (!loaded && loaded.error().code != errc::not_found)
      return loaded.error();
    if (!loaded && joining.size() == options_.tokens.size()) {
      if (options_.edges == 0)
        break;
      return fail(
          errc::invalid_argument,
          fmt::format("{} edges need a token each (a token lets one edge join), and {} are there: make them "
                      "with `skerry invite --site 'site-{{}}' --count {} > FILE`, or simulate fewer --edges",
                      options_.edges - (i - joining.size()), options_.tokens.size(),
                      options_.edges - (i - joining.size())));
    }
    if (!loaded)
      joining.push_back(i);
    edges_.push_back(std::move(one));
  }
  if (edges_.empty())
    return fail(errc::invalid_argument,
                "there is no token, and no edge that joined before: see --token-file");
  BOOST_OUTCOME_TRYV(raise_descriptor_limit());
  return for_all(fleet_progress::stage::joining, joining, [&](std::size_t i) -> result<void> {
    BOOST_OUTCOME_TRY(token,
                      link::decode_token(options_.tokens[i], system_clock().wall_ns() / 1'000'000'000));
    return edges_[joining[i]]->join(token, join_timeout);
  });
}

result<void> running_fleet::prepare() {
  std::error_code code;
  if (options_.data.has_parent_path())
    std::filesystem::create_directories(options_.data.parent_path(), code);
  BOOST_OUTCOME_TRYV(edge::make_private_directory(options_.data));
  shared_.metrics = &metrics_.registry();
  shared_.latencies = &latencies_;
  shared_.model =
      std::make_shared<const value_model>(options_.seed, options_.mix, options_.series, options_.interval);
  shared_.interval = options_.interval;
  shared_.spool_bytes_max = options_.spool_bytes_max;
  shared_.reconnect_max = options_.reconnect_max;
  BOOST_OUTCOME_TRYV(join_all());
  if (options_.regions > edges_.size())
    return fail(errc::invalid_argument,
                fmt::format("{} regions of {} edges: use fewer --regions", options_.regions, edges_.size()));
  std::map<std::string, std::uint64_t> sites;
  for (const auto& one : edges_)
    site_numbers_.push_back(sites.try_emplace(one->site(), sites.size() + 1).first->second);
  for (const auto& fault : options_.faults)
    if (!fault.site.empty() && sites.count(fault.site) == 0)
      return fail(errc::invalid_argument, fmt::format("'{}': no edge is of site {}; the first one is of {}",
                                                      fault.text(), fault.site, edges_.front()->site()));
  report_.edges = edges_.size();
  report_.sites = sites.size();
  report_.regions = options_.regions;
  report_.agents = options_.agents;
  report_.series = options_.series;
  report_.interval_s = static_cast<double>(options_.interval.count()) / 1e9;

  BOOST_OUTCOME_TRY(loop, link::make_client_loop(2 * edges_.size()));
  shared_.loop = std::move(loop);
  settings_ = std::make_unique<actor_settings>(options_.threads);
  actors_ = std::make_unique<caf::actor_system>(*settings_);
  shared_.actors = actors_.get();
  (void)::malloc_trim(0);
  const auto before = read_process_usage().resident_anonymous_bytes;
  std::vector<std::size_t> all(edges_.size());
  BOOST_OUTCOME_TRYV(
      for_all(fleet_progress::stage::opening, all, [&](std::size_t i) { return edges_[i]->open(); }));
  report_.edge_bytes =
      (read_process_usage().resident_anonymous_bytes - before) / static_cast<double>(edges_.size());
  return ok();
}

} // namespace skerry::sim
