#pragma once

// Whose data is missing where something of the store is damaged: rows for the damage_ledger. What is not known exactly is
// claimed as a whole, never less.

#include "cloud/store/damage_ledger.hpp"
#include "cloud/store/log_index.hpp"
#include "cloud/store/partition.hpp"

namespace skerry::cloud {

// Whether this says that bytes are damaged, so that all else can be read without them.
[[nodiscard]] bool is_damage(const error& e) noexcept;

[[nodiscard]] damage lost_partition(const partition_id& id);
// Of `what` in it, which says for whom: its label index, a source.
[[nodiscard]] damage lost_in_partition(const partition_id& id, std::string_view what);
// All that a source has there.
[[nodiscard]] damage lost_source(const partition_id& id, const partition_source& source);
[[nodiscard]] damage lost_block(const partition_id& id, const partition_source& source,
                                const block_place& at);
// An entry of the loss ledger: it may have told of any time before.
[[nodiscard]] damage lost_ledger(const partition_id& id);

[[nodiscard]] damage lost_frame(std::uint64_t log_id, const head_source& source, const frame_ref& frame);
// Of one of its sets, all frames among `frames`.
[[nodiscard]] damage lost_set(std::uint64_t log_id, const head_source& source, const set_hash& set,
                              std::span<const frame_ref> frames);
// A record that told of something; `from` as far as its envelope can be read.
[[nodiscard]] damage lost_note(std::uint64_t log_id, const note_ref& note, const result<envelope>& from);

} // namespace skerry::cloud
