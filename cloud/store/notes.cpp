#include "cloud/store/notes.hpp"

#include <algorithm>
#include <iterator>

namespace skerry::cloud {

result<noted_record> read_note(const note_ref& note, log_reader& reader) {
  BOOST_OUTCOME_TRY(entry, reader.entry(note.entry));
  BOOST_OUTCOME_TRY(from, decode_envelope(entry.head));
  BOOST_OUTCOME_TRY(record, reader.record({note.entry.chunk, note.record}));
  return noted_record{std::move(from), record};
}

std::vector<note_ref> notes_of(const log_env& log, bool ledger) {
  return log.with_index([&](const log_index& index) {
    std::vector<note_ref> out;
    std::copy_if(index.notes.begin(), index.notes.end(), std::back_inserter(out),
                 [&](const note_ref& note) { return policy_of(note.kind).ledger == ledger; });
    return out;
  });
}

ledger_entry to_ledger_entry(const noted_record& from) {
  ledger_entry to;
  to.tenant = from.from.tenant;
  to.site = from.from.site;
  to.host = from.record.host;
  to.origin = from.from.origin;
  to.kind = from.record.kind;
  to.seq = from.record.seq;
  to.time_ns = from.record.time_ns;
  to.payload.assign(from.record.payload.begin(), from.record.payload.end());
  return to;
}

kept_record to_kept_record(const noted_record& from) {
  const auto bytes = from.record.bytes;
  return {from.from.tenant, from.from.site, from.from.origin, {bytes.begin(), bytes.end()}};
}

} // namespace skerry::cloud
