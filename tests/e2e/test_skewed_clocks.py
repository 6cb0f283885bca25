#!/usr/bin/env python3
"""Nodes whose wall clocks are wrong: edges 2 h behind, 2 h ahead, and jumping; a cloud that starts again in the past.

    tests/e2e/test_skewed_clocks.py [--seed S]

Whatever the clocks say: links come up, every record that a spool committed is in the cloud's log exactly once, and the
cloud shows by how much an edge's clock is off. A sample is stored with the time that its edge had; one that is further
ahead than ingest.future_max is not stored, and the ledger says so (clock_ahead).
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, get_json, run_command, seeded, wait_until  # noqa: E402
from lib.skewed_clock import SkewedClock  # noqa: E402
from lib.web import Failed  # noqa: E402
from test_rounds import check_identities  # noqa: E402

HOUR = 3600
FUTURE_MAX = 600


def samples(cloud, site):
    """Times of all that is stored of one series, at most 12 h from the right time."""
    found = cloud.query(f'node_load1{{site="{site}"}}[24h]', time=time.time() + 12 * HOUR)
    return sorted(float(t) for one in found for t, _ in one["values"])


def since(moment, cloud, site, offset):
    """Samples that were collected from that moment on by a clock that is so far off."""
    return [t for t in samples(cloud, site) if moment + offset <= t <= time.time() + offset + 1]


def offsets(cloud, site):
    """What the cloud says, nothing where it has not heard of the site since it started."""
    return [s["clock_offset"] for s in cloud.sites() if s["site"] == site and s["clock_offset"] is not None]


def wait_offset(cloud, site, expected):
    wait_until(lambda: any(abs(said - expected) < 1 for said in offsets(cloud, site)), 10,
               f"the offset of {site} to show as {expected:g} s")


def ahead(cloud, site):
    return [loss for loss in get_json(cloud.url + "/api/v1/loss")["data"]
            if loss["site"] == site and loss["cause"] == "clock_ahead"]


def edges_with_wrong_clocks(workspace, random):
    cloud = Cloud(workspace).start()
    edges = {}
    began = time.time()
    for name, offset in (("behind", -2 * HOUR), ("right", 0), ("ahead", 2 * HOUR), ("jumping", 0)):
        edge = Edge(workspace, name, collect={"interval": "200ms", "enabled": ["loadavg"]},
                    spool={"commit_journal": workspace.file(name + ".journal")})
        edge.clock = SkewedClock.make(workspace, name, offset)
        if edge.clock is None:
            return None
        edge.clock.rule(edge)
        edge.join(cloud.invite(name, name))
        edge.start()
        edges[name] = edge

    wait_until(lambda: since(began, cloud, "behind", -2 * HOUR), 20, "samples of the edge that is behind, 2 h ago")
    wait_until(lambda: ahead(cloud, "ahead"), 20, "the ledger to tell of samples from the future")
    assert not samples(cloud, "ahead"), "samples from the future were stored"
    wait_offset(cloud, "behind", -2 * HOUR)
    wait_offset(cloud, "ahead", 2 * HOUR)
    wait_offset(cloud, "jumping", 0)
    said = run_command([cloud.binary("skerry"), "--url", cloud.url, "sites"])
    assert " behind " in said and " ahead " in said, said
    print("  two hours behind: stored with the edge's time; two hours ahead: in the ledger; both shown")

    # Jumps while it runs, back and forth, within what is stored and beyond.
    for _ in range(8):
        offset = random.choice((random.uniform(-2 * HOUR, 0), random.uniform(0, FUTURE_MAX - 60), random.uniform(-1, 1),
                                random.uniform(FUTURE_MAX + 60, 2 * HOUR)))
        edges["jumping"].clock.set(offset)
        jumped = time.time()
        if random.random() < 0.3:  # ... and across a restart
            edges["jumping"].process.kill()
            edges["jumping"].start()
        if offset < FUTURE_MAX:
            wait_until(lambda o=offset, t=jumped: since(t, cloud, "jumping", o), 10, f"samples at {offset:+.0f} s")
        wait_offset(cloud, "jumping", offset)
        time.sleep(random.uniform(0, 0.7))
    edges["jumping"].clock.set(0)
    print("  a clock that jumps: what comes is stored with the time that the clock said")

    put_right = time.time()
    edges["ahead"].clock.set(0)
    wait_until(lambda: since(put_right, cloud, "ahead", 0), 10, "samples of a clock that was put right")
    wait_offset(cloud, "ahead", 0)
    edges["behind"].clock.set(0)
    wait_until(lambda: since(put_right, cloud, "behind", 0), 10, "samples of a clock that was put right")
    print("  clocks put right: what comes has the right time")
    return cloud, edges


def cloud_in_the_past(workspace, cloud, edges):
    before = {name: len(ahead(cloud, name)) for name in edges}
    cloud.process.kill()
    argv = cloud.process.argv
    clock = SkewedClock.make(workspace, "cloud", -2 * HOUR).rule(cloud)
    cloud.start()
    started = time.time()
    for name in edges:
        wait_until(lambda n=name: since(started, cloud, n, 0), 40, f"samples of {name} while the cloud is in the past")
        wait_offset(cloud, name, 2 * HOUR)
    after = {name: len(ahead(cloud, name)) for name in edges}
    assert before == after, f"samples were dropped as from the future: {before}, then {after}"
    print("  a cloud that starts again two hours in the past: edges whose clocks are right lose nothing")
    clock.set(0)
    put_right = time.time()
    for edge in edges.values():
        wait_until(lambda e=edge: since(put_right, cloud, e.name, 0), 20, "samples after the cloud's clock was put right")
    cloud.process.argv = argv


def stood_for(records, ledger):
    """The records that tombstones stand for besides their own, as they would be listed."""
    stones = {tuple(r[:4]) for r in records if r[4] == "7"}
    out = []
    for words in ledger:
        if "tombstone" in words:
            at = words.index("tombstone")
            first, last = int(words[at + 1]), int(words[at + 3].removeprefix("last="))
            if (*words[:3], str(first)) in stones:
                out += [[*words[:3], str(seq), "7"] for seq in range(first + 1, last + 1)]
    return out


def not_healthy(node):
    try:
        node.get("/-/healthy")
    except Failed as e:
        assert e.status == 503, e
        return e.body
    return ""


def fresh_cloud_in_the_past(workspace):
    """A cloud whose clock is wrong from its first start on destroys nothing of what its edges send."""
    cloud = Cloud(workspace, name="new")
    clock = SkewedClock.make(workspace, "new", -2 * HOUR).rule(cloud)
    cloud.start()
    began = time.time()
    edges = []
    for name in ("east", "west"):
        edge = Edge(workspace, name, collect={"interval": "200ms", "enabled": ["loadavg"]})
        edge.join(cloud.invite(name, name))
        edges.append(edge.start())

    wait_until(lambda: cloud.metric("skerry_ingest_clock_trusted") == 0, 20, "the cloud to doubt its clock")
    wait_until(lambda: cloud.metric("skerry_shard_doubted_parts_total") > 1, 20, "what is ahead to be kept away")
    assert "behind those of" in not_healthy(cloud)
    for edge in edges:
        assert not ahead(cloud, edge.name), "samples were called ahead by a clock that is behind"
    clock.set(0)
    for edge in edges:
        wait_until(lambda e=edge: since(began, cloud, e.name, 0), 60, f"samples of {edge.name}")
        wait_until(lambda e=edge: e.pending() == 0, 60, f"{edge.name} to drain")
        first = min(since(began, cloud, edge.name, 0))
        assert first - began < 10, f"{edge.name}: the first sample is of {first - began:.1f} s after the start"
        assert not ahead(cloud, edge.name)
    assert not not_healthy(cloud)
    for edge in edges:
        edge.process.stop()
    cloud.process.stop()
    print("  a new cloud two hours in the past: it says so, and destroys nothing")


def check(cloud, edges):
    # Without collecting, so that they end.
    for edge in edges.values():
        edge.process.stop()
        edge.config["collect"] = {"host_metrics": False}
        edge.write_config()
        edge.start()
    for edge in edges.values():
        wait_until(lambda e=edge: e.status()["link"]["state"] == "live" and e.pending() == 0, 40, f"{edge.name} to drain")
    stored = {name: samples(cloud, name) for name in edges}
    ids = {s["site"]: s["edge"] for s in cloud.sites()}
    cloud.assert_sound()
    for edge in edges.values():
        edge.process.stop()
    cloud.process.stop()
    _, records, ledger = cloud.verify()
    check_identities(edges.values(), records + stood_for(records, ledger))
    for name in edges:
        frames = sum(1 for r in records if r[0] == ids[name] and r[4] == "1")
        print(f"  {name}: {frames} frames in the log, {len(stored[name])} samples of a series")
        assert len(stored[name]) == len(set(stored[name])), f"{name}: a time twice"
        # A clock that is put back by less than a second meets moments of its interval again: two frames, one sample.
        again = frames - len(stored[name])
        assert 0 <= again <= (40 if name == "jumping" else 0), f"{name}: {frames} frames, {len(stored[name])} samples"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    with Workspace("clocks") as workspace:
        made = edges_with_wrong_clocks(workspace, seeded(options.seed))
        if made is None:
            return
        cloud, edges = made
        cloud_in_the_past(workspace, cloud, edges)
        check(cloud, edges)
    with Workspace("clocks-new") as workspace:
        fresh_cloud_in_the_past(workspace)
    print("passed")


if __name__ == "__main__":
    main()
