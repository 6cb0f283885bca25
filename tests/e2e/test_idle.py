#!/usr/bin/env python3
# alone: judges CPU
"""An idle edge (host collectors every 10 s): under 20 MB resident, under 0.5 % of one core.

    tests/e2e/test_idle.py [--seconds 40]
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, wait_until  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40)
    options = parser.parse_args()
    with Workspace("idle") as w:
        cloud = Cloud(w).start()
        edge = Edge(w, "edge", collect={"interval": "10s"})
        edge.join(cloud.invite())
        edge.start()
        wait_until(lambda: cloud.query("node_load1"), 30, "the first sample")
        time.sleep(10)  # start-up is over
        cpu, begin = edge.process.cpu_seconds(), time.monotonic()
        time.sleep(options.seconds)
        share = (edge.process.cpu_seconds() - cpu) / (time.monotonic() - begin)
        memory = edge.process.memory()
        print(f"  {memory['rss'] / 1e6:.1f} MB resident ({memory['anon'] / 1e6:.1f} MB anonymous), "
              f"{100 * share:.2f} % of one core")
        assert memory["rss"] < 20e6, "more than 20 MB resident"
        assert share < 0.005, "more than 0.5 % of one core"
    print("passed")


if __name__ == "__main__":
    main()
