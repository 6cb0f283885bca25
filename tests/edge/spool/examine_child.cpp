// What the spool's tests start to examine a segment: as `skerry-edge examine-segment` does it, or as badly as the first
// argument says.

#include "edge/spool/examine.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace {

using namespace skerry;

// As code does that maps a file and trusts it: the page behind its end is a SIGBUS.
int read_behind_the_end(const std::filesystem::path& directory) {
  const auto fd = edge::open_file(edge::data_file(directory), O_RDONLY | O_CLOEXEC);
  if (!fd)
    return 1;
  const auto bytes = std::filesystem::file_size(edge::data_file(directory));
  const auto mapped = bytes + (1 << 20);
  void* at = ::mmap(nullptr, mapped, PROT_READ, MAP_SHARED, fd.value().get(), 0);
  if (at == MAP_FAILED)
    return 1;
  return static_cast<const volatile char*>(at)[mapped - 1];
}

int part_of_it(const std::filesystem::path& directory, bool always, std::size_t bytes) {
  static_cast<void>(edge::examine_segment(directory, always, [&](bytes_view part) {
    const auto now = std::min(bytes, part.size());
    bytes -= now;
    return ::write(STDOUT_FILENO, part.data(), now) == static_cast<ssize_t>(now) && bytes != 0;
  }));
  std::abort();
}

} // namespace

int main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  const bool always = argc > 3 && std::strcmp(argv[2], "--always") == 0;
  const std::filesystem::path directory = argv[argc - 1];
  if (how == "well")
    return edge::examine_segment_main(directory, always);
  if (how == "sigbus")
    return read_behind_the_end(directory);
  if (how == "hang")
    for (;;)
      ::pause();
  if (how == "garbage")
    return ::write(STDOUT_FILENO, "what a surprise", 15) == 15 ? 0 : 1;
  if (how == "endless")
    for (const std::string noise(1 << 16, 'x'); ::write(STDOUT_FILENO, noise.data(), noise.size()) > 0;) {
    }
  if (how == "half")
    return part_of_it(directory, always, std::filesystem::file_size(edge::data_file(directory)) / 2);
  return 1;
}
