#pragma once

// What takes records in.

#include "cloud/store/state.hpp"
#include "schemas/model/host.hpp"
#include "schemas/model/range_set.hpp"
#include "schemas/model/record.hpp"
#include "schemas/model/series.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace skerry::cloud {

// Records of one shard from one run.
struct append_request {
  std::uint64_t fence =
      1; // the shard's epoch; an engine refuses one that is lower than it has seen (forbidden)
  tenant_id tenant = tenant_default;
  shard_id shard = 0;
  std::string site;
  stream_key origin;
  range_set ranges;                  // of the run that these came from; stored with them
  std::vector<record_view> records;  // every kind; views into `owner`
  std::shared_ptr<const void> owner; // keeps the bytes
  std::vector<series_set_ptr>
      sets; // of those that the frames name, the ones that the engine may not have yet; better without members
  std::vector<state_update> state;
};

class store_writer {
public:
  virtual ~store_writer() = default;
  // Asynchronous and idempotent: `done` is called once, on the engine's thread, after the commit (or the
  // failure) and may be called before append() returns only on failure. exhausted: a queue or the disk is
  // full; retry later.
  virtual void append(append_request request, std::function<void(result<void>)> done) = 0;
};

} // namespace skerry::cloud
