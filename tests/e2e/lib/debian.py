"""Programs of Debian packages, unpacked below build/cache without installing them: no service starts."""

import fcntl
import glob
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def program(package, path):
    """The path of `path` (like usr/bin/promtool) out of `package`."""
    folder = os.path.join(ROOT, "build", "cache", package)
    binary = os.path.join(folder, path)
    os.makedirs(folder, exist_ok=True)
    with open(folder + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side
        if not os.path.exists(binary):
            subprocess.run(["apt-get", "-q", "download", package], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            for file in glob.glob(os.path.join(folder, package + "_*.deb")):
                subprocess.run(["dpkg", "-x", file, folder], check=True)
    return binary
