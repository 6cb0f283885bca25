#!/usr/bin/env python3
"""The alerts that the documents give: each is silent while all is well, and fires when what it is about is broken.

    tests/e2e/test_doc_alerts.py [--rules-only]

The rules are read from docs/ and deploy/. promtool checks them, and tests each: silent on good series, firing on bad ones
after its `for`. Then Debian's prometheus scrapes real nodes with them, and each thing is broken for real: nothing may be
pending or firing before, and afterwards each alert is, for the node that it is about. Needs root for the full disks.
"""

import argparse
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Process, Workspace, free_port, get_json, push, run_command, wait_until  # noqa: E402
from lib.debian import program  # noqa: E402
from lib.skewed_clock import SkewedClock  # noqa: E402
from test_copies import copy_of, drained, replace_data  # noqa: E402
from test_full_disk import fill, small_disk  # noqa: E402
from test_store_damage import damage_blocks, partitions  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
COLLECT = {"interval": "200ms", "enabled": ["loadavg"]}
DEADLINE = 50  # for all that was broken to be told of

# For the rules alone: series that are good, then bad. One that counts begins at 0.
BAD = {
    "SkerryNodeDown": 'up{job="skerry"} 1 0',
    "SkerryEdgeUnreachable": 'skerry_ingest_edges{state="unreachable"} 0 1',
    "SkerryUplinkDown": "skerry_uplink_live 1 0",
    "SkerryEdgeRefused": 'skerry_ingest_edges{state="refused"} 0 1',
    "SkerrySessionsRefused": 'skerry_ingest_refused_sessions_total{reason="duplicate"} 0 1',
    "SkerryRecordsSetAside": "skerry_uplink_set_asides 0 1",
    "SkerrySpoolNearLimit": "skerry_spool_disk_bytes 70 85",
    "SkerrySpoolTakesNothing": 'skerry_spool_exhausted_total{cause="disk"} 0 1',
    "SkerrySpoolDiskFull": "skerry_spool_reserve_held 1 0",
    "SkerryRecordsForcedOut": "skerry_gateway_records_dropped_total 0 1",
    "SkerrySamplesDropped": "skerry_gateway_samples_dropped_total 0 1",
    "SkerryClockDoubted": "skerry_ingest_clock_trusted 1 0",
    "SkerrySpoolDamaged": "skerry_spool_segments_damaged_total 0 1",
    "SkerryExaminationFailed": 'skerry_spool_examinations_total{result="crashed"} 0 1',
    "SkerryStoreDamaged": 'skerry_store_damaged_total{what="block"} 0 1',
    "SkerryStoreTakesNothing": "skerry_store_appends_failed_total 0 1",
    "SkerrySealingFails": "skerry_store_seal_failures_total 0 1",
    "SkerryEdgeRestored": "skerry_ingest_restored_edges_total 0 1",
    "SkerryCustodyLost": "skerry_ingest_custody_lost_records_total 0 1",
}
BESIDE = {"SkerrySpoolNearLimit": ["skerry_spool_kept_bytes 0 0", "skerry_spool_bytes_max 100 100"]}


def documented():
    """The text of each rule file that a document holds or is."""
    found = []
    for path in sorted(glob.glob(os.path.join(ROOT, "docs", "**", "*.md"), recursive=True)):
        with open(path, encoding="utf-8") as f:
            found += [block for block in re.findall(r"^```yaml\n(.*?)^```$", f.read(), re.M | re.S) if "- alert:" in block]
    for path in sorted(glob.glob(os.path.join(ROOT, "deploy", "**", "*.y*ml"), recursive=True)):
        with open(path, encoding="utf-8") as f:
            found += [text for text in [f.read()] if "- alert:" in text]
    assert found, "no document gives an alert: are they read right?"
    return found


def promtool(*words):
    said = subprocess.run([program("prometheus", "usr/bin/promtool"), *words], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, f"promtool {' '.join(words)}:\n{said.stdout}{said.stderr}"


def rules(w):
    """Writes and checks the rule files; gives them, and the names of all alerts."""
    files = [w.write(f"rules/{i}.yaml", text) for i, text in enumerate(documented())]
    for file in files:
        promtool("check", "rules", file)
    names = [name for text in documented() for name in re.findall(r"- alert: (\S+)", text)]
    assert len(names) == len(set(names)), "two alerts have one name"
    assert sorted(names) == sorted(BAD), "an alert of the documents is not tested here, or the other way round"
    return files, names


def series_of(text, good_minutes, bad_minutes):
    name, good, bad = text.rsplit(" ", 2)
    grows = "+1" if "_total" in name else ""
    return {"series": name, "values": f"{good}x{good_minutes} {bad}{grows}x{bad_minutes}"}


def test_rules(w, files, names):
    """10 minutes are good; 20 bad ones are more than any `for`."""
    tests = []
    for name in names:
        series = [series_of(text, 10, 60) for text in [BAD[name], *BESIDE.get(name, [])]]
        for minute, fires in (("10m", False), ("31m", True)):
            tests.append({"interval": "1m", "input_series": series, "promql_expr_test": [
                {"expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)', "eval_time": minute,
                 "exp_samples": [{"labels": "{}", "value": 1 if fires else 0}]}]})
    promtool("test", "rules", w.write("rules/tests.yaml", json.dumps(
        {"rule_files": files, "evaluation_interval": "1m", "tests": tests})))


class Page:
    """Targets of many series, none until it is opened."""

    def __init__(self, series=40_000):
        self.series, self.opened, self.text = series, False, b""
        self.text = "".join(f"bulk{{i=\"{i}\"}} {(i * 2654435761 % 4294967291) / 4294967291.0 + 1}\n"
                            for i in range(series)).encode()
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = page.text if page.opened else b"few 1\n"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_address[1]}"


class Scene:
    """Nodes, and a way to break them. `expects`: {(alert, node)}, filled by whoever sets it up."""

    def __init__(self, w, stack):
        self.w, self.stack = w, stack
        self.nodes, self.expects = [], set()

    def cloud(self, name, **config):
        cloud = Cloud(self.w, name, **config)
        self.nodes.append(cloud)
        return cloud

    def edge(self, name, receiver, start=True, **config):
        config.setdefault("collect", COLLECT)
        edge = Edge(self.w, name, **config)
        self.nodes.append(edge)
        edge.join(receiver.invite(file=name))
        if start:
            edge.start()
        return edge

    def expect(self, node, *alerts):
        self.expects |= {(alert, node.name) for alert in alerts}


class Links(Scene):
    def set_up(self):
        cloud = self.cloud("cloud").start()
        self.killed = self.edge("killed", cloud)
        self.main = cloud
        self.expect(cloud, "SkerryEdgeUnreachable", "SkerrySessionsRefused", "SkerryEdgeRefused", "SkerryEdgeRestored")
        self.expect(self.killed, "SkerryNodeDown")

        self.gateway = Edge(self.w, "gateway", link=free_port(), collect=COLLECT)
        self.gateway.config["link"]["advertise"] = f"tcp://127.0.0.1:{self.gateway.link_port}"
        self.gateway.write_config()
        self.gateway.join(cloud.invite(file="gateway"))
        self.nodes.append(self.gateway.start())
        self.outer = self.edge("outer", self.gateway)
        self.expect(self.gateway, "SkerryRecordsSetAside")

        self.first = self.edge("first", cloud)
        self.restored = self.edge("restored", cloud)
        for edge in (self.first, self.restored):
            wait_until(lambda e=edge: e.metric("skerry_uplink_acked_records_total") > 3, 30, f"{edge.name} to deliver")
            drained(edge)
            edge.process.stop()
        self.copy = Edge(self.w, "copy", collect=COLLECT)
        replace_data(self.copy, copy_of(self.first, self.w.file("image-first")))
        self.image = copy_of(self.restored, self.w.file("image-restored"))
        self.first.start()
        self.restored.start()
        for edge in (self.first, self.restored):
            wait_until(lambda e=edge: e.metric("skerry_uplink_acked_records_total") > 10, 30, f"{edge.name} to deliver more")

    def breaks(self):
        self.killed.process.kill()
        outer = self.outer.status()["edge"]
        wait_until(lambda: outer in run_command([self.main.binary("skerry"), "--data", self.main.data, "sites"]), 20,
                   "the cloud to know the outer edge")
        run_command([self.main.binary("skerry"), "--data", self.main.data, "sites", "revoke", outer])
        self.restored.process.kill()
        replace_data(self.restored, self.image)
        self.restored.start()
        self.copy.start()


class Away(Scene):
    """A cloud that is gone: a spool that fills, and one that is damaged meanwhile."""

    def set_up(self):
        self.main = self.cloud("gone").start()
        self.damaged = self.edge("damaged", self.main, spool={"segment_bytes": "16MiB"})
        self.small = self.edge("small", self.main, spool={"bytes_max": "3MiB", "segment_bytes": "1MiB"})
        self.expect(self.main, "SkerryNodeDown")
        self.expect(self.small, "SkerryUplinkDown", "SkerrySpoolNearLimit", "SkerryRecordsForcedOut")
        self.expect(self.damaged, "SkerrySpoolDamaged", "SkerryExaminationFailed")

    def breaks(self):
        self.main.process.kill()
        threading.Thread(target=self.fill_up, daemon=True).start()
        for _ in range(10):
            self.damage()
            if self.kill_examiner():
                return
        raise AssertionError("no child process that examines a segment was met")

    def damage(self):
        edge = self.damaged
        wait_until(lambda: edge.pending() > 5, 20, "a backlog")
        edge.process.kill()
        folder = os.path.join(edge.data, "spool", "segments")
        file = sorted(os.path.join(folder, name, "data.mdb") for name in os.listdir(folder))[-1]
        with open(file, "r+b") as f:
            for page in range(2 * 4096, os.path.getsize(file), 4096):
                f.seek(page + 2048)
                f.write(os.urandom(2048))
        edge.process.start()

    def kill_examiner(self):
        """kill -9 for every child that the edge has in its first seconds."""
        end, met = time.monotonic() + 2, False
        while time.monotonic() < end:
            for path in glob.glob(f"/proc/{self.damaged.process.pid}/task/*/children"):
                try:
                    with open(path, encoding="ascii") as f:
                        for child in f.read().split():
                            os.kill(int(child), 9)
                            met = True
                except OSError:
                    pass
        if not met:
            return False
        wait_until(lambda: self.damaged.get("/-/ready"), 20, "the damaged edge to be ready")
        return self.damaged.metric("skerry_spool_examinations_total", 'result="crashed"') > 0

    def fill_up(self):
        for round_ in range(400):
            now = int(time.time() * 1000)
            try:
                push(self.small.url, [({"__name__": "bulk", "i": str(i)}, [(now, (i * 7919 + round_) / 7.0)])
                                      for i in range(4000)])
            except OSError:
                time.sleep(0.2)


class FullCloud(Scene):
    def set_up(self):
        self.main = self.cloud("full-cloud", store={"log_segment_bytes": "4MiB", "log_bytes_max": "16MiB"})
        if not self.stack(small_disk(self.main, "48m")):
            self.nodes.clear()
            return
        self.main.start()
        self.edge("waiting", self.main)
        wait_until(lambda: self.main.query("node_load1"), 20, "a sample")
        self.expect(self.main, "SkerryStoreTakesNothing", "SkerryEdgeRefused")

    def breaks(self):
        if self.nodes:
            fill(self.main)


class FullEdge(Scene):
    def set_up(self):
        cloud = self.cloud("gone-too").start()
        self.main = cloud
        self.page = Page()
        targets = [f"127.0.0.1:{self.page.server.server_address[1]}"]
        self.edge_ = Edge(self.w, "full-edge", collect={"interval": "100ms"}, scrape_configs=[
            {"job_name": f"bulk{i}", "scrape_interval": "200ms", "scrape_timeout": "200ms",
             "static_configs": [{"targets": targets}]} for i in range(4)],
            spool={"bytes_max": "64MiB", "segment_bytes": "1MiB", "reserve_bytes": "64KiB", "local_retention": 0})
        if not self.stack(small_disk(self.edge_, "16m")):
            return
        self.nodes.append(self.edge_)
        self.edge_.join(cloud.invite())
        self.edge_.start()
        wait_until(lambda: cloud.query("few"), 20, "a sample")
        self.expect(self.edge_, "SkerrySpoolDiskFull", "SkerrySpoolTakesNothing", "SkerrySamplesDropped")

    def breaks(self):
        if self.expects:
            self.main.process.stop()
            fill(self.edge_)
            self.page.opened = True


class Clocks(Scene):
    def set_up(self):
        self.main = self.cloud("clock")
        self.clock = SkewedClock.make(self.w, "clock", 0)
        if self.clock:
            self.clock.rule(self.main)
            self.expect(self.main, "SkerryClockDoubted")
        self.main.start()
        self.edges = [self.edge(name, self.main) for name in ("east", "west")]

    def breaks(self):
        if self.clock:
            self.clock.set(-7200)
            for edge in self.edges:  # a Hello says an edge's clock
                edge.process.stop()
                edge.start()


class Custody(Scene):
    """A cloud that runs from an older copy, and an edge that has deleted what it delivered."""

    def set_up(self):
        self.main = self.cloud("older").start()
        self.edge_ = self.edge("delivered", self.main, spool={"local_retention": "0s"})
        wait_until(lambda: self.main.query("node_load1"), 20, "a sample")
        self.main.process.stop()
        self.image = copy_of(self.main, self.w.file("image-older"))
        self.main.start()
        before = self.main.metric("skerry_ingest_records_total")
        wait_until(lambda: self.main.metric("skerry_ingest_records_total") > before + 10, 30, "more records")
        self.edge_.process.stop()  # what a process wrote is deleted when the next one has delivered its last
        self.edge_.start()
        wait_until(lambda: self.edge_.metric("skerry_spool_segments_deleted_total") > 0, 30, "a segment to be deleted")
        self.expect(self.main, "SkerryCustodyLost")

    def breaks(self):
        self.main.process.kill()
        replace_data(self.main, self.image)
        self.main.start()


class StoreDamage(Scene):
    def set_up(self):
        self.main = self.cloud("store", store={"log_age_max": "1s", "scrub_bytes_per_second": "64MiB",
                                               "scrub_interval": "1s"}).start()
        end = int(time.time()) - 5
        push(self.main.url, [({"__name__": "m", "host": "h"}, [((end - i) * 1000, i * 0.7) for i in range(300, 0, -1)])])
        wait_until(lambda: self.main.metric("skerry_store_samples_sealed_total") >= 300, 40, "sealing")
        self.expect(self.main, "SkerryStoreDamaged")

    def breaks(self):
        self.main.process.stop()
        damage_blocks(partitions(self.main)[0])
        self.main.start()


class Sealing(Scene):
    """What is sealed has a disk of its own, which fills: the log goes on."""

    def set_up(self):
        self.main = self.cloud("unsealed", store={"log_age_max": "1s"}).start()
        sender = self.edge("sending", self.main)
        self.main.process.stop()
        self.disk = SimpleNamespace(name=self.main.name, data=os.path.join(self.main.data, "store", "partitions"),
                                    process=self.main.process)
        shutil.rmtree(self.disk.data)
        os.mkdir(self.disk.data, 0o700)
        if not self.stack(small_disk(self.disk, "8m")):
            sender.process.kill()
            self.nodes.clear()
            return
        self.main.start()
        wait_until(lambda: self.main.metric("skerry_store_samples_sealed_total") > 0, 40, "sealing")
        self.expect(self.main, "SkerrySealingFails")

    def breaks(self):
        if self.nodes:
            fill(self.disk)


def in_parallel(calls):
    wrong = []

    def guarded(call):
        try:
            call()
        except BaseException as e:  # noqa: BLE001
            wrong.append(f"{getattr(call, '__self__', call).__class__.__name__}: {e!r}")

    threads = [threading.Thread(target=guarded, args=[call], daemon=True) for call in calls]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, "\n".join(wrong)


class Prometheus:
    def __init__(self, w, files, nodes):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = w.write("prometheus.yml", json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}, "rule_files": files,
            "scrape_configs": [{"job_name": "skerry", "static_configs": [
                {"targets": [node.url.split("//")[1]], "labels": {"node": node.name}} for node in nodes]}]}))
        self.process = Process("prometheus", [program("prometheus", "usr/bin/prometheus"), f"--config.file={config}",
                                              f"--web.listen-address=127.0.0.1:{port}",
                                              f"--storage.tsdb.path={w.folder('tsdb')}"], w)
        self.process.start()

    def query(self, expression):
        return get_json(self.url + "/api/v1/query", query=expression)["data"]["result"]

    def alerts(self):
        """{(alert, node)} that are pending or firing."""
        return {(one["labels"]["alertname"], one["labels"]["node"])
                for one in get_json(self.url + "/api/v1/alerts")["data"]["alerts"]}


def break_all(w, files, names):
    began = time.monotonic()
    stack = []

    def enter(manager):
        stack.append(manager)
        return manager.__enter__()

    scenes = [kind(w, enter) for kind in (Links, Away, FullCloud, FullEdge, Clocks, Custody, StoreDamage, Sealing)]
    try:
        in_parallel([scene.set_up for scene in scenes])
        nodes = [node for scene in scenes for node in scene.nodes]
        expected = set().union(*(scene.expects for scene in scenes))
        prometheus = Prometheus(w, files, nodes)
        wait_until(lambda: prometheus.query(f"count(count_over_time(up[1m]) >= 4) == {len(nodes)}"), 30, "some scrapes")
        wait_until(lambda: not prometheus.alerts(), 10, "all to be well")
        time.sleep(2)
        assert not prometheus.alerts(), f"these fire while all is well: {prometheus.alerts()}"
        print(f"all is well on {len(nodes)} nodes after {time.monotonic() - began:.0f} s: no alert", flush=True)
        told = {}
        broken = time.monotonic()

        def all_told():
            for one in prometheus.alerts():
                told.setdefault(one, time.monotonic() - broken)
            return expected <= set(told)

        in_parallel([scene.breaks for scene in scenes])
        try:
            wait_until(all_told, DEADLINE, "the alerts", 0.3)
        finally:
            for one in sorted(expected):
                print("{:26} {:12} {}".format(*one, f"{told[one]:.0f} s" if one in told else "NOT TOLD"), flush=True)
        untested = set(names) - {alert for alert, _ in expected}
        if untested:
            print(f"SKIPPED, what they need can't be had here: {', '.join(sorted(untested))}")
    finally:
        for manager in stack:
            manager.__exit__(None, None, None)
    print(f"each alert fires for what was broken; {time.monotonic() - began:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules-only", action="store_true", help="only what promtool tests, without nodes")
    options = parser.parse_args()
    with Workspace("doc-alerts") as w:
        files, names = rules(w)
        test_rules(w, files, names)
        print(f"promtool: {len(names)} alerts are sound, silent on good series and fire on bad ones", flush=True)
        if not options.rules_only:
            break_all(w, files, names)
    print("passed")


if __name__ == "__main__":
    main()
