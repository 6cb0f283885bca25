"""Programs that a benchmark starts: built before it does anything else, or named at once where they are missing."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
RELEASE = os.path.join(ROOT, "build", "release", "bin")


def build_first(folder, *programs):
    """Builds them where `folder` (None: the default) is that of the release build; else they must be there. Ends this
    process with 2, and with what to do, where they are not."""
    folder = os.path.abspath(folder or os.environ.get("SKERRY_BIN") or RELEASE)
    if folder == RELEASE:
        steps = [["cmake", "--build", "--preset", "release", "--target", *programs]]
        if not os.path.exists(os.path.join(ROOT, "build", "release", "CMakeCache.txt")):
            steps.insert(0, ["cmake", "--preset", "release"])
        print(f"building {', '.join(programs)}", file=sys.stderr)
        for step in steps:
            done = subprocess.run(step, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                print(*(done.stdout + done.stderr).splitlines()[-20:], sep="\n", file=sys.stderr)
                print(f"{os.path.basename(sys.argv[0])}: {' '.join(step)} failed", file=sys.stderr)
                sys.exit(2)
    missing = [name for name in programs if not os.access(os.path.join(folder, name), os.X_OK)]
    if missing:
        print(f"{os.path.basename(sys.argv[0])}: {folder} has no {', '.join(missing)}: build them there, or leave out --bin",
              file=sys.stderr)
        sys.exit(2)
