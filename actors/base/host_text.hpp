#pragma once

// Whether a text can be the host of an address to listen on: what no machine could resolve is a mistake of the
// configuration, whichever machine reads it.

#include <string_view>

namespace skerry {

// An IPv4 address, an IPv6 address (without brackets, a zone may follow), or a name of letters, digits, '-', '_' and '.'.
// Of digits and dots alone it must be an IPv4 address.
[[nodiscard]] bool is_host_text(std::string_view host);

} // namespace skerry
