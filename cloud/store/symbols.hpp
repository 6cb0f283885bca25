#pragma once

// Labels of the series in the write-ahead log, kept small: every string once, series as pairs of numbers.
//
// A table and its sets may be used from any thread. A string is freed with the last set that uses it.

#include "actors/promql/series_source.hpp"
#include "schemas/model/identity.hpp"
#include "schemas/model/series.hpp"

#include <boost/container/small_vector.hpp>

#include <atomic>
#include <compare>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace skerry::cloud {

using symbol = std::uint32_t;

class symbol_table {
public:
  [[nodiscard]] std::size_t size() const;
  // What its strings and the sets made with it take.
  [[nodiscard]] std::size_t memory_bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  // Of a string that a set uses; it is another's once no set does any more.
  [[nodiscard]] std::optional<symbol> find(std::string_view text) const;

private:
  friend class compact_set;
  friend class set_matcher;
  struct slot {
    std::string text;
    std::uint32_t uses = 0;
  };
  symbol intern(std::string_view text); // adds a use; the lock is held
  void release(symbol s);               // the lock is held
  // `last` is what the same text had before, if anything; the lock is held.
  std::optional<symbol> find(std::string_view text, symbol& last) const;
  [[nodiscard]] const std::string& text(symbol s) const { return slots_[s].text; }

  mutable std::shared_mutex mutex_;
  std::atomic<std::size_t> bytes_{0};
  std::deque<slot> slots_;
  std::vector<symbol> free_;
  std::unordered_map<std::string_view, symbol> index_;
};

// A series set without its strings.
class compact_set {
public:
  compact_set(std::shared_ptr<symbol_table> table, const series_set& from);
  ~compact_set();
  compact_set(const compact_set&) = delete;
  compact_set& operator=(const compact_set&) = delete;

  [[nodiscard]] const set_hash& hash() const noexcept { return hash_; }
  [[nodiscard]] std::size_t count() const noexcept { return ends_.size(); }
  // `site` is what stands beside a member's labels where it has no label `site` of its own; may be empty: then nothing
  // does. Labels are compared without their strings, those of two sets where both have the same table. Equal ones have
  // the same hash.
  [[nodiscard]] std::uint64_t hash_of(std::size_t member, std::string_view site) const;
  [[nodiscard]] bool same(std::size_t member, std::string_view site, const compact_set& other,
                          std::size_t others, std::string_view other_site) const;
  // No two members are the same, whatever the site.
  [[nodiscard]] bool distinct() const noexcept { return distinct_; }
  [[nodiscard]] labels labels_of(std::size_t member, std::string_view site) const;
  // Its label `site`, or what stands in its place.
  [[nodiscard]] std::string site_of(std::size_t member, std::string_view site) const;
  // Some members have such a label; some have none.
  [[nodiscard]] bool names_sites() const noexcept { return site_name_.has_value(); }
  [[nodiscard]] bool lacks_sites() const noexcept { return lacks_sites_; }
  // What members of two sets that have the same labels have in common: see series_kin().
  [[nodiscard]] std::uint64_t kin() const noexcept { return kin_; }
  [[nodiscard]] std::uint64_t kin_of(std::size_t member) const;
  [[nodiscard]] std::size_t memory_bytes() const noexcept; // strings aside
  [[nodiscard]] std::size_t text_bytes() const noexcept {
    return text_bytes_;
  } // its strings, which others may share
  // The symbol of each metric's name, once.
  template <class Each>
  void each_metric(Each&& each) const {
    for (std::size_t i = 0; i < by_metric_.size(); ++i)
      if (i == 0 || by_metric_[i].name != by_metric_[i - 1].name)
        each(by_metric_[i].name);
  }
  void each_name(const std::function<void(const std::string&)>& each) const;
  void each_value(std::string_view name, const std::function<void(const std::string&)>& each) const;
  void each_family(const std::function<void(const promql::family_metadata&)>& each) const;

private:
  friend class set_matcher;
  struct family {
    symbol name;
    symbol help;
    symbol unit;
    metric_type type;
  };
  struct pair {
    symbol name;
    symbol value;
    bool operator==(const pair&) const = default;
  };
  [[nodiscard]] std::span<const pair> pairs_of(std::size_t member) const noexcept;
  // Without `site`; `scratch` is used where it must be left out.
  [[nodiscard]] std::span<const pair> identity_of(std::size_t member, std::vector<pair>& scratch) const;
  [[nodiscard]] const pair* own_site(std::size_t member) const noexcept; // null: none
  std::shared_ptr<symbol_table> table_;
  set_hash hash_;
  std::vector<symbol> used_; // ascending, unique
  std::vector<family> families_;
  std::vector<pair> pairs_;         // of all members, one after the other
  std::vector<std::uint32_t> ends_; // of each member in pairs_
  // Members by the symbol of their metric name, ascending: most queries give one.
  struct named {
    symbol name;
    std::uint16_t member;
    auto operator<=>(const named&) const = default;
  };
  std::vector<named> by_metric_;
  std::optional<symbol> site_name_; // of `site`, where members have it
  bool lacks_sites_ = false;
  std::size_t text_bytes_ = 0;
  bool distinct_ = true;
  std::uint64_t kin_ = 0;
};
using compact_set_ptr = std::shared_ptr<const compact_set>;

using set_members = boost::container::small_vector<std::uint16_t, 8>; // some of a set's, ascending

// A number that series with the same labels have in common, and series of different machines mostly do not: of their
// `host` and `instance`. Never 0.
[[nodiscard]] std::uint64_t series_kin(std::string_view host, std::string_view instance) noexcept;
// The one of all members of a set; 0 where they differ or have a label `site`.
[[nodiscard]] std::uint64_t set_kin(const series_set& set) noexcept;

// Matches sets against matchers, which must be about labels other than `site`. For one query, one thread.
class set_matcher {
public:
  explicit set_matcher(std::vector<promql::matcher> matchers);
  // The members for which all matchers hold.
  [[nodiscard]] set_members match(const compact_set& set);
  // The one name that a metric must have, if they say so; else null.
  [[nodiscard]] const std::string* metric() const noexcept;

private:
  struct test {
    promql::matcher matcher;
    bool absent_matches;
    symbol name; // where they were found last
    symbol value;
    std::unordered_map<symbol, bool> values; // that match; a symbol that a set uses is not reused
  };
  std::vector<test> tests_;
};

// The site that stands beside the labels of what came from this edge; what was pushed to the cloud has none.
[[nodiscard]] std::string_view site_beside(edge_id edge, std::string_view site) noexcept;
// Puts it there, unless the labels have a `site`.
void add_site(labels& all, std::string_view site);

} // namespace skerry::cloud
