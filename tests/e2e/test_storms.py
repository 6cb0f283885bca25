#!/usr/bin/env python3
"""Storms of kill -9: replay -> edge -> gateway -> cloud, each killed again and again within seconds.

    tests/e2e/test_storms.py [--rounds N] [--targets N] [--seed S]

A round is a storm of some seconds: every few hundred milliseconds one, two or all three of edge, gateway and cloud are
killed (SIGKILL) and started again at once, so that many die while they start or while they open what the last death left;
one of them may be stopped (SIGSTOP) for longer than a silent link is waited for, and be killed while it is stopped. Then
everybody must come back without help, and a little time passes. At the end all is drained, and what test_rounds.py asks
for must hold: every record that a spool committed stands in the cloud's log exactly once, every stored value is the one
that was served, and what is missing was served while the edge was down and is named in the ledger.
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Workspace, get, seeded, wait_until  # noqa: E402
from test_rounds import COMMIT_WINDOW, DEAD_AFTER, World, check_all  # noqa: E402


def plan(random, seconds):
    """[(moment, what, node names)] of one storm, from the seed alone."""
    names = ("edge", "gateway", "cloud")
    events = []
    at = 0.0
    while at < seconds:
        struck = random.sample(names, random.choice((1, 1, 1, 2, 2, 3)))
        events.append((at, "kill", struck))
        for _ in range(random.choice((0, 0, 1, 3))):  # and again while they start, which takes some 30 ms
            at += random.uniform(0.0, 0.04)
            events.append((at, "kill", struck))
        at += random.uniform(0.05, 0.9)
    if random.random() < 0.6:
        begin = random.uniform(0, seconds / 2)
        name = [random.choice(names)]
        events += [(begin, "stop", name), (begin + DEAD_AFTER + random.uniform(0.5, 1.5), "go on", name)]
    return sorted(events)


class Storm:
    def __init__(self, world, random):
        self.world = world
        self.events = plan(random, random.uniform(3, 6))
        self.nodes = {"edge": world.edge, "gateway": world.gateway, "cloud": world.cloud}
        self.kills = self.starting = 0
        self.down_since = None  # of the edge

    def pass_over(self):
        begin = time.monotonic()
        for at, what, names in self.events:
            while (left := begin + at - time.monotonic()) > 0:
                self.look()
                time.sleep(min(left, 0.02))
            nodes = [self.nodes[name] for name in names]
            if self.world.edge in nodes and what != "go on":
                self.down_since = self.down_since or time.time()
            if what == "kill":
                self.kill(nodes)
            elif what == "stop":
                nodes[0].process.pause()
            else:
                nodes[0].process.resume()
        for node in self.nodes.values():
            node.process.resume()
        for node in self.nodes.values():
            node.process.wait_ready(lambda n=node: n.get("/-/ready"), 30)
        self.look()
        assert self.down_since is None

    def kill(self, nodes):
        for node in nodes:
            assert node.process.alive(), f"{node.name} ended by itself with {node.process.child.returncode}:\n{node.process.tail()}"
            self.kills += 1
            self.starting += not ready(node)
        for node in nodes:
            node.process.signal(9)
        for node in nodes:
            node.process.kill()
            node.process.start()

    def look(self):
        """Notes when the edge collects again."""
        if self.down_since is not None and ready(self.world.edge):
            self.world.down.append((self.down_since - COMMIT_WINDOW, time.time() + 0.5 + COMMIT_WINDOW))
            self.down_since = None


def ready(node):
    try:
        return bool(get(node.url + "/-/ready", timeout=0.05))
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--targets", type=int, default=10)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    with Workspace("storms") as workspace:
        random = seeded(options.seed)
        world = World(workspace, options.targets, random)
        wait_until(lambda: world.cloud.query('up{job="replay"}'), 20, "the first samples to arrive")
        for number in range(options.rounds):
            storm = Storm(world, random)
            stopped = "".join(f", {names[0]} stopped" for _, what, names in storm.events if what == "stop")
            storm.pass_over()
            print(f"storm {number + 1}: {storm.kills} kills in {storm.events[-1][0]:.1f} s, {storm.starting} of them before the "
                  f"node was ready{stopped}", flush=True)
            world.calm(0.5, 2.0)
        world.drain()
        check_all(world, least=0.5)  # the edge is down for most of a storm; check_missing knows when
    print("passed")


if __name__ == "__main__":
    main()
