#pragma once

// The query pool, which edge and cloud share, under the cloud's names.

#include "actors/api/query_pool.hpp"

namespace skerry::cloud {

using api::query_pool;
using api::query_pool_config;
using api::query_ticket;
using api::stop_reason;

} // namespace skerry::cloud
