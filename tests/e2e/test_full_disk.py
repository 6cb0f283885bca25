#!/usr/bin/env python3
"""A full disk on either side, and then room again: no restart, no damage, and the ledger explains what is missing.

    tests/e2e/test_full_disk.py [--for 15s]

Each node has a small file system of its own (tmpfs), which a file fills for that long. While the edge's disk is full the
cloud is away too, so that the edge has nowhere to put what it collects. While the cloud's is full the link costs no more
than before (from a minute on: bytes at the IP level, at most 1.2 times those of a quiet while), either end writes at most ten
lines, and the backlog is there 35 seconds after there is room.
"""

import argparse
import contextlib
import math
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, wait_until  # noqa: E402
from lib.web import Failed  # noqa: E402


LINK_RATIO_MAX = 1.2
LINES_MAX = 10
RECOVERY_SECONDS_MAX = 35
JUDGED_SECONDS = 60  # shorter, a try more or less decides


class LinkMeter:
    """Bytes a second on the link of an edge, at the IP level, and the lines that each node wrote."""

    def __init__(self, edge, cloud):
        self.edge, self.cloud, self.began = edge, cloud, time.monotonic()
        self.bytes, self.lines = self.now(), self.said()

    def now(self):
        return self.edge.metric("skerry_uplink_link_bytes_today")

    def said(self):
        return {node.name: len(node.process.text().splitlines()) for node in (self.edge, self.cloud)}

    def rate(self):
        return (self.now() - self.bytes) / (time.monotonic() - self.began)

    def new_lines(self):
        return {name: lines - self.lines[name] for name, lines in self.said().items()}


@contextlib.contextmanager
def small_disk(node, size):
    """Gives the node's data a file system of its own; yields whether that can be had here."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "skerry-test", node.data],
                      capture_output=True, check=False).returncode != 0:
        print(f"{node.name}: SKIPPED, a small file system of its own can't be mounted here (it needs root)")
        yield False
        return
    try:
        yield True
    finally:
        node.process.kill()
        subprocess.run(["umount", "-l", node.data], capture_output=True, check=False)


def fill(node):
    """Takes what is left of the node's disk, and what it frees meanwhile is its own; returns the file."""
    path = os.path.join(node.data, "filler")
    with open(path, "wb", buffering=0) as f:
        with contextlib.suppress(OSError):
            while True:
                f.write(bytes(4096))
    return path


def unhealthy(node):
    """Why the node says that it is not healthy; empty where it says that it is."""
    try:
        node.get("/-/healthy")
    except Failed as e:
        assert e.status == 503, e
        return e.body
    return ""


def cloud_full(w, seconds):
    cloud = Cloud(w, "cloud-full", store={"log_segment_bytes": "4MiB", "log_bytes_max": "16MiB"})
    with small_disk(cloud, "48m") as possible:
        if not possible:
            return
        cloud.start()
        edge = Edge(w, "sender", collect={"interval": "500ms", "enabled": ["loadavg"]})
        edge.join(cloud.invite())
        edge.start()
        wait_until(lambda: cloud.query("node_load1"), 20, "a sample")
        before = cloud.metric("process_start_time_seconds")
        time.sleep(2)  # what a first session says
        quiet = LinkMeter(edge, cloud)
        time.sleep(max(5, min(seconds, JUDGED_SECONDS)))
        quiet_rate = quiet.rate()
        began = math.ceil(time.time())
        filler = fill(cloud)
        full = LinkMeter(edge, cloud)
        wait_until(lambda: cloud.metric("skerry_store_appends_failed_total") > 0, 60, "an append to fail")
        wait_until(lambda: edge.pending() > 5, 60, "the edge to keep what is not stored")
        assert cloud.query("node_load1"), "it stopped answering"
        assert "nothing can be stored" in unhealthy(cloud), "a node that can't take data must say so"
        time.sleep(max(0, began + seconds - time.time()))
        full_rate, lines = full.rate(), full.new_lines()
        ended = math.floor(time.time())
        room = time.monotonic()
        os.remove(filler)
        wait_until(lambda: edge.pending() < 3, RECOVERY_SECONDS_MAX, "the backlog to drain")
        recovery = time.monotonic() - room
        wait_until(lambda: not unhealthy(cloud), 10, "it to say that it takes data again")
        assert cloud.metric("process_start_time_seconds") == before, "it was restarted"
        cloud.assert_sound()
        counts = per_second(cloud, began, ended)
        missing = [t for t in range(began + 1, ended) if counts.get(t, 0) == 0]
        assert not missing, f"seconds without a sample: {missing}"
        edge.process.stop()
        cloud.process.stop()
        _, records, _ = cloud.verify()
        numbers = [tuple(record[:4]) for record in records]
        assert len(numbers) == len(set(numbers)), "a record is stored twice"
        print(f"full disk of the cloud for {ended - began} s: nothing lost, nothing twice, and on it went after {recovery:.1f} s; "
              f"link {quiet_rate:.0f} bytes a second before, {full_rate:.0f} while it was full "
              f"({full_rate / quiet_rate:.2f} times); lines written: {lines}")
        assert seconds < JUDGED_SECONDS or full_rate <= LINK_RATIO_MAX * quiet_rate, "it costs the link too much"
        assert max(lines.values()) <= LINES_MAX * max(1, seconds / 600), "it fills the log"


def per_second(cloud, began, ended):
    answer = cloud.get_json("/api/v1/query_range", query="count_over_time(node_load1[1s])", start=began, end=ended, step=1)
    return {int(float(t)): float(n) for series in answer["data"]["result"] for t, n in series["values"]}


def edge_full(w, seconds):
    cloud = Cloud(w, "cloud").start()
    edge = Edge(w, "edge-full", collect={"interval": "100ms"},
                spool={"segment_bytes": "1MiB", "reserve_bytes": "64KiB", "local_retention": 0})
    with small_disk(edge, "16m") as possible:
        if not possible:
            return
        edge.join(cloud.invite())
        edge.start()
        wait_until(lambda: cloud.query("node_load1"), 20, "a sample")
        before = edge.metric("process_start_time_seconds")
        began = math.ceil(time.time())
        cloud.process.stop()
        filler = fill(edge)
        wait_until(lambda: edge.metric("skerry_spool_reserve_held") == 0, 60, "the edge to give its reserve up")
        time.sleep(max(0, began + seconds - time.time()))
        os.remove(filler)
        ended = math.floor(time.time())
        cloud.start()
        wait_until(lambda: edge.status()["link"]["state"] == "live" and edge.pending() < 3, 60, "the backlog to drain")
        time.sleep(2)
        assert edge.metric("process_start_time_seconds") == before, "it was restarted"
        assert edge.metric("skerry_spool_segments_damaged_total") == 0, "it calls a segment damaged"
        counts = per_second(cloud, began, ended)
        host = cloud.get_json("/api/v1/completeness", start=began, end=ended)["data"][0]
        named = [r for r in host["ranges"] if r["state"] in ("lost", "not_collected")]
        unsaid = [t for t in range(began + 1, ended)
                  if counts.get(t, 0) == 0 and not any(r["start"] - 1 <= t <= r["end"] + 1 for r in named)]
        assert not unsaid, f"seconds without a sample that nobody explains: {unsaid}; {host['ranges']}"
        lost = sum(1 for t in range(began + 1, ended) if counts.get(t, 0) == 0)
        assert lost > 0 or seconds < 60, "nothing was lost: it was not full for long enough"
        causes = sorted({r["cause"] for r in named})
        print(f"full disk of the edge for {ended - began} s, without a link: {lost} s lost, all named ({', '.join(causes)}), "
              "and on it went")
        edge.process.stop()
    cloud.process.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--for", dest="seconds", default="15s", help="how long each disk is full")
    seconds = float(parser.parse_args().seconds.rstrip("s"))
    with Workspace("full-disk") as w:
        cloud_full(w, seconds)
        edge_full(w, seconds)
    print("passed")


if __name__ == "__main__":
    main()
