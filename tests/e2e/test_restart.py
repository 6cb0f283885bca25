#!/usr/bin/env python3
# alone: judges time
"""Restarts after kill -9 with much on disk: first collection and first correct query within 2 s.

    tests/e2e/test_restart.py [--spool 1GiB] [--log 128MiB] [--within 2.0]

The edge's spool is filled to the given size while no receiver is there, and so is the cloud's write-ahead log, by a
program that writes frames through the same code and then ends without closing anything (tests/e2e/fill.cpp).
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, binaries, run_command, wait_until  # noqa: E402


def size(text):
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    return int(float(text[:-3]) * units[text[-3:]])


def seconds_until(condition, deadline=30.0):
    begin = time.monotonic()
    wait_until(condition, deadline, every=0.005)
    return time.monotonic() - begin


def edge_restart(workspace, spool_bytes, within):
    cloud = Cloud(workspace).start()
    edge = Edge(workspace, "edge", collect={"interval": "100ms", "enabled": ["loadavg"]})
    edge.join(cloud.invite())
    cloud.process.stop()
    run_command([os.path.join(binaries(), "fill"), "spool", "--data", edge.data, "--bytes", spool_bytes], 600)
    edge.start(60)
    held = edge.status()["spool"]["diskBytes"]
    wait_until(lambda: edge.metric("skerry_gateway_samples_committed_total") > 0, 20, "a collection")
    edge.process.kill()
    begin = time.monotonic()
    edge.process.start()
    took = seconds_until(lambda: collected(edge))
    print(f"  edge: first collection {took:.2f} s after the start, {held / (1 << 20):.0f} MiB in the spool")
    assert held >= spool_bytes * 0.9, f"the spool holds only {held} bytes"
    assert took <= within, f"the first collection took {took:.2f} s, {within} s are allowed"
    edge.process.stop()
    return begin


def collected(edge):
    try:
        return edge.metric("skerry_gateway_samples_committed_total") > 0
    except (OSError, AssertionError):
        return False


def cloud_restart(workspace, log_bytes, within):
    # Sealing is put off so that the log fills to its limit.
    cloud = Cloud(workspace, "full", store={"log_bytes_max": 4 * log_bytes, "log_segment_bytes": 2 * log_bytes,
                                            "log_age_max": "1d", "retention": "forever"})
    run_command([os.path.join(binaries(), "fill"), "log", "--data", cloud.data, "--bytes", log_bytes], 600)
    cloud.start(60)
    expected = answer(cloud)
    assert expected, "the filled log answers nothing"
    on_disk = cloud.metric("skerry_store_log_bytes")
    cloud.process.kill()
    cloud.process.start()
    took = seconds_until(lambda: answer(cloud) == expected)
    print(f"  cloud: first correct query {took:.2f} s after the start, {on_disk / (1 << 20):.0f} MiB in the log")
    assert took <= within, f"the first correct query took {took:.2f} s, {within} s are allowed"
    cloud.assert_sound()
    cloud.process.stop()


def answer(cloud):
    try:
        found = cloud.query("fill_value", time="2000000000")
    except (OSError, AssertionError):
        return None
    return sorted((one["metric"]["instance"], one["value"][1]) for one in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spool", type=size, default=size("1GiB"))
    parser.add_argument("--log", type=size, default=size("128MiB"))
    parser.add_argument("--within", type=float, default=2.0)
    options = parser.parse_args()
    with Workspace("restart") as w:
        edge_restart(w, options.spool, options.within)
        cloud_restart(w, options.log, options.within)
    print("passed")


if __name__ == "__main__":
    main()
