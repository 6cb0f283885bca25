#!/usr/bin/env python3
"""Damage in a cloud's own files: whoever finds it, the ledger, completeness and every answer about that time say so.

    tests/e2e/test_store_damage.py
"""

import glob
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Workspace, get_json, push, wait_until  # noqa: E402

HOSTS = ("h1", "h2")
SAMPLES = 300


def partitions(cloud):
    return sorted(glob.glob(os.path.join(cloud.data, "store", "partitions", "*", "data.mdb")))


def damage_blocks(file):
    """Overwrites 8 bytes of each block, and of what only looks like one: pages have room in which old memory is left."""
    with open(file, "r+b") as f:
        content = f.read()
        at = content.find(b"SkBk")
        assert at > 0, file
        while at > 0:
            f.seek(at + 60)
            f.write(b"damaged!")
            at = content.find(b"SkBk", at + 1)


def losses(cloud):
    return [e for e in get_json(cloud.url + "/api/v1/loss", start=0)["data"] if e["cause"] == "corrupt"]


def ask(cloud, expression, at):
    answer = get_json(cloud.url + "/api/v1/query", query=expression, time=at)
    return answer["data"]["result"], answer.get("warnings", [])


def main():
    with Workspace() as workspace:
        cloud = Cloud(workspace, store={"log_age_max": "1s", "scrub_bytes_per_second": "64MiB", "scrub_interval": "1s"}).start()
        end = int(time.time()) - 5
        begin = end - SAMPLES + 1
        push(cloud.url, [({"__name__": "m", "host": h}, [((begin + i) * 1000, i * 0.7 + k) for i in range(SAMPLES)])
                         for k, h in enumerate(HOSTS)])
        wait_until(lambda: cloud.metric("skerry_store_samples_sealed_total") >= SAMPLES * len(HOSTS), 40, "sealing")
        everything = f"count_over_time(m[{SAMPLES}s])"
        found, warnings = ask(cloud, everything, end)
        assert sum(int(s["value"][1]) for s in found) == SAMPLES * len(HOSTS) and not warnings, (found, warnings)

        # Nobody asks: the scrub finds it.
        cloud.process.stop()
        damage_blocks(partitions(cloud)[0])
        cloud.start()
        # Each host has a block of its own, and the scrub reads them one after the other.
        wait_until(lambda: {e["host"] for e in losses(cloud)} == set(HOSTS), 30, "the scrub to name the damage of both hosts")
        named = losses(cloud)
        assert len(named) == len(HOSTS) and all(e["samples"] > 0 for e in named), named
        host = named[0]["host"]
        found, warnings = ask(cloud, everything, end)
        counted = sum(int(s["value"][1]) for s in found)
        assert counted < SAMPLES * len(HOSTS), "the block was not damaged"
        assert any(f"'{host}'" in w and "lost (corrupt)" in w for w in warnings), warnings
        lost = [r for c in get_json(cloud.url + "/api/v1/completeness", start=begin, end=end)["data"] if c["host"] == host
                for r in c["ranges"] if r["state"] == "lost"]
        assert lost and lost[0]["cause"] == "corrupt", lost
        said = subprocess.run([cloud.binary("skerry"), "--url", cloud.url, "query", everything, "--time", str(end)],
                              capture_output=True, text=True, timeout=30, check=True)
        assert "lost (corrupt)" in said.stderr, said
        passes = cloud.metric("skerry_store_scrub_passes_total")
        wait_until(lambda: cloud.metric("skerry_store_scrub_passes_total") >= passes + 2, 30, "two more passes")
        ask(cloud, everything, end)
        assert losses(cloud) == named, "what was found again became a row again"
        print("a damaged block: named by the scrub, once; the answers, completeness and the command say so")

        # A whole partition that cannot be read: no series is found, and that is said.
        cloud.process.stop()
        for file in partitions(cloud):
            with open(file, "r+b") as f:
                f.truncate(os.path.getsize(file) // 2)
        cloud.start()
        found, warnings = ask(cloud, "absent(m)", end)
        assert found and any("lost (corrupt)" in w for w in warnings), (found, warnings)
        assert get_json(cloud.url + "/api/v1/series", **{"match[]": "m", "start": begin, "end": end}).get("warnings")
        _, warnings = ask(cloud, "absent(m)", begin - 40 * 86400)
        assert not warnings, warnings
        cloud.process.stop()
        cloud.start()
        assert any("lost (corrupt)" in w for w in ask(cloud, "absent(m)", end)[1])
        assert not any(e["start"] is None for e in losses(cloud)), losses(cloud)
        cloud.process.stop()
        print("a partition set aside: absent() over it warns, also after a restart")
    print("passed")


if __name__ == "__main__":
    main()
