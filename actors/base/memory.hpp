#pragma once

// Small devices: giving back memory that only start-up needed.

namespace skerry {

// Drops the resident pages of code (read-only, executable file mappings) from this process; what is still run comes
// back from the page cache as it is called. Data and relocated pages are not touched. Main thread; harmless any time.
void release_startup_code() noexcept;

} // namespace skerry
