#!/usr/bin/env python3
"""Real processes under random faults: replay -> edge -> gateway -> cloud.

    tests/e2e/test_rounds.py [--rounds N] [--targets N] [--seed S]

Without --rounds as many as fit in four minutes, and at least 20. A round is one fault: the cloud, the edge or the gateway killed (-9), the cloud or the edge stopped (SIGSTOP), or a TCP
connection dropped; then some time to go on. At the end everything is healed and drained, and then:

  - every record that a spool committed stands in the cloud's log exactly once, by identity;
  - what is stored was served, bit by bit, and at least 95 % of what was served is stored;
  - what is missing was served at most one commit window (1 s) before an edge was killed, or while it was down, and the
    ledger reports that time as not collected.
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Relay, Replay, Workspace, binaries, free_port, seeded, wait_until  # noqa: E402
from lib.pages import write_pages  # noqa: E402

COMMIT_WINDOW = 1.0
FOUR_MINUTES = 240
DEAD_AFTER = 3.0  # how long nodes wait for an answer on a silent link


class World:
    def __init__(self, workspace, targets, random):
        self.random = random
        # A stable address for each hop: relays stay while what is behind them comes and goes.
        self.cloud = Cloud(workspace)
        self.to_cloud = Relay(("127.0.0.1", self.cloud.link_port))
        self.cloud.config["link"]["advertise"] = f"tcp://127.0.0.1:{self.to_cloud.port}"
        self.cloud.write_config()
        self.cloud.start()
        self.replay = Replay(binaries(), write_pages(workspace), workspace, targets, seed=random.randrange(1 << 30))
        uplink = {"dead_after": f"{DEAD_AFTER:g}s"}
        self.gateway = Edge(workspace, "gateway", link=free_port(), collect={"host_metrics": False}, uplink=uplink,
                            spool={"commit_journal": workspace.file("gateway.journal")})
        self.to_gateway = Relay(("127.0.0.1", self.gateway.link_port))
        self.gateway.config["link"]["advertise"] = f"tcp://127.0.0.1:{self.to_gateway.port}"
        self.gateway.write_config()
        self.gateway.join(self.cloud.invite("ship"))
        self.gateway.start()
        self.edge = Edge(workspace, "edge", collect={"host_metrics": False}, uplink=uplink,
                         spool={"commit_journal": workspace.file("edge.journal")},
                         scrape_configs=[self.replay.scrape_config("1s")])
        self.edge.join(self.gateway.invite("ship"))
        self.edge.start()
        self.down = []  # [(from, to)] in which the edge could not collect

    def calm(self, least=1.0, most=3.0):
        time.sleep(self.random.uniform(least, most))

    def kill(self, node):
        begin = time.time()
        node.process.kill()
        self.calm(0.2, 2.0)
        node.start()
        if node is self.edge:
            self.down.append((begin - COMMIT_WINDOW, time.time() + 0.5))

    def pause(self, node):
        begin = time.time()
        node.process.pause()
        self.calm(1.0, 4.0)
        node.process.resume()
        if node is self.edge:
            self.down.append((begin - COMMIT_WINDOW, time.time() + 1.5))

    def round(self):
        faults = [("cloud killed", lambda: self.kill(self.cloud)), ("edge killed", lambda: self.kill(self.edge)),
                  ("gateway killed", lambda: self.kill(self.gateway)),
                  ("cloud stopped", lambda: self.pause(self.cloud)), ("edge stopped", lambda: self.pause(self.edge)),
                  ("link to the cloud cut", self.to_cloud.cut), ("link to the gateway cut", self.to_gateway.cut)]
        name, fault = self.random.choice(faults)
        print(f"  {name}", flush=True)
        fault()
        self.calm()

    def drain(self):
        # Nothing more is served: what is under way arrives.
        self.edge.config["scrape_configs"] = []
        self.edge.write_config()
        self.edge.process.signal(1)
        self.replay.settled()
        wait_until(lambda: self.edge.pending() == 0, 60, "the edge to drain")
        wait_until(lambda: self.gateway.pending() == 0, 60, "the gateway to drain")


def committed(journal):
    """{(edge, epoch, stream): [(first, last)]} of what a spool said it committed."""
    out = {}
    with open(journal, encoding="ascii") as f:
        for line in f:
            words = line.split()
            if len(words) == 5:
                out.setdefault(tuple(words[:3]), []).append((int(words[3]), int(words[4])))
    return out


def check_identities(nodes, records):
    """What the spools of these nodes committed stands in the cloud's log, each record once."""
    stored = {}
    for edge, epoch, stream, sequence, *_ in records:
        key = (edge, epoch, stream, int(sequence))
        stored[key] = stored.get(key, 0) + 1
    twice = [key for key, times in stored.items() if times > 1]
    assert not twice, f"{len(twice)} records stand in the log more than once, the first is {twice[0]}"
    missing = total = 0
    for node in nodes:
        for key, ranges in committed(node.config["spool"]["commit_journal"]).items():
            for first, last in ranges:
                total += last - first + 1
                missing += sum(1 for s in range(first, last + 1) if (*key, s) not in stored)
    assert total > 0 and missing == 0, f"{missing} of {total} committed records are not in the cloud's log"
    print(f"  {total} committed records, each stored once ({len(stored)} in the log)")


def check_values(world, replay, least=0.95):
    """Compares what is stored with what was served, of which at least this share must be there; returns the steps that
    are missing, with the time served."""
    journal = replay.journal()
    served = {(target, step): at / 1e9 for target, step, at in journal}
    found, wrong = set(), 0
    for target in range(replay.targets):
        host = replay.host(target)
        series = world.cloud.query('{host="%s",job="replay"}[1h]' % host)
        by_name = {}
        steps = {}
        for one in series:
            labels = dict(one["metric"])
            name = labels.pop("__name__")
            for gone in ("site", "host", "instance", "job", "rack"):
                labels.pop(gone, None)
            points = {t: v for t, v in one["values"]}
            if name == "replay_step":
                steps = {t: int(float(v)) for t, v in points.items()}
            text = name + ("{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels.items())) + "}" if labels else "")
            by_name[text] = points
        values = replay.values([(target, step) for step in set(steps.values())])
        for t, step in steps.items():
            assert (target, step) in served, f"step {step} of target {target} is stored and was never served"
            found.add((target, step))
            for text, value in values[(target, step)].items():
                stored = by_name.get(text, {}).get(t)
                if stored is None or not same(stored, value):
                    wrong += 1
    assert wrong == 0, f"{wrong} stored values differ from what was served"
    share = len(found) / len(served)
    print(f"  {len(found)} of {len(served)} served scrapes are stored ({100 * share:.2f} %), every value equal")
    assert share >= least, f"only {100 * share:.2f} % of what was served is stored"
    return {key: at for key, at in served.items() if key not in found}


def same(stored, served):
    a, b = float(stored.replace("Inf", "inf")), float(served.replace("Inf", "inf"))
    return a == b or (a != a and b != b)


def check_missing(world, missing, ledger):
    gaps = []
    for line in ledger:
        words = dict(w.split("=", 1) for w in line if "=" in w)
        if "not_collected" in line:
            gaps.append((int(words["from_ns"]) / 1e9 - COMMIT_WINDOW, int(words["to_ns"]) / 1e9 + COMMIT_WINDOW))
    for (target, step), at in missing.items():
        assert any(a <= at <= b for a, b in world.down), \
            f"step {step} of target {target}, served at {at:.3f}, is missing though the edge was up"
    stopped_only = [at for at in missing.values() if not any(a <= at <= b for a, b in gaps)]
    # While an edge is stopped (SIGSTOP) no process ends: the scrape failed, and `up` says so.
    ups = {}
    for one in world.cloud.query('up{job="replay"}[1h]') if stopped_only else []:
        ups.setdefault(one["metric"]["host"], []).extend(float(t) for t, v in one["values"] if v == "0")
    for (target, step), at in missing.items():
        if at in stopped_only:
            near = [t for t in ups.get(world.replay.host(target), []) if abs(t - at) < 2 + COMMIT_WINDOW]
            assert near, f"step {step} of target {target}, served at {at:.3f}, is missing and nothing says so"
    print(f"  {len(missing)} scrapes are missing, all explained; {len(gaps)} gaps in the ledger")


def check_all(world, least=0.95):
    """Of a world that is drained; stops it."""
    world.cloud.assert_sound()
    missing = check_values(world, world.replay, least)
    # The ledger and identities are read from the stopped node; `up` is asked before.
    world.edge.process.stop()
    world.gateway.process.stop()
    world.cloud.process.stop()
    _, records, ledger = world.cloud.verify()
    check_identities((world.edge, world.gateway), records)
    world.cloud.start()
    world.cloud.assert_sound()
    check_missing(world, missing, ledger)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--targets", type=int, default=10)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    with Workspace("rounds") as workspace:
        world = World(workspace, options.targets, seeded(options.seed))
        wait_until(lambda: world.cloud.query('up{job="replay"}'), 20, "the first samples to arrive")
        until = time.monotonic() + FOUR_MINUTES
        number = 0
        while number < (options.rounds or 20) or (options.rounds is None and time.monotonic() < until):
            number += 1
            print(f"round {number}", end="", flush=True)
            world.round()
        world.drain()
        check_all(world)
    print("passed")


if __name__ == "__main__":
    main()
