#pragma once

// The page reader actor: makes samples of large pages. On a thread of its own, so that nothing but other large pages
// waits behind one: neither the machine's own values nor the link. Small ones an agent reads itself, which spares the
// way there and back.
//
// At most one piece of work a target waits (an agent gives the next one when it has the answer), so that the mailbox is
// bounded by the number of targets, and its bytes by what the fetcher may hold.

#include "actors/actors.hpp"
#include "edge/collect/scrape/fetcher.hpp"
#include "edge/collect/scrape/target_manager.hpp"
#include "edge/collect/source.hpp"
#include "edge/gateway/inbox.hpp"

#include <atomic>
#include <memory>
#include <string>

namespace skerry::edge {

inline constexpr std::size_t large_page_bytes = 256 << 10;
inline constexpr std::size_t large_source_series = 4096;

// What is to be done for a target. While the page reader has it, and until its answer, the target is the page reader's.
struct scrape_work {
  enum class kind : std::uint8_t {
    page,    // the fetcher has answered
    failure, // the target was not asked
    end,     // it is no more: stale markers, no answer
  };
  kind what = kind::page;
  scrape_target_ptr target;
  fetch_response response; // of a page
  std::string why;         // of a failure
  std::int64_t time_ns = 0;
  std::int64_t monotonic_ns = 0;
  agent_actor from; // who gets the answer

  // Whether it takes longer than a few milliseconds: work of the page reader.
  [[nodiscard]] bool is_large() const noexcept {
    return response.body.size() >= large_page_bytes || target->series_count() >= large_source_series;
  }
};

// What became of it, for the agent.
struct scrape_answer {
  scrape_target_ptr target;
  collection made;
  std::string spare; // memory for another page
};

// Does it. Whoever calls it has the target.
[[nodiscard]] scrape_answer do_work(scrape_work& work);

struct page_reader_config {
  gateway_actor gateway;
  std::shared_ptr<gateway_inbox> inbox; // takes the ends of targets
  // Set before the stop message: what waits is dropped. It was not committed, and the next start says so.
  std::shared_ptr<const std::atomic<bool>> stopping = std::make_shared<std::atomic<bool>>(false);
  bool detached = true;
};

[[nodiscard]] page_reader_actor spawn_page_reader(caf::actor_system& system, page_reader_config config);

} // namespace skerry::edge
