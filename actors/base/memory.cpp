#include "actors/base/memory.hpp"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <sys/mman.h>

namespace skerry {

void release_startup_code() noexcept {
  auto* maps = std::fopen("/proc/self/maps", "re");
  if (maps == nullptr)
    return;
  char line[512];
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    unsigned long from = 0, to = 0, inode = 0;
    char rights[8] = {};
    if (std::sscanf(line, "%lx-%lx %7s %*s %*s %lu", &from, &to, rights, &inode) != 4)
      continue;
    // Private and writable never: a page that was changed (a relocation, say) would come back as it is in the file.
    if (inode != 0 && std::strcmp(rights, "r-xp") == 0)
      ::madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
  }
  std::fclose(maps);
}

} // namespace skerry
