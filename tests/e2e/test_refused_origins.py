#!/usr/bin/env python3
"""A gateway of whose edges the cloud takes nothing: one that was revoked there, one that has moved, one that claims to be
another. It says so, sends nothing more of them, and goes on with everything else, over restarts too.
"""

import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, free_port, push, run_command, wait_until  # noqa: E402
from lib.nodes import binaries  # noqa: E402


def skerry(node, *words):
    return run_command([node.binary("skerry"), "--data", node.data, *words])


class World:
    def __init__(self, w, **of_gateway):
        self.w = w
        self.cloud = Cloud(w).start()
        collect = {"interval": "200ms", "enabled": ["loadavg"]}
        self.gateway = Edge(w, "gateway", link=free_port(), collect=collect, **of_gateway)
        self.gateway.config["link"]["advertise"] = f"tcp://127.0.0.1:{self.gateway.link_port}"
        self.gateway.write_config()
        self.gateway.join(self.cloud.invite("ship"))
        self.gateway.start()
        self.edges = []
        for name in ("first", "second", "third"):
            edge = Edge(w, name, collect=collect)
            edge.join(self.gateway.invite("ship", file=name))
            edge.start()
            self.edges.append(edge)
        for node in [self.gateway, *self.edges]:
            self.goes_on(node)

    def samples(self, host):
        said = self.cloud.query(f'count_over_time(node_load1{{instance="{host}"}}[10m])')
        return int(said[0]["value"][1]) if said else 0

    def goes_on(self, node):
        """Ten collections of 200 ms more arrive."""
        before = self.samples(node.name)
        wait_until(lambda: self.samples(node.name) >= before + 10, 30, f"ten more samples of {node.name}")

    def set_aside(self, edge):
        return [one for one in self.gateway.status()["link"]["setAside"] if one["edge"] == edge]

    def refused(self, edge, others):
        """It is named at either end, and everyone else goes on over the same session, at a usual price."""
        wait_until(lambda: self.set_aside(edge), 20, f"{edge} to be set aside")
        assert self.set_aside(edge)[0]["reason"] == "forbidden"
        wait_until(lambda: edge in skerry(self.cloud, "status"), 10, "`skerry status` to name it")
        sites = skerry(self.gateway, "sites")
        assert "not taken" in sites and edge in sites, sites
        sessions = self.gateway.metric("skerry_uplink_sessions_total")
        batches = self.gateway.metric("skerry_uplink_refused_batches_total")
        for node in others:
            self.goes_on(node)
        assert self.gateway.metric("skerry_uplink_sessions_total") == sessions, "the session was ended"
        assert self.gateway.metric("skerry_uplink_refused_batches_total") <= batches + 2, "refused batches are sent again"
        assert self.gateway.metric("skerry_uplink_set_aside_records") > 0


def full_of_refused():
    """A gateway that drops the newest, and an edge whose refused records alone are more than its spool takes."""
    with Workspace("refused-full") as w:
        world = World(w, spool={"bytes_max": "4MiB", "segment_bytes": "1MiB", "when_full": "drop_newest", "local_retention": 0})
        first, second, _ = world.edges
        skerry(world.cloud, "sites", "revoke", first.status()["edge"])
        wait_until(lambda: world.set_aside(first.status()["edge"]), 20, "the edge to be set aside")
        for round_ in range(400):
            now = int(time.time() * 1000)
            push(first.url, [({"__name__": "bulk", "i": str(i)}, [(now, (i * 7919 + round_) / 7.0)]) for i in range(4000)])
            if round_ % 10 == 0 and world.gateway.metric("skerry_gateway_records_dropped_total") > 0:
                break
        wait_until(lambda: world.gateway.metric("skerry_gateway_records_dropped_total") > 0, 30, "refused records to go")
        for node in (world.gateway, second):
            world.goes_on(node)
        assert world.gateway.metric("skerry_gateway_samples_dropped_total") == 0
        print("a spool full of what is refused: that goes first, all else goes on")


def main():
    full_of_refused()
    with Workspace("refused-origins") as w:
        world = World(w)
        first, second, third = world.edges
        ids = [edge.status()["edge"] for edge in world.edges]

        skerry(world.cloud, "sites", "revoke", ids[0])
        world.refused(ids[0], [world.gateway, second, third])
        print("revoked behind the gateway: set aside and named, all else goes on")

        # It joins the cloud itself, and its old disk goes on behind the gateway.
        second.process.stop()
        moved = Edge(w, "moved", collect={"interval": "200ms", "enabled": ["loadavg"]})
        shutil.rmtree(moved.data)
        shutil.copytree(second.data, moved.data, ignore=lambda _, names: [n for n in names if n.endswith(".sock")])
        os.chmod(moved.data, 0o700)
        second.start()
        token = skerry(world.cloud, "invite", "--site", "ship", "--edge", ids[1]).strip()
        moved.join(w.write("moved.token", token + "\n", 0o600))
        world.refused(ids[1], [world.gateway, third])
        print("moved: set aside and named, all else goes on")

        other = Edge(w, "other", collect={"interval": "200ms", "enabled": ["loadavg"]})
        other.join(world.cloud.invite("harbour"))
        other.start()
        claimed = other.status()["edge"]
        third.process.stop()
        # The gateway may take the session of the one that has just stopped for live, and refuses a second one so long.
        claim = [os.path.join(binaries(), "hostile"), "claim", "--data", third.data, "--edge", claimed]
        wait_until(lambda: subprocess.run(claim, capture_output=True, timeout=60).returncode == 0, 100, "the claim to be heard")
        third.start()
        world.refused(claimed, [world.gateway, third, other])
        print("a foreign id claimed: set aside and named, all else goes on")

        # No restart brings it back.
        world.gateway.process.stop()
        world.gateway.start()
        for node in (world.gateway, third):
            world.goes_on(node)
        for edge in (ids[0], ids[1], claimed):
            wait_until(lambda e=edge: world.set_aside(e), 10, f"{edge} to be set aside again")
        # What may be taken again is taken again: a new session asks anew.
        assert world.gateway.metric("skerry_uplink_refusals_total") == 0
    print("passed")


if __name__ == "__main__":
    main()
