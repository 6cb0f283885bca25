"""What the rows of tests/bench/bounds share."""

import contextlib
import threading
import time

INTERVAL = 1.0  # of the machine's own values, seconds
LATE_MAX = INTERVAL + 0.5  # by how much a collection may come after its turn
STOP_MAX = 5.0
ROWS = []


def bound(name, value, short):
    """A row: `run(bench, value)` returns (seconds, bytes, what was seen), and raises AssertionError where that is not right."""
    def add(run):
        ROWS.append((name, value, short, run))
        return run
    return add


class Peak(threading.Thread):
    """The highest anonymous memory of a process so far, in bytes: without what is mapped from files, which the system
    takes back."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.bytes, self.over = process, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.05):
            with contextlib.suppress(OSError, KeyError):
                self.bytes = max(self.bytes, self.process.memory()["anon"])


def stop(process):
    """How long it took, and that it ended in order."""
    began = time.monotonic()
    code = process.stop(60)
    took = time.monotonic() - began
    assert code == 0 and took <= STOP_MAX, f"it took {took:.1f} s to stop, with exit code {code}"
    return took
