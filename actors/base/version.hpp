#pragma once

#include <string_view>

namespace skerry {

inline constexpr std::string_view version = SKERRY_VERSION;

} // namespace skerry
