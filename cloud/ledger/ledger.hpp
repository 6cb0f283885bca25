#pragma once

// The loss ledger as it is asked: what is missing and why, and how complete each host's data is. All methods may be
// called from any thread; they may wait for the disk.

#include "actors/base/planted.hpp"
#include "cloud/ledger/completeness.hpp"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace skerry::cloud {

class host_table;
class note_reader;
class retractions;

struct ledger_request {
  std::string site;                                       // empty: every one
  std::string host;                                       // empty: every one
  std::vector<std::pair<std::string, std::string>> hosts; // not empty: these alone, by site and host
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
};

struct host_coverage {
  std::string site;
  std::string host;
  host_facts facts;
  std::vector<coverage_range> ranges;
  bool only_pushed = false; // see host_view
};

class ledger_reader {
public:
  virtual ~ledger_reader() = default;
  // By time, in at most loss_rows_max rows. With `host`, also what concerns every host of its edge.
  [[nodiscard]] virtual result<std::vector<loss_entry>> losses(const ledger_request& request) = 0;
  // Damage of the store's own files about [from, to]: what of losses() is about no edge. From memory, at once.
  [[nodiscard]] virtual std::vector<loss_entry> own_damage(std::int64_t /*from_ns*/, std::int64_t /*to_ns*/) {
    return {};
  }
  // One of each host, by site and host, or in the request's order.
  [[nodiscard]] virtual result<std::vector<host_coverage>> completeness(const ledger_request& request) = 0;
};

// Beyond, entries of one kind and cause become one over the time between them: nobody can make the ledger unreadable.
inline constexpr std::size_t loss_rows_max = 10'000;
inline constexpr std::size_t completeness_rows_max = 100'000; // of all hosts that one answer is about
// Of one cause, edge and stream, losses that lie no further apart are one row of an answer; of the answer about how complete
// hosts are only those of what was thinned: nothing of it is whole.
inline constexpr std::int64_t loss_row_gap_ns = 60'000'000'000;

// Whether an entry about no edge is about this host.
[[nodiscard]] bool concerns(const loss_entry& own, std::string_view site, std::string_view host) noexcept;

// From what the store keeps, what is known of hosts, and what was taken back. `planted`: by the simulator alone.
[[nodiscard]] std::unique_ptr<ledger_reader> make_ledger(std::shared_ptr<note_reader> store,
                                                         std::shared_ptr<host_table> hosts,
                                                         std::shared_ptr<retractions> taken_back,
                                                         planted_faults planted = nullptr);

} // namespace skerry::cloud
