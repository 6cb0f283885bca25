#pragma once

// What tests and `skerry-cloud verify` look at and do, and nobody else.

#include "schemas/error.hpp"
#include "schemas/model/record.hpp"

#include <functional>
#include <string_view>

namespace skerry::cloud {

class log_inspection {
public:
  virtual ~log_inspection() = default;
  // Every record identity in the write-ahead log and how often it stands there, before anything is merged.
  virtual result<void> log_identities(
      const std::function<void(const record_identity&, record_kind kind, std::string_view host)>& each) = 0;
  virtual void flush() = 0; // seals the whole log into partitions; returns when done
};

} // namespace skerry::cloud
