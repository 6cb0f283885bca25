"""A wall clock that is wrong, for a node under test, by Debian's libfaketime. Monotonic clocks stay right.

    clock = SkewedClock.make(workspace, "edge", -7200)   # None, with a line that says why, where there is no libfaketime
    clock.rule(node)                                     # from its next start on
    clock.set(+3600.5)                                   # jumps while the node runs
"""

import glob
import os


class SkewedClock:
    @classmethod
    def make(cls, workspace, name, offset=0.0):
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not found:
            print("skipped: no libfaketime on this machine (Debian's package faketime)", flush=True)
            return None
        return cls(found[0], workspace.file("clocks", name), offset)

    def __init__(self, library, file, offset):
        self.library, self.file = library, file
        self.set(offset)

    def set(self, offset):
        """Seconds, from the right time; the file is never seen half written."""
        self.offset = offset
        with open(self.file + ".new", "w", encoding="ascii") as f:
            f.write(f"{offset:+.3f}\n")
        os.replace(self.file + ".new", self.file)

    def rule(self, node):
        node.launcher = ("env", f"LD_PRELOAD={self.library}", f"FAKETIME_TIMESTAMP_FILE={self.file}", "FAKETIME_NO_CACHE=1",
                         "FAKETIME_DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1", "FAKETIME_DONT_RESET=1")
        node.process.argv = [*node.launcher, *node.process.argv]
        return self
