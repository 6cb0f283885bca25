#!/usr/bin/env python3
"""Clients that want a node to hold all they can think of, each node in a memory cgroup without swap.

    test_hostile_memory.py [--seconds N] [--node cloud|edge|both] [--only NAME,...]

All attackers below run together for so many seconds while a good client asks for the node's health and for a small query.
The node must live, must not be killed for its memory, must answer both, and must be as quick afterwards as before. Says
the 99th percentiles before, during and after. Where no cgroup can be made, the process' own peak stands in for it.

An attacker is a function that takes a `Target` and goes on until `target.over()`; whatever the node answers is fine.
Others can be added to ATTACKERS.
"""

import argparse
import contextlib
import json
import os
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, push, wait_until  # noqa: E402
from lib.cgroup import MemoryCgroup  # noqa: E402

SERIES = 2000
SAMPLES = 60
STEP_MS = 15_000
MIB = 1 << 20


class Target:
    def __init__(self, node, now):
        self.node, self.url, self.port, self.now = node, node.url, node.http_port, now
        self.stop = threading.Event()
        self.answers = {}  # by attacker: {status or failure: count}
        self.lock = threading.Lock()

    def over(self, seconds=0.0):
        return self.stop.wait(seconds)

    def count(self, what):
        with self.lock:
            by_status = self.answers.setdefault(threading.current_thread().name, {})
            by_status[what] = by_status.get(what, 0) + 1

    def get(self, path, timeout=30, data=None, headers=None, **params):
        """The status; the answer is read and thrown away."""
        url = self.url + path + ("?" + urllib.parse.urlencode(params, doseq=True) if params else "")
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data, headers or {}), timeout=timeout) as r:
                while r.read(MIB):
                    pass
                status = r.status
        except urllib.error.HTTPError as e:
            e.read()
            status = e.code
        except (OSError, ValueError) as e:
            status = type(e).__name__
        self.count(status)
        return status

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        s.settimeout(10)
        return s

    @contextlib.contextmanager
    def many(self, count, opening):
        """So many connections that have sent `opening`, as far as the node takes them."""
        held = []
        try:
            for _ in range(count):
                with contextlib.suppress(OSError):
                    held.append(self.connect())
                    held[-1].sendall(opening)
                if self.over():
                    break
            yield held
        finally:
            for s in held:
                s.close()


def query_request(expression, **params):
    return ("GET /api/v1/query_range?" + urllib.parse.urlencode(dict(params, query=expression))
            + " HTTP/1.1\r\nHost: localhost\r\n\r\n").encode()


def nested(function, inner, times, arguments):
    return (function + "(") * times + inner + ("," + arguments + ")") * times


def labels_that_double(target):
    while not target.over(0.05):
        for function, arguments in (("label_join", '"a","","a","a"'), ("label_replace", '"a","$1$1","a","(.*)"')):
            expression = nested(function, 'label_replace(hostile{n="7"},"a","xxxxxxxxxxxxxxxx","","")', 34, arguments)
            target.get("/api/v1/query", query=expression, time=target.now)


def large_results(target):
    while not target.over(0.05):
        target.get("/api/v1/query_range", query="hostile", start=target.now - 900, end=target.now, step="0.09")
        target.get("/api/v1/query_range", query="label_replace(hostile,'x','$1','n','(.*)') or hostile",
                   start=target.now - 900, end=target.now, step="0.5")


def held_columns(target):
    expressions = ["count(topk(1e9, hostile) > 1e9)", "count(quantile by (n) (0.5, hostile) > 1e9)",
                   "count(count_values by (n) ('v', hostile) > 1e9)", "count(hostile + on (n) hostile)",
                   "count((hostile or hostile) > 1e9)", "count(sort(hostile) > 1e9)"]
    while not target.over(0.05):
        for expression in expressions:
            target.get("/api/v1/query_range", query=expression, start=target.now - 900, end=target.now, step="0.1")


def subqueries_with_tiny_steps(target):
    while not target.over(0.05):
        target.get("/api/v1/query", query="max_over_time(vector(time())[1d:1ms])", time=target.now)
        target.get("/api/v1/query", query="vector(1)[1d:2ms]", time=target.now)
        target.get("/api/v1/query", query="hostile[1d:10ms]", time=target.now)
        target.get("/api/v1/query", query="count_over_time(clamp(vector(1),scalar(hostile),time())[1d:2ms] @ end())",
                   time=target.now)


def regular_expressions(target):
    matchers = ",".join(f'n=~"(a|b)*a(a|b){{{i % 30 + 5}}}|x{i}[0-9]{{50}}"' for i in range(200))
    selectors = [f'{{__name__="hostile",{matchers}}}'[:8000]] * 5
    while not target.over(0.05):
        target.get("/api/v1/query", data=urllib.parse.urlencode(
            {"query": f'hostile{{{matchers}}}', "time": target.now}).encode())
        target.get("/api/v1/series", data=urllib.parse.urlencode([("match[]", s) for s in selectors]).encode())


def deep_and_wide_expressions(target):
    wide = "label_join(hostile,'a',''" + ",'b'" * 15_000 + ")"
    deep = "(" * 250 + "1" + ")" * 250
    grouped = "sum by (" + ",".join("abcdefgh"[:1] for _ in range(30_000)) + ") (hostile)"
    while not target.over(0.05):
        for text in (wide, deep, grouped, "1" + "+1" * 30_000, "{" * 60_000):
            for path in ("/api/v1/query", "/api/v1/parse_query", "/api/v1/format_query", "/api/v1/query_exemplars"):
                target.get(path, data=urllib.parse.urlencode({"query": text, "start": 0, "end": 1}).encode())


def listings(target):
    everything = '{__name__=~".+"}'
    while not target.over(0.05):
        target.get("/api/v1/series", **{"match[]": [everything] * 20, "limit": 10**15})
        target.get("/api/v1/labels")
        target.get("/api/v1/label/n/values", **{"match[]": [everything] * 20})
        target.get("/federate", **{"match[]": [everything] * 20})
        target.get("/api/v1/status/tsdb", limit=10**9)
        target.get("/api/v1/targets")


def readers_that_do_not_read(target):
    # About 18 MB each.
    opening = query_request("hostile", start=target.now - 900, end=target.now, step="3")
    while not target.over(0.05):
        with target.many(24, opening):
            target.over(5)


def bodies_that_do_not_end(target):
    head = (b"POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: snappy\r\n"
            b"Content-Type: application/x-protobuf\r\nContent-Length: 32505856\r\n\r\n")
    piece = b"x" * MIB
    while not target.over(0.05):
        with target.many(120, head) as held:
            for _ in range(30):
                for s in held:
                    with contextlib.suppress(OSError):
                        s.settimeout(0.05)
                        s.sendall(piece)
                    if target.over():
                        return


def forms_that_unpack(target):
    while not target.over(0.05):
        target.get("/api/v1/query", data=b"query=1" + b"&a" * (4 * MIB))
        target.get("/api/v1/query", data=b"query=" + b"%41" * (8 * MIB))


def headers_of_many_fields(target):
    opening = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n" + b"a:\r\n" * 15_000
    while not target.over(0.05):
        with target.many(100, opening):
            target.over(2)


ATTACKERS = [
    labels_that_double,
    large_results,
    held_columns,
    subqueries_with_tiny_steps,
    regular_expressions,
    deep_and_wide_expressions,
    listings,
    readers_that_do_not_read,
    bodies_that_do_not_end,
    forms_that_unpack,
    headers_of_many_fields,
]


class Probe:
    """A good client: how long health and a small query take, and what was refused."""

    def __init__(self, node, now):
        self.node, self.now = node, now
        self.healthy, self.queries, self.refused, self.failures = [], [], 0, []

    def ask(self, times, path, **params):
        began = time.monotonic()
        try:
            answer = self.node.get(path, timeout=30, **params)
        except Exception as e:  # noqa: BLE001: whatever it is, it is counted
            cause = getattr(e, "status", None) or getattr(e, "code", None)
            if cause == 503:
                self.refused += 1
            else:
                self.failures.append(f"{path}: {type(e).__name__}: {e}"[:300])
            return None
        times.append(time.monotonic() - began)
        return answer

    def run(self, seconds, over=lambda: False):
        until = time.monotonic() + seconds
        while time.monotonic() < until and not over():
            self.ask(self.healthy, "/-/healthy")
            answer = self.ask(self.queries, "/api/v1/query", query="count(good)", time=self.now)
            if answer is not None:
                assert json.loads(answer)["data"]["result"][0]["value"][1] == "3", answer
            time.sleep(0.05)
        return self

    def says(self, phase):
        def p99(times):
            return f"{sorted(times)[int(len(times) * 0.99)] * 1000:.0f} ms of {len(times)}" if times else "none"
        print(f"  {phase}: health p99 {p99(self.healthy)}, query p99 {p99(self.queries)}, refused with 503: "
              f"{self.refused}, failed: {len(self.failures)}", flush=True)


def peak_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM"))


def feed(url, now):
    times = [(now - k * STEP_MS // 1000) * 1000 for k in reversed(range(SAMPLES))]
    for begin in range(0, SERIES, 200):
        push(url, [({"__name__": "hostile", "n": str(n), "instance": f"i{n % 50}"}, [(t, n + t % 97) for t in times])
                   for n in range(begin, begin + 200)])
    push(url, [({"__name__": "good", "n": str(n), "instance": "good"}, [(times[-1], 1)]) for n in range(3)])


def attack(node, limit, seconds, attackers, group):
    now = int(time.time())
    feed(node.url, now)
    wait_until(lambda: Probe(node, now).run(0.01).queries, 30, "what was pushed")
    before = Probe(node, now).run(min(1.5, seconds))
    target = Target(node, now)
    threads = [threading.Thread(target=a, args=(target,), name=a.__name__, daemon=True) for a in attackers]
    for t in threads:
        t.start()
    during = Probe(node, now).run(seconds)
    target.stop.set()
    for t in threads:
        t.join(60)
    assert node.process.alive(), (f"{node.name} ended with {node.process.child.returncode}, killed for memory: "
                                  f"{group.oom_kills() if group else '?'}; {target.answers}\n{node.process.tail()}")
    wait_until(lambda: Probe(node, now).run(0.01).queries, 60, "an answer afterwards")
    after = Probe(node, now).run(min(1.5, seconds))
    for phase, probe in (("before", before), ("during", during), ("after", after)):
        probe.says(phase)
    for name, statuses in sorted(target.answers.items()):
        print(f"    {name}: {statuses}")
    peak = peak_of(node.process.pid)
    kills = group.oom_kills() if group else 0
    print(f"  peak {peak >> 20} MiB resident of {limit >> 20}; killed for memory: {kills}", flush=True)
    assert kills == 0 and peak < limit
    assert not during.failures and not after.failures, (during.failures + after.failures)[:5]
    assert during.healthy and during.queries, "nothing was answered under attack"
    assert not after.refused


def run(name, make, limit, seconds, attackers):
    print(f"{name}, {limit >> 20} MiB, {seconds} s, {len(attackers)} attackers", flush=True)
    with Workspace("hostile-memory-" + name) as w:
        node = make(w)
        group = MemoryCgroup.make(name, limit)
        if group:
            node.process.argv = group.argv(node.process.argv)
        try:
            node.start()
            attack(node, limit, seconds, attackers, group)
            node.process.stop()
        finally:
            if group:
                node.process.kill()
                group.close()


def edge_in(w):
    cloud = Cloud(w).start()
    edge = Edge(w, "edge")
    edge.join(cloud.invite(site="harbour"))
    cloud.process.stop()
    return edge


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=float, default=4)
    arguments.add_argument("--node", choices=["cloud", "edge", "both"], default="both")
    arguments.add_argument("--only", default="", help="names of attackers, separated by commas")
    given = arguments.parse_args()
    chosen = [a for a in ATTACKERS if not given.only or a.__name__ in given.only.split(",")]
    if given.node in ("cloud", "both"):
        run("cloud", Cloud, 1024 * MIB, given.seconds, chosen)
    if given.node in ("edge", "both"):
        run("edge", edge_in, 512 * MIB, given.seconds, chosen)
    print("passed")


if __name__ == "__main__":
    main()
