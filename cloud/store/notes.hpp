#pragma once

// Records of a log that are no samples: entries of the loss ledger, and records that are kept whole.

#include "cloud/store/log_env.hpp"

namespace skerry::cloud {

// The views are valid as long as the reader.
struct noted_record {
  envelope from;
  record_view record;
};
// corrupt, malformed: it is damaged; others as of the reader.
[[nodiscard]] result<noted_record> read_note(const note_ref& note, log_reader& reader);
// The notes of a log that the table counts as entries of the ledger, or else as records that are kept whole.
[[nodiscard]] std::vector<note_ref> notes_of(const log_env& log, bool ledger);

[[nodiscard]] ledger_entry to_ledger_entry(const noted_record& from);
[[nodiscard]] kept_record to_kept_record(const noted_record& from);

} // namespace skerry::cloud
