#pragma once

// Signals as plain values that the main thread waits for, and a word to the service manager.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace skerry {

enum class signal_request : std::uint8_t { stop, reload }; // SIGINT and SIGTERM; SIGHUP

// Call first in main: threads started later inherit it. Blocks the three signals, ignores SIGPIPE.
void block_signals();
// Main thread, after block_signals.
[[nodiscard]] signal_request wait_for_signal();
[[nodiscard]] std::optional<signal_request> wait_for_signal(std::chrono::milliseconds at_most);

// Tells systemd (or whoever set NOTIFY_SOCKET) "READY=1", "STOPPING=1", "RELOADING=1", "STATUS=…". False
// where nobody listens; that is no failure.
bool notify_supervisor(std::string_view state);

} // namespace skerry
