#pragma once

// Which node a configuration file is for, decided by the keys at its top level.

#include <optional>
#include <string_view>

namespace skerry::cloud {

enum class node_kind : unsigned char { edge, cloud };

// nullopt: its keys fit neither node, or both as well.
[[nodiscard]] std::optional<node_kind> guess_kind(std::string_view configuration);

} // namespace skerry::cloud
