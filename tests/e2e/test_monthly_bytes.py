#!/usr/bin/env python3
"""What a metered link pays in a month, over a round trip of 700 ms: idle, with 500 series a minute, and flapping.

    tests/e2e/test_monthly_bytes.py [--round-trip 700ms] [--for 40]

Counted where the packets pass, with IP and TCP headers. Time is compressed: pings and collections come every few seconds,
and what each of them costs is taken as often as a month has it with the default settings. Host metrics of this machine
are the series; what they cost beyond a fixed part is scaled to 500.
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, EmulatedLink, Workspace, wait_until  # noqa: E402

MONTH = 30 * 86400
PING = 240  # uplink.ping_interval
FLAPS = MONTH / 600
MB = 1e6


def total(link):
    return sum(link.counts().values())


def rate_of(link, seconds):
    before, began = total(link), time.monotonic()
    time.sleep(seconds)
    return (total(link) - before) / (time.monotonic() - began)


def start(workspace, link, name, **config):
    cloud = Cloud(workspace, f"cloud-{name}").within(link.far)
    cloud.config["link"] = {"bind": "tcp://*:7481", "advertise": f"tcp://{link.far_address}:7481"}
    cloud.write_config()
    cloud.start()
    edge = Edge(workspace, f"edge-{name}", **config).within(link.near)
    edge.join(cloud.invite())
    edge.start(60)
    wait_until(lambda: edge.status()["link"]["state"] == "live", 30, "a session")
    return cloud, edge


def idle(workspace, link, seconds):
    every = 3
    cloud, edge = start(workspace, link, "idle", collect={"host_metrics": False}, uplink={"ping_interval": f"{every}s"})
    time.sleep(5)
    ping = rate_of(link, seconds) * every
    edge.process.stop()
    cloud.process.stop()
    month = ping * MONTH / PING / MB
    print(f"  idle: {ping:.0f} bytes a ping, {month:.2f} MB a month")
    assert month <= 5, month


def collecting(workspace, link, seconds):
    every = 4
    cloud, edge = start(workspace, link, "collecting", collect={"interval": f"{every}s"},
                        uplink={"dead_after": "4s"})
    wait_until(lambda: cloud.query("count(node_cpu_seconds_total)"), 30, "samples")
    time.sleep(2 * every)
    series = float(cloud.query("count({__name__=~'.+'})")[0]["value"][1])
    each = rate_of(link, seconds) * every
    month = each * MONTH / 60 * max(1, 500 / series) / MB
    print(f"  {series:.0f} series: {each:.0f} bytes a collection; 500 a minute: {month:.1f} MB a month")
    assert month <= 100, month

    # A flap: the link is away until the session is given up, and the next one begins with a handshake.
    sessions = edge.metric("skerry_uplink_sessions_total")
    before, began, flaps = total(link), time.monotonic(), 2
    for n in range(flaps):
        link.cut()
        time.sleep(9)
        link.heal()
        wait_until(lambda: edge.metric("skerry_uplink_sessions_total") > sessions + n, 60, "the next session")
        time.sleep(6)
    wait_until(lambda: edge.status()["link"]["pendingRecords"] < 3, 60, "the backlog to arrive")
    spent = total(link) - before - each / every * (time.monotonic() - began)
    again = edge.metric("skerry_uplink_sessions_total") - sessions
    flapping = month + max(0, spent) / flaps * FLAPS / MB
    print(f"  a flap: {spent / flaps:.0f} bytes ({again:.0f} new sessions in {flaps}); every 10 minutes: {flapping:.1f} MB a month")
    assert flapping <= 125, flapping
    edge.process.stop()
    cloud.process.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--round-trip", default="700ms")
    parser.add_argument("--for", dest="duration", type=float, default=40.0)
    args = parser.parse_args()
    text = args.round_trip
    delay = float(text[:-2]) / 1000 if text.endswith("ms") else float(text.rstrip("s"))
    link = EmulatedLink.make(rate=32000, delay=delay / 2)
    if link is None:
        return
    with link, Workspace() as workspace:
        idle(workspace, link, args.duration)
        collecting(workspace, link, args.duration)
    print("passed")


if __name__ == "__main__":
    main()
