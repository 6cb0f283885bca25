#!/usr/bin/env python3
"""Sites that go dark, one for each cause: each is named so within a few seconds at every place that shows it (the API,
`skerry sites`, `hosts` and `status`, the gateway's own status, /metrics), and still after a restart.

    tests/e2e/test_dark_sites.py
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Relay, Workspace, free_port, push, run_command, wait_until  # noqa: E402
from test_full_disk import fill, small_disk  # noqa: E402

AT_ONCE = 4  # seconds: a tick of the node that notices, one of the node that is told, one of whoever asks
PING = 2  # seconds; a half-open link is noticed within two
COLLECT = {"interval": "500ms", "enabled": ["loadavg"]}


def skerry(node, *words):
    return run_command([node.binary("skerry"), "--data", node.data, *words])


class World:
    def __init__(self, w, cloud):
        self.w, self.cloud = w, cloud
        self.ids, self.edges = {}, {}

    def edge(self, name, behind=None, relay=None, **config):
        at = behind or self.cloud
        edge = Edge(self.w, name, collect=COLLECT, **config)
        token = at.invite(name if behind is None else "ship", file=name)
        edge.join(token)
        if relay is not None:
            identity = os.path.join(edge.data, "identity.json")
            with open(identity, encoding="utf-8") as f:
                said = json.load(f)
            said["addresses"] = [f"tcp://127.0.0.1:{relay.port}"]
            del said["check"]
            with open(identity, "w", encoding="utf-8") as f:
                json.dump(said, f)
        edge.start()
        self.ids[name], self.edges[name] = edge.status()["edge"], edge
        wait_until(lambda: self.row(name)["state"] == "connected" and self.row(name)["hosts"] == 1, 20, f"{name} to be heard")
        return edge

    def row(self, name):
        rows = [s for s in self.cloud.sites() if s["edge"] == self.ids[name]]
        return rows[0] if rows else {"state": None, "cause": None, "hosts": 0}

    def named(self, name, state, cause="", within=AT_ONCE, since=None):
        """At every place of the cloud that shows it."""
        began = since or time.monotonic()
        # A machine that is busy with other tests gets twice the time.
        wait_until(lambda: self.row(name)["state"] == state and cause in (self.row(name)["cause"] or ""), 2 * within,
                   f"{name} to be called {state} ({cause}); it is {self.row(name)}")
        took = time.monotonic() - began
        row = self.row(name)
        assert row["last_heard"] is not None and time.time() - row["last_heard"] < 60, row
        assert row["completeness"] != "complete", row
        shown = row["cause"] if (row["cause"] or "").startswith("behind gateway") else state
        for words in (["sites"], ["status"], ["hosts"]):
            said = skerry(self.cloud, *words)
            lines = [line for line in said.splitlines() if name in line or self.ids[name] in line or
                     (words == ["status"] and "ship" in line)]
            assert any(shown in line for line in lines), f"`skerry {words[0]}` does not say {shown}:\n{said}"
        hosts = [h for h in self.cloud.get_json("/api/v1/hosts")["data"] if h["edge"] == self.ids[name]]
        assert hosts and all(h["state"] == state for h in hosts), hosts
        wait_until(lambda: self.cloud.metric("skerry_ingest_edges", f'state="{state}"') >= 1, AT_ONCE, "the metric to say it")
        print(f"{name}: {state} ({row['cause'] or '-'}) after {took:.1f} s")

    def at_gateway(self, gateway, name, state, of_them=1):
        """`of_them`: edges that stand so with it, by its metric."""
        def entry():
            return next((e for e in gateway.status()["edges"] if e["edge"] == self.ids[name]), {"state": None})
        wait_until(lambda: entry()["state"] == state, 2 * AT_ONCE, f"the gateway to call {name} {state}")
        assert entry()["lastHeardNs"] > 0
        said = skerry(gateway, "sites")
        assert any(self.ids[name] in line and state in line for line in said.splitlines()), said
        wait_until(lambda: gateway.metric("skerry_downlink_edges", f'state="{state}"') == of_them, AT_ONCE,
                   f"the gateway's metric to say {state} of {of_them}")


def single(world):
    stopped, killed = world.edge("stopped"), world.edge("killed")
    stopped.process.stop()
    world.named("stopped", "stopped")
    killed.process.kill()
    world.named("killed", "unreachable", "connection closed")
    with Relay(("127.0.0.1", world.cloud.link_port)) as relay:
        cut = world.edge("cut", relay=relay, uplink={"ping_interval": f"{PING}s"})
        cut.process.pause()  # half open: nobody closes the connection
        world.named("cut", "unreachable", "silent", within=2 * PING + 2)
        cut.process.resume()
        wait_until(lambda: world.row("cut")["state"] == "connected", 20, "it to be heard again")
        relay.block()
        world.named("cut", "unreachable", "connection closed")
        cut.process.kill()
    revoked = world.edge("revoked")
    skerry(world.cloud, "sites", "revoke", world.ids["revoked"])
    world.named("revoked", "revoked")
    revoked.process.kill()
    metered = world.edge("metered", uplink={"quota": {"bytes": "20KiB", "per": "day"}})
    world.named("metered", "quota", within=20)
    metered.process.kill()
    world.named("metered", "unreachable", "connection closed")


def behind_a_gateway(world):
    gateway = Edge(world.w, "gateway", link=free_port(), collect=COLLECT)
    gateway.config["link"]["advertise"] = f"tcp://127.0.0.1:{gateway.link_port}"
    gateway.write_config()
    gateway.join(world.cloud.invite("ship", file="gateway"))
    gateway.start()
    world.ids["gateway"] = gateway.status()["edge"]
    for name in ("far-stopped", "far-killed", "far-revoked", "far-there"):
        world.edge(name, behind=gateway)
    world.edges["far-stopped"].process.stop()
    world.at_gateway(gateway, "far-stopped", "stopped")
    world.named("far-stopped", "stopped")
    world.edges["far-killed"].process.kill()
    world.at_gateway(gateway, "far-killed", "unreachable")
    world.named("far-killed", "unreachable", "connection closed")
    skerry(gateway, "sites", "revoke", world.ids["far-revoked"])
    world.at_gateway(gateway, "far-revoked", "revoked")
    world.named("far-revoked", "revoked")
    world.at_gateway(gateway, "far-there", "connected")
    # A gateway that comes back knows them all.
    gateway.process.stop()
    world.named("far-there", "unreachable", f"behind gateway {world.ids['gateway']} (stopped)")
    world.named("far-stopped", "stopped")
    gateway.start()
    world.at_gateway(gateway, "far-stopped", "stopped")
    world.at_gateway(gateway, "far-revoked", "revoked")
    world.at_gateway(gateway, "far-there", "connected")
    wait_until(lambda: world.row("far-there")["state"] == "connected", 20, "it to be heard again")
    gateway.process.kill()
    world.named("far-there", "unreachable", f"behind gateway {world.ids['gateway']} (unreachable)")


def after_a_restart(world):
    before = {s["edge"]: s for s in world.cloud.sites()}
    world.cloud.process.stop()
    world.cloud.start()
    wait_until(lambda: len(world.cloud.sites()) >= len(before), 10, "all sites")
    for row in world.cloud.sites():
        was = before[row["edge"]]
        assert row["state"] == was["state"] or row["state"] == "unreachable", (was, row)
        if was["state"] in ("stopped", "revoked"):
            assert row["state"] == was["state"], (was, row)
        assert row["last_heard"] is not None, row
        assert abs(row["last_heard"] - was["last_heard"]) < 2, (was, row)
    print(f"{len(before)} sites: known with their state, and when each was heard, after a restart")


def pushed(world):
    push(world.cloud.url, [({"__name__": "up", "host": "lonely"}, [(int(time.time() * 1000), 1.0)])])
    wait_until(lambda: any(s["state"] == "pushed" for s in world.cloud.sites()), 10, "what is only pushed to be listed")
    row = next(s for s in world.cloud.sites() if s["state"] == "pushed")
    assert row["hosts"] == 1 and row["edge"] is None and row["last_heard"] is not None, row
    assert "pushed" in skerry(world.cloud, "sites") and "pushed" in skerry(world.cloud, "hosts")
    print("a site without an edge is listed")


def full(w):
    cloud = Cloud(w, "cloud-full", store={"log_segment_bytes": "4MiB", "log_bytes_max": "16MiB"})
    with small_disk(cloud, "48m") as possible:
        if not possible:
            return
        cloud.start()
        world = World(w, cloud)
        edge = world.edge("sender")
        filler = fill(cloud)
        world.named("sender", "refused", "cannot store now", within=20)
        os.remove(filler)
        wait_until(lambda: world.row("sender")["state"] == "connected", 40, "it to be taken again")
        edge.process.kill()


def main():
    began = time.monotonic()
    with Workspace("dark-sites") as w:
        world = World(w, Cloud(w).start())
        single(world)
        behind_a_gateway(world)
        after_a_restart(world)
    with Workspace("dark-sites-pushed") as w:
        world = World(w, Cloud(w).start())
        pushed(world)
    with Workspace("dark-sites-full") as w:
        full(w)
    print(f"passed in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
