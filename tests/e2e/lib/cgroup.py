"""Memory cgroups for processes under test, of version 1 or 2, where the machine allows.

    group = MemoryCgroup.make("cloud", 64 << 20)    # None, with a line that says why, where there are none to be had
    process.argv = group.argv(process.argv)         # the command, started inside
    group.peak(), group.oom_kills(); group.close()  # once the processes have ended

Beyond the limit the kernel takes page cache back, and then kills. Swap is not used.
"""

import os
import time


def _write(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="ascii") as f:
        f.write(str(value))


def _read(folder, name):
    with open(os.path.join(folder, name), encoding="ascii") as f:
        return f.read()


class MemoryCgroup:
    @classmethod
    def make(cls, name, limit):
        try:
            return cls(name, limit)
        except OSError as e:
            print(f"skipped: no memory cgroup on this machine: {e}", flush=True)
            return None

    def __init__(self, name, limit):
        self.version, parent = self._place()
        self.folder = os.path.join(parent, f"skerry-{os.getpid()}-{name}")
        os.mkdir(self.folder)
        try:
            if self.version == 1:
                _write(self.folder, "memory.limit_in_bytes", limit)
                if os.path.exists(os.path.join(self.folder, "memory.swappiness")):
                    _write(self.folder, "memory.swappiness", 0)
            else:
                _write(self.folder, "memory.max", limit)
                if os.path.exists(os.path.join(self.folder, "memory.swap.max")):
                    _write(self.folder, "memory.swap.max", 0)
        except OSError:
            os.rmdir(self.folder)
            raise

    @staticmethod
    def _place():
        """(version, folder in which a group may be made): below the own one, in version 2 beside it, since a group there
        has either processes or groups with limits."""
        mounts = [line.split() for line in _read("/proc/self", "mounts").splitlines()]
        own = [line.split(":", 2) for line in _read("/proc/self", "cgroup").splitlines()]
        for _, controllers, path in own:
            if "memory" in controllers.split(","):
                for _, folder, kind, options, *_ in mounts:
                    if kind == "cgroup" and "memory" in options.split(","):
                        return 1, folder + path
        for _, controllers, path in own:
            for _, folder, kind, *_ in mounts:
                if controllers == "" and kind == "cgroup2":
                    parent = os.path.dirname((folder + path).rstrip("/")) if path != "/" else folder
                    if "memory" in _read(parent, "cgroup.subtree_control").split():
                        return 2, parent
        raise OSError("no memory controller is mounted that hands out limits")

    def argv(self, argv):
        return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', os.path.join(self.folder, "cgroup.procs"), *argv]

    def peak(self):
        """The most that was charged, page cache included; None where the kernel does not say."""
        try:
            return int(_read(self.folder, "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"))
        except OSError:
            return None

    def oom_kills(self):
        lines = _read(self.folder, "memory.oom_control" if self.version == 1 else "memory.events").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))

    def close(self):
        for _ in range(100):  # the last process may still be on its way out
            try:
                os.rmdir(self.folder)
                return
            except OSError:
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
