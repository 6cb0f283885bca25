#!/usr/bin/env python3
"""A fixed part of tests/conformance/differential: 150 generated queries, the same answers from Debian's Prometheus."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, os.path.join(ROOT, "tests", "conformance", "differential"), "--seed", "1",
                             "--queries", "150"]).returncode)
