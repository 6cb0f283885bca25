#pragma once

// `skerry-cloud verify`: reads a stopped node's store and says whether every record stands there once.

#include "cloud/config.hpp"

namespace skerry::cloud {

// Prints a line a stream ("edge epoch stream records first last duplicates"), with `list` a line a record before it
// ("record edge epoch stream sequence kind host"), then the ledger. Returns the exit code: 0, or 1 where a record
// stands twice or the store cannot be read.
[[nodiscard]] int verify(cloud_config config, bool list);

} // namespace skerry::cloud
