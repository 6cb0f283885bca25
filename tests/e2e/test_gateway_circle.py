#!/usr/bin/env python3
"""Gateways in a circle, two and three of them, with edges behind them: nothing reaches a cloud, and nobody acts as if it had.

    tests/e2e/test_gateway_circle.py

The circle comes about as it would at a site: the outer gateway of a chain gives out a token, and the inner one, set up anew
with its old key and registry, joins with that by mistake. Two say so and release nothing. Of three each hands on what the
others bring, and names what it can hand to nobody. All is delivered once one of them has joined a cloud.
"""

import json
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, free_port, run_command, wait_until  # noqa: E402
from test_copies import committed, drained  # noqa: E402

IN_BETWEEN = 5  # records that are collected while pending ones are counted
KEPT = ("link.key", "registry", "FORMAT")  # of a gateway that is set up anew


def node(w, name, **config):
    return Edge(w, name, collect={"interval": "200ms", "enabled": ["loadavg"]},
                spool={"commit_journal": w.file(name + ".journal")}, **config)


def gateway(w, name):
    made = node(w, name, link=free_port())
    made.config["link"]["advertise"] = f"tcp://127.0.0.1:{made.link_port}"
    made.write_config()
    return made


def told(gate):
    link = gate.status()["link"]
    return "circle" in link["refusal"]


def listed(gate, edge):
    sites = run_command([gate.binary("skerry"), "--data", gate.data, "sites"])
    said = [line for line in sites.splitlines() if line.startswith(edge.status()["edge"])]
    return said and "refused" in said[0] and "circle" in sites


def set_up_anew(gate):
    """Its data is gone, its key and who may connect to it are not."""
    gate.process.stop()
    for entry in os.listdir(gate.data):
        if entry not in KEPT:
            path = os.path.join(gate.data, entry)
            shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def identity(one):
    with open(os.path.join(one.data, "identity.json"), encoding="utf-8") as f:
        return json.load(f)["edge"]


def collected(w, *nodes):
    """Records that they committed of their own."""
    ids = {one.name: identity(one) for one in nodes}
    return sum(n[0] == ids[name] for name in ids for n in committed(w, name))


def join_again(gate, cloud):
    """It keeps its id and its spool, and delivers to the cloud from now on."""
    token = run_command([cloud.binary("skerry"), "--data", cloud.data, "invite", "--site", "ship", "--edge",
                         gate.status()["edge"]]).strip()
    gate.process.stop()
    gate.join(gate.workspace.write(gate.name + ".again", token + "\n", 0o600))
    gate.start()


def of_two():
    with Workspace("gateway-circle") as w:
        cloud = Cloud(w).start()
        inner = gateway(w, "inner")
        inner.join(cloud.invite("ship"))
        inner.start()
        outer = gateway(w, "outer")
        outer.join(inner.invite("ship", file="outer"))
        outer.start()
        edges = []
        for name, receiver in (("near", inner), ("far", outer)):
            edge = node(w, name)
            edge.join(receiver.invite("ship", file=name))
            edges.append(edge.start())
        wait_until(lambda: len(cloud.query("node_load1")) == 4, 30, "samples of all four")
        for edge in (*edges, outer, inner):
            edge.process.stop()
        for one in (inner, outer):
            one.start()
        drained(outer, inner)

        set_up_anew(inner)
        inner.join(outer.invite("ship", file="circle"))
        outer.process.stop()
        outer.start()
        inner.start()
        for edge in edges:
            edge.start()
        began = time.monotonic()
        wait_until(lambda: told(inner) and told(outer), 20, "both to speak of a circle in their status")
        for one in (inner, outer):
            assert "circle" in one.process.text().rsplit("--- start", 1)[1], f"{one.name} does not log it"
        print(f"both say so {time.monotonic() - began:.1f} s after the circle began", flush=True)
        for one, other in ((inner, outer), (outer, inner)):
            wait_until(lambda o=one, t=other: listed(o, t), 5, f"`skerry sites` at {one.name} to say it of {other.name}")

        # The edges go on: their gateway has what they bring, and nobody takes it off that gateway's hands.
        pending = {one.name: one.pending() for one in (inner, outer)}
        for one in (inner, outer):
            wait_until(lambda o=one: o.pending() > pending[o.name] + 30, 30, f"more to gather at {one.name}")
        for one in (inner, outer):
            for metric in ("skerry_uplink_acked_records_total", "skerry_spool_records_released_total"):
                assert one.metric(metric) == 0, f"{one.name}: {metric} is {one.metric(metric):.0f} in a circle"
        print(f"nothing acknowledged, nothing released: {inner.pending()} and {outer.pending()} records wait", flush=True)

        # The outer one joins the cloud itself, and what waits arrives.
        ended = time.time()
        join_again(outer, cloud)
        seconds = round(time.monotonic() - began)

        def arrived():
            said = cloud.query(f'count_over_time(node_load1{{instance="outer"}}[{seconds}s])', time=ended)
            return int(said[0]["value"][1]) if said else 0

        wait_until(lambda: arrived() >= 3 * seconds, 40, "what the outer gateway collected in the circle")
        wait_until(lambda: not told(outer), 10, "the outer gateway to be content")
        print(f"the outer gateway joined the cloud: {arrived()} of its collections in the circle arrived", flush=True)


def of_three():
    """What a gateway brings goes around and stays with the last one that may have it."""
    with Workspace("gateway-circle-of-three") as w:
        cloud = Cloud(w).start()
        gates, receiver = [], cloud
        for name in ("inner", "middle", "outer"):
            gate = gateway(w, name)
            gate.join(receiver.invite("ship", file=name))
            gates.append(gate.start())
            receiver = gate
        inner, middle, outer = gates
        edge = node(w, "near")
        edge.join(inner.invite("ship", file="near"))
        edge.start()
        wait_until(lambda: len(cloud.query("node_load1")) == 4, 30, "samples of all four")
        for one in (edge, outer, middle, inner):
            one.process.stop()
        for one in gates:
            one.start()
        drained(outer, middle, inner)

        set_up_anew(inner)
        delivered = collected(w, edge, middle, outer) - middle.pending() - outer.pending()
        inner.join(outer.invite("ship", file="circle"))
        for one in (inner, edge):
            one.start()
        began = time.monotonic()

        # Each keeps what the one that it delivers to takes of nobody else: its own, and of edges with a key there.
        def set_aside(gate):
            return {one["edge"]: one for one in gate.status()["link"]["setAside"]}

        def named(gate, receiver, owner):
            said = set_aside(gate).get(ids[owner.name], {})
            sites = run_command([gate.binary("skerry"), "--data", gate.data, "sites"])
            return said.get("reason") == "forbidden" and ids[owner.name] in sites and (
                owner is not receiver or ("circle" in said["message"] and "circle" in sites))

        ids = {one.name: one.status()["edge"] for one in (*gates, edge)}
        for gate, receiver, owners in ((middle, inner, (inner, edge)), (outer, middle, (middle,)), (inner, outer, (outer,))):
            for owner in owners:
                wait_until(lambda g=gate, r=receiver, o=owner: named(g, r, o), 20, f"{gate.name} to set {owner.name} aside")
        print(f"all three name what goes around {time.monotonic() - began:.1f} s after the circle began", flush=True)

        # They go on, and nobody deletes what nobody else has.
        everyone = (edge, inner, middle, outer)
        before = collected(w, *everyone)
        wait_until(lambda: collected(w, *everyone) > before + 100, 30, "more to be collected")
        brought = collected(w, *everyone) - delivered
        kept = sum(one.pending() for one in everyone)
        assert kept > brought - IN_BETWEEN, f"of {brought} records in the circle {kept} are kept"
        for one in everyone:
            one.process.stop()
        cloud.process.stop()
        print(f"of {brought} records in the circle {kept} are kept", flush=True)


def main():
    of_two()
    of_three()
    print("passed")


if __name__ == "__main__":
    main()
