#pragma once

// How the descriptors that the operating system gives a process are shared out, so that no door can take those that
// another one, or the disk, needs: half to connections of links, a quarter to HTTP, an eighth to answers of HTTP that last, the rest to files,
// scrapes and the operator's socket.

#include <cstddef>

namespace skerry {

// Raises the limit of open files to what the process may have, and returns it. At the start of a node.
std::size_t raise_open_files() noexcept;

// What is left of a wanted number of connections, for this process's limit.
[[nodiscard]] std::size_t link_connections_within(std::size_t wanted) noexcept;
[[nodiscard]] std::size_t http_connections_within(std::size_t wanted) noexcept;
[[nodiscard]] std::size_t http_streams_within(std::size_t wanted) noexcept;

} // namespace skerry
