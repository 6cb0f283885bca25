#pragma once

// Turns pushed samples into records of their hosts, ready to be numbered: the counterpart of a scrape's assembler for
// senders that say each sample's time and send any part of their series at any time.
//
// A series that was seen before costs a hash of its labels and a look-up. Series of a host that come together for the
// first time make a series set together (actors/intake). No stale markers are made: a sender sends its own.
//
// The sets in an outcome hold `hash` and `encoded` only. One thread at a time.

#include "actors/intake/series_interner.hpp"
#include "actors/intake/set_maker.hpp"
#include "actors/push/write_request.hpp"
#include "schemas/codec/value_codec.hpp"
#include "schemas/model/frame.hpp"
#include "schemas/model/record.hpp"

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace skerry::push {

inline constexpr std::size_t known_series_max =
    1 << 20; // of all hosts; beyond, all are forgotten and made anew
inline constexpr std::size_t known_bytes_max = 128 << 20; // of memory for them; the same
inline constexpr std::size_t pending_bytes_max =
    16 << 20; // of unfolded labels; then sets are made of them at once
inline constexpr std::size_t known_families_max = 1 << 16; // of which a sender told type and help
inline constexpr std::size_t series_text_bytes_max = 1 << 20;
inline constexpr std::size_t frame_values_max = 1 << 16;
// Series that name neither a host nor an instance are spread over so many hosts.
inline constexpr std::uint64_t nameless_hosts = 64;

struct push_rules {
  std::string site;                   // of series that name none
  bool any_site = false;              // a series' label `site` says at which one it is accounted for
  std::int64_t oldest_ms = 0;         // samples before are refused
  std::int64_t latest_ms = INT64_MAX; // and those after
  // A sample between these says that its host is heard up to there. One whose time lies elsewhere does not: what is said
  // of a host goes by the clock of the node that hears it.
  std::int64_t watermark_from_ms = INT64_MIN;
  std::int64_t watermark_ms = INT64_MAX;
};

// Why a sample is refused.
enum class push_refusal : std::uint8_t {
  labels,           // names, values or site are not what is taken
  too_large,        // too many or too long labels, or too much in one request
  too_old,          // older than the retention, or before 1970
  ahead,            // further ahead than the node takes
  native_histogram, // not stored
};
inline constexpr std::size_t push_refusals = 5;
[[nodiscard]] std::string_view to_string(push_refusal why) noexcept;

struct pushed_host {
  std::string site;
  std::string host;
  std::vector<pending_record> records; // frames, by ascending time
  std::vector<series_set_ptr> sets;    // that they name
  std::uint64_t samples = 0;
};

struct push_outcome {
  std::vector<pushed_host> hosts;
  std::uint64_t samples = 0;                             // in the records
  std::uint64_t duplicates = 0;                          // the same sample twice in this request
  std::uint64_t refused = 0;                             // samples, native histograms counted among them
  std::array<std::uint64_t, push_refusals> refused_by{}; // the same, by reason
  std::optional<error> refusal;                          // the first; invalid_argument
};

class push_assembler {
public:
  // Takes what can be taken. Sorts the request's labels in place.
  [[nodiscard]] push_outcome add(write_request& from, const push_rules& rules);

  [[nodiscard]] std::size_t series_count() const noexcept { return interner_.size(); }
  [[nodiscard]] std::size_t memory_bytes() const noexcept {
    return known_bytes_ + interner_.memory_bytes() + places_.capacity() * sizeof(known_series)
           + pending_bytes_;
  }
  [[nodiscard]] std::uint64_t sets_made() const noexcept { return sets_made_; }

private:
  struct known_series {
    std::uint32_t host = 0;
    intake::series_ref ref = 0; // in its host
  };
  struct known_host {
    std::string site;
    std::string name;
    intake::set_maker maker;
    std::vector<labels> pending; // the last references, not in a set yet
  };
  struct placed_sample {
    std::uint32_t host;
    intake::series_ref ref;
    pushed_sample sample;
  };

  void learn(std::span<const pushed_metadata> all);
  struct refused_series {
    push_refusal why = push_refusal::labels;
    std::string text; // empty: it is not refused
  };
  [[nodiscard]] refused_series find(std::span<label_view> all, const push_rules& rules, known_series& to);
  [[nodiscard]] refused_series make_known(std::span<const label_view> all, const push_rules& rules,
                                          known_series& made);
  [[nodiscard]] std::uint32_t host_of(const std::string& site, const std::string& name);
  [[nodiscard]] const metric_family* family_of(std::string_view name) const; // nullptr: nobody told
  [[nodiscard]] intake::set_maker::describe families_now() const;
  void seal(known_host& host);
  void refresh(known_host& host, std::size_t set);
  void emit(push_outcome& out, const push_rules& rules);
  // The samples of one host and time; those that are there twice with other values go to `again`.
  void emit_frame(std::span<const placed_sample> all, bool is_watermark, pushed_host& to, push_outcome& out,
                  std::vector<placed_sample>& again);
  void forget_all();

  intake::series_interner interner_;
  std::vector<known_series> places_; // by reference
  std::vector<known_host> hosts_;
  std::map<std::pair<std::string, std::string>, std::uint32_t> host_index_; // by site and name
  std::map<std::string, metric_family, std::less<>> families_;
  std::uint64_t metadata_version_ = 0;
  std::vector<placed_sample> placed_;
  value_encoder encoder_;
  frame frame_;
  std::uint64_t sets_made_ = 0;
  std::size_t known_bytes_ = 0;   // of memory: hosts and their sets
  std::size_t pending_bytes_ = 0; // of labels that are in no set yet
};

} // namespace skerry::push
