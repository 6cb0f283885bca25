#!/usr/bin/env python3
# alone: judges time
"""A site behind a thin link: what is fresh must not wait behind a large backlog, and the backlog must use its share.

    tests/e2e/test_thin_link.py [--round-trips 5ms,700ms] [--rate 32000] [--loss 0.02] [--backlog 50000000] [--for 20]

Two network namespaces with an emulated link of 256 kbit/s between them. The edge has a backlog of 50 MB. Shown for each
round trip: the live view is current within 2 s + 8 round trips of the first successful connect, it is never more than
10 s behind afterwards, and records flow at 80 % at least of what the link carries: its rate less lost packets and the
headers of full ones. Over long round trips that takes the connection that the backlog gets for itself after ten seconds.
The bytes that the edge says it has on the link are compared with those that passed the emulated link.
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, EmulatedLink, Workspace, binaries, run_command, wait_until  # noqa: E402


_PAYLOAD = 1448 / 1500  # of a full packet: 20 bytes of IP, 32 of TCP


def seconds(text):
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text.rstrip("s"))


def live_age(cloud, host):
    """Seconds since the newest watermark of this host; None before the first."""
    for h in cloud.get_json("/api/v1/hosts")["data"]:
        if h["host"] == host and h["live_watermark"]:
            return time.time() - h["live_watermark"]
    return None


def measure(workspace, name, args, round_trip):
    with_link = EmulatedLink.make(rate=args.rate, delay=round_trip / 2, loss=args.loss, seed=args.seed)
    if with_link is None:
        return False
    with with_link as link:
        cloud = Cloud(workspace, f"cloud-{name}").within(link.far)
        cloud.config["link"] = {"bind": "tcp://*:7481", "advertise": f"tcp://{link.far_address}:7481"}
        cloud.write_config()
        cloud.start()
        edge = Edge(workspace, f"edge-{name}", collect={"interval": "1s", "enabled": ["cpu", "loadavg", "meminfo"]})
        edge.within(link.near)
        edge.join(cloud.invite())
        run_command([os.path.join(binaries(), "fill"), "spool", "--past", "--data", edge.data, "--bytes", args.backlog],
                    600)
        edge.start(60)
        wait_until(lambda: edge.metric("skerry_uplink_sessions_total") >= 1 or None, 60, "a session")
        connected = time.monotonic()
        # Current: what the cloud has is no older than the interval and one trip.
        fresh = round_trip / 2 + 2.0
        wait_until(lambda: (live_age(cloud, edge.config["host"]) or 1e9) < fresh, 60, "a current live view", every=0.05)
        took = time.monotonic() - connected
        allowed = 2 + 8 * round_trip
        # After slow start and once the backlog goes apart: what passes, and how far behind the live view is.
        time.sleep(10 * round_trip + 15)
        before, at = link.counts(), time.monotonic()
        runs = edge.metric("skerry_uplink_bytes_total")
        worst = 0.0
        while time.monotonic() - at < args.duration:
            worst = max(worst, live_age(cloud, edge.config["host"]))
            time.sleep(0.1)
        span = time.monotonic() - at
        passed = link.counts()
        up = (passed["up"] - before["up"]) / span
        payload = (edge.metric("skerry_uplink_bytes_total") - runs) / span
        status = edge.status()["link"]
        assert status["pendingRecords"] > 1000, "the backlog was gone too early to measure"
        said, counted = status["bytesToday"], sum(link.counts().values())
        print(f"  round trip {round_trip * 1000:.0f} ms: live after {took:.2f} s ({allowed:.1f} allowed), at most "
              f"{worst:.1f} s behind; {payload / args.rate:.0%} of the link is records ({up / args.rate:.0%} with all "
              f"headers and repeats); bytes said / passed: {said / counted:.3f}")
        assert took <= allowed, f"the live view was current after {took:.2f} s, {allowed:.1f} s are allowed"
        assert worst <= 10, f"the live view was {worst:.1f} s behind"
        share = args.rate * (1 - args.loss) * _PAYLOAD
        assert payload >= 0.8 * share, f"{payload:.0f} bytes a second of records, the link carries {share:.0f}"
        assert 0.95 <= said / counted <= 1.05, f"the edge counts {said} bytes, {counted} passed"
        edge.process.stop()
        cloud.process.stop()
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--round-trips", default="5ms,700ms", help="1500ms too, for instance")
    parser.add_argument("--rate", type=float, default=32000, help="bytes a second each way")
    parser.add_argument("--loss", type=float, default=0.02)
    parser.add_argument("--backlog", type=int, default=50_000_000, help="bytes on the edge's disk")
    parser.add_argument("--for", dest="duration", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with Workspace() as workspace:
        for text in args.round_trips.split(","):
            if not measure(workspace, text, args, seconds(text)):
                return
    print("passed")


if __name__ == "__main__":
    main()
