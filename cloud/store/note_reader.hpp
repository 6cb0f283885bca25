#pragma once

// Reads what the store keeps besides samples: entries of the loss ledger, and records that are kept whole.

#include "schemas/bytes.hpp"
#include "schemas/error.hpp"
#include "schemas/model/host.hpp"
#include "schemas/model/record.hpp"

#include <cstdint>
#include <functional>
#include <string>

namespace skerry::cloud {

// Something that is known to be missing or noted: of the kinds whose policy says `ledger`.
struct ledger_entry {
  tenant_id tenant = tenant_default;
  std::string site;
  std::string host;
  stream_key origin;
  record_kind kind = record_kind::tombstone;
  sequence seq = 0;
  std::int64_t time_ns = 0;
  byte_buffer payload;
};

// A record that is kept whole (record_kind.hpp): logs, events, kinds that this build does not know.
struct kept_record {
  tenant_id tenant = tenant_default;
  std::string site;
  stream_key origin;
  byte_buffer bytes; // for decode_record()
};

class note_reader {
public:
  virtual ~note_reader() = default;
  // What is known to be missing or noted about [from, to]. An entry without an edge is about damage of the store's own
  // disk: of a host, without one of all hosts of its site, without either of every host there is.
  virtual result<void> ledger(std::int64_t from_ns, std::int64_t to_ns,
                              const std::function<void(const ledger_entry&)>& each) = 0;
  // Of those, the ones about the store's own disk. From memory, at once.
  virtual void own_damage(std::int64_t /*from_ns*/, std::int64_t /*to_ns*/,
                          const std::function<void(const ledger_entry&)>& /*each*/) {}
  // Records that are kept whole and whose time lies in [from, to], each once.
  virtual result<void> kept_records(std::int64_t /*from_ns*/, std::int64_t /*to_ns*/,
                                    const std::function<void(const kept_record&)>& /*each*/) {
    return ok();
  }
};

} // namespace skerry::cloud
