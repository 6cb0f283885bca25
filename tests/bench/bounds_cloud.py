"""Rows of tests/bench/bounds for a cloud: what peers and users can drive to its value.

Beside each row an edge collects its machine each second and delivers to the cloud that the row is about.
"""

import contextlib
import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from bounds_lib import INTERVAL, LATE_MAX, Peak, bound, stop
from lib import Cloud, Edge, push, wait_until
from lib.nodes import binaries
from lib.web import Failed

MIB = 1 << 20


class Attacked:
    """`config` is the cloud's; `seconds()` counts from when the edge beside it is heard of."""

    def __init__(self, workspace, number, http=None, **config):
        self.workspace = workspace
        self.cloud = Cloud(workspace, f"cloud{number}", **config)
        self.cloud.config["http"].update(http or {})
        self.cloud.write_config()
        self.beside = Edge(workspace, f"beside{number}", collect={"interval": f"{INTERVAL:g}s"})
        self.url, self.joined = self.cloud.url, 0

    def __enter__(self):
        self.cloud.start()
        self.peak = Peak(self.cloud.process)
        self.beside.join(self.cloud.invite(site="beside"))
        self.beside.start()
        wait_until(self.times, 30, "the edge beside")
        self.began, self.began_wall = time.monotonic(), time.time()
        return self

    def __exit__(self, *_):
        self.peak.over.set()
        self.beside.process.stop()
        self.cloud.process.stop()

    def seconds(self):
        return time.monotonic() - self.began

    def metric(self, name, where=""):
        try:
            return self.cloud.metric(name, where)
        except (KeyError, OSError):
            return 0

    def times(self):
        since = int(time.time() - getattr(self, "began_wall", time.time())) + 5
        found = self.cloud.query(f'node_load1{{instance="{self.beside.name}"}}[{since}s]')
        return [t for t, _ in found[0]["values"]] if found else []

    def status(self, path, timeout=60, data=None, **params):
        """(status, text) of an answer."""
        query = urllib.parse.urlencode(params, doseq=True).encode()
        request = urllib.request.Request(self.url + path, data if data is not None else query)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def connect(self, port=None):
        s = socket.create_connection(("127.0.0.1", port or self.cloud.http_port), timeout=10)
        s.settimeout(10)
        return s

    def flood(self, kind, rate, seconds=300):
        """A peer with a valid key."""
        self.joined += 1
        edge = Edge(self.workspace, f"{self.cloud.name}-{kind}{self.joined}")
        edge.join(self.cloud.invite(site="flood", file=edge.name))
        return subprocess.Popen([os.path.join(binaries(), "hostile"), "flood", "--data", edge.data, "--kind", kind, "--seconds",
                                 str(seconds), "--rate", str(rate)], stdout=subprocess.DEVNULL)

    def push_many(self, count, make, at_once=5000):
        """`make(i)` gives the labels of a series; one sample each, now."""
        for first in range(0, count, at_once):
            now = int(time.time() * 1000)
            push(self.url, [(make(i), [(now, i)]) for i in range(first, min(first + at_once, count))], timeout=120)

    def count(self, metric):
        found = self.cloud.query(f"count(last_over_time({metric}[30m]))")
        return int(found[0]["value"][1]) if found else 0

    def finish(self, seconds, said=""):
        self.cloud.get("/-/healthy", timeout=10)
        until = time.time()
        times = wait_until(lambda: [t for t in [self.times()] if t and t[-1] >= until], 120, "the edge beside")[0]
        gap = max(b - a for a, b in zip(times, times[1:]))
        peak = self.peak.bytes
        stopped = stop(self.cloud.process)
        assert gap <= INTERVAL + LATE_MAX, f"the edge beside had a gap of {gap:.1f} s at an interval of {INTERVAL:g} s"
        return seconds, peak, f"{said}{', ' if said else ''}host gap {gap:.1f} s, stop {stopped:.1f} s"


def hosts(bench, value, beside, **ingest):
    """`beside` of them are known already."""
    with bench.cloud(ingest=ingest) as run:
        run.push_many(value - beside, lambda i: {"__name__": "h", "host": f"h{i}"})
        took = run.seconds()
        assert run.metric("skerry_shard_host_limit_records_total") == 0
        run.push_many(10, lambda i: {"__name__": "h", "host": f"further{i}"})
        wait_until(lambda: run.metric("skerry_shard_host_limit_records_total") > 0, 20, "further hosts to be refused")
        assert any(e["cause"] == "host_limit" for e in run.cloud.get_json("/api/v1/loss")["data"])
        assert run.count("h") == value - beside, run.count("h")
        return run.finish(took)


@bound("hosts of a site (ingest.site_hosts_max)", 10_000, 2_000)
def site_hosts(bench, value):
    return hosts(bench, value, 0, site_hosts_max=value)


@bound("hosts (ingest.hosts_max)", 100_000, 3_000)
def all_hosts(bench, value):
    return hosts(bench, value, 1, hosts_max=value, site_hosts_max=value)


@bound("bytes of the log's index (store.log_memory_bytes_max)", 384 * MIB, 8 * MIB)
def log_memory(bench, value):
    pad = "x" * 2000
    count = int(1.5 * value / len(pad))
    with bench.cloud(store={"log_memory_bytes_max": value}) as run:
        seen = []
        for first in range(0, count, 1500):
            now = int(time.time() * 1000)
            push(run.url, [({"__name__": "wide", "n": str(i), "pad": f"{pad}{i}", "host": f"h{i // 20_000}"}, [(now, i)])
                           for i in range(first, min(first + 1500, count))], timeout=120)
            seen.append(run.metric("skerry_store_log_memory_bytes"))
        took = run.seconds()
        # By host: a query may not hold all of these labels.
        found = sum(run.count(f'wide{{host="h{k}"}}') for k in range(count // 20_000 + 1))
        assert found == count, found
        # One push may go beyond.
        assert value / 4 < max(seen) <= value + 8 * MIB, f"the index took {max(seen) / MIB:.0f} MiB"
        return run.finish(took)


@bound("bytes known of one edge (store.state_edge_bytes_max)", MIB, MIB)
def state_of_edge(bench, value):
    # Not its default of 16 MiB: what this peer makes known stays below that for five minutes at least.
    with bench.cloud(store={"state_edge_bytes_max": value}, delivery={"epochs_max": 65_536}) as run:
        peer = run.flood("epochs", 8 * MIB)
        try:
            wait_until(lambda: run.metric("skerry_store_state_refused_total") > 0, 280, "a refusal")
            took = run.seconds()
            known = run.metric("skerry_store_state_bytes")
        finally:
            peer.kill()
            peer.wait()
        assert known <= 1.1 * value + MIB, f"what is known took {known / MIB:.0f} MiB"
        return run.finish(took)


@bound("holes in a stream (delivery.ranges_max)", 4096, 256)
def holes(bench, value):
    with bench.cloud(delivery={"ranges_max": value}) as run:
        peer = run.flood("holes", MIB, 3 if bench.short else 30)
        assert peer.wait(60) == 0
        return run.finish(run.seconds())


@bound("bytes of batches in memory (ingest.memory_max)", 256 * MIB, 16 * MIB)
def batches(bench, value):
    with bench.cloud(ingest={"memory_max": value}) as run:
        peers = [run.flood("epochs", 8 * MIB, 3 if bench.short else 60) for _ in range(5)]
        most = 0
        while any(p.poll() is None for p in peers):
            most = max(most, run.metric("skerry_ingest_open_bytes"))
        assert value / 4 < most <= value, f"{most / MIB:.0f} MiB were in memory"
        return run.finish(run.seconds(), f"{most / MIB:.0f} MiB of batches")


@bound("bytes of requests' bodies (http.bodies_bytes_max)", 64 * MIB, 8 * MIB)
def bodies(bench, value):
    each = value // 2
    head = (f"POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: snappy\r\n"
            f"Content-Type: application/x-protobuf\r\nContent-Length: {each}\r\n\r\n").encode()
    with bench.cloud(http={"bodies_bytes_max": value, "body_bytes_max": each}) as run:
        with contextlib.ExitStack() as held:
            for _ in range(2):
                s = held.enter_context(run.connect())
                s.sendall(head + b"x" * (each - 1))
            wait_until(lambda: run.peak.bytes >= value, 20, "the bodies to be held")
            further = held.enter_context(run.connect())
            further.sendall(head)
            answer = further.recv(4096)
            assert b" 503 " in answer.split(b"\r\n")[0] and b"Retry-After" in answer, answer
            push(run.url, [({"__name__": "small"}, [(int(time.time() * 1000), 1)])])  # up to 64 KiB are taken always
        took = run.seconds()
        wait_until(lambda: run.status("/api/v1/write", data=b"x" * (each - 1))[0] == 400, 20, "room")
        return run.finish(took)


def push_table(run, series=2000, samples=60):
    """Fifteen seconds apart, until now; returns their end in seconds."""
    end = int(time.time())
    times = [(end - 15 * k) * 1000 for k in reversed(range(samples))]
    for first in range(0, series, 200):
        push(run.url, [({"__name__": "t", "n": str(n)}, [(t, n + t % 97) for t in times]) for n in range(first, first + 200)])
    return end


@bound("bytes of answers (http.answers_bytes_max)", 128 * MIB, 32 * MIB)
def answers(bench, value):
    with bench.cloud(http={"answers_bytes_max": value}) as run:
        end = push_table(run)
        large = {"query": "t", "start": end - 900, "end": end, "step": 3}  # some 12 MB
        path = "/api/v1/query_range"
        target = f"GET {path}?{urllib.parse.urlencode(large)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        assert run.status(path, **large)[0] == 200
        with contextlib.ExitStack() as held:
            def refused():
                held.enter_context(run.connect()).sendall(target)  # who does not read is let go after 10 s
                status, text = run.status(path, **large)
                return status == 503 and "answers_bytes_max" in text
            wait_until(refused, 60, "a refusal")
            took = run.seconds()
            assert run.status("/api/v1/query", query="count(t)", time=end)[0] == 200
        wait_until(lambda: run.status(path, **large)[0] == 200, 60, "room")
        return run.finish(took)


@bound("memory of all queries (query.memory_bytes_max)", 256 * MIB, 64 * MIB)
def query_memory(bench, value):
    with bench.cloud(query={"memory_bytes_max": value, "memory_each_bytes_max": value // 2, "threads": 8}) as run:
        end = push_table(run)
        points = int(1.2 * (value // 2) / 2000 / 16)
        # Of small answers, so that it is not their bound that is met.
        asked = {"query": "count(quantile by (n) (0.5, t))", "start": end - 900, "end": end, "step": 900 / points}
        too_much = {"query": "t * 2 + t", "start": end - 900, "end": end, "step": 900 / min(10_000, 4 * points)}
        assert run.status("/api/v1/query_range", **too_much)[0] == 422
        got = []

        def both_seen():  # how many meet is up to the machine
            with ThreadPoolExecutor(8) as pool:
                got.extend(s for s, _ in pool.map(lambda _: run.status("/api/v1/query_range", 120, **asked), range(24)))
            assert set(got) <= {200, 503}, {s: got.count(s) for s in got}
            return 200 in got and 503 in got

        wait_until(both_seen, 30, "queries that are answered, and others that are refused")
        assert run.status("/api/v1/query", query="count(t)", time=end)[0] == 200
        return run.finish(run.seconds(), f"{got.count(200)} answered, {got.count(503)} asked to come again")


@bound("queries that wait (query.queue_max)", 128, 16)
def query_queue(bench, value):
    with bench.cloud(query={"queue_max": value}) as run:
        end = push_table(run)
        slow = {"query": "sum(sum_over_time(t[15m:1s]))", "time": end}
        with ThreadPoolExecutor(value + 40) as pool:
            got = [s for s, _ in pool.map(lambda _: run.status("/api/v1/query", 120, **slow), range(value + 40))]
        took = run.seconds()
        assert got.count(200) >= value and got.count(503) >= 1 and set(got) <= {200, 503}, {s: got.count(s) for s in got}
        return run.finish(took, f"{got.count(200)} answered, {got.count(503)} asked to come again")


@bound("connections of HTTP (http.connections_max)", 512, 64)
def http_connections(bench, value):
    with bench.cloud(http={"connections_max": value}) as run:
        with contextlib.ExitStack() as held:
            for _ in range(value + 8):
                held.enter_context(run.connect())
            further = held.enter_context(run.connect())
            answer = further.recv(4096)
            assert b" 503 " in answer.split(b"\r\n")[0], answer
        took = run.seconds()
        wait_until(lambda: run.cloud.get("/-/healthy"), 20, "health")
        return run.finish(took)


@bound("answers that last (http.streams_max)", 256, 64)
def http_streams(bench, value):
    ask = b"GET /api/v1/sites/stream HTTP/1.1\r\nHost: localhost\r\n"
    upgrade = (b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
               b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
    with bench.cloud(http={"streams_max": value, "connections_max": 16}) as run:
        with contextlib.ExitStack() as held:
            for i in range(value):
                one = held.enter_context(run.connect())
                one.sendall(ask + (upgrade if i % 2 else b"") + b"\r\n")
                first = one.recv(12)
                assert first in (b"HTTP/1.1 200", b"HTTP/1.1 101"), first
            further = held.enter_context(run.connect())
            further.sendall(ask + b"\r\n")
            answer = further.recv(4096)
            assert b" 503 " in answer.split(b"\r\n")[0] and b"Retry-After" in answer, answer
            run.cloud.get("/-/healthy", timeout=5)
            took = run.seconds()
            assert run.metric("skerry_http_streams") == value
        wait_until(lambda: run.metric("skerry_http_streams") == 0, 20, "all of them to be gone")
        return run.finish(took)


@bound("connections of the link (link.connections_max)", 8192, 512)
def link_connections(bench, value):
    with bench.cloud() as run:
        run.cloud.process.stop()
        run.cloud.config["link"]["connections_max"] = value
        run.cloud.write_config()
        run.cloud.start()
        wait_until(lambda: time.time() - run.times()[-1] < 2, 60, "the edge beside")
        run.began_wall = time.time()
        with contextlib.ExitStack() as held:
            for _ in range(value + 100):
                try:
                    held.enter_context(run.connect(run.cloud.link_port))
                except OSError:
                    break  # nobody is answered for a second
            wait_until(lambda: run.metric("skerry_link_server_connections_turned_away_total") > 0, 30, "one turned away")
            took = run.seconds()
            time.sleep(0 if bench.short else 5)
        return run.finish(took)


@bound("series of a metric in one answer", 1_000_000, 20_000)
def series(bench, value):
    with bench.cloud() as run:
        run.push_many(value, lambda i: {"__name__": "s", "n": str(i), "host": f"h{i % 50}"}, 20_000)
        took = run.seconds()
        assert run.count("s") == value, run.count("s")
        status, text = run.status("/api/v1/series", 120, **{"match[]": "s"})
        assert status in (200, 422), (status, text[:300])
        return run.finish(took, f"/api/v1/series: {status}")
