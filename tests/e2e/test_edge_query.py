#!/usr/bin/env python3
"""An edge answers from its spool: without a link, after everything was delivered, after a restart; and takes pushes."""

import csv
import io
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, get_json, push, run_command, wait_until  # noqa: E402
from lib.web import metric  # noqa: E402


def ask(edge, expression, **params):
    return get_json(edge.url + "/api/v1/query", timeout=60, query=expression, **params)["data"]["result"]


def main():
    with Workspace("edge-query") as w:
        cloud = Cloud(w).start()
        token = cloud.invite(site="harbour")
        edge = Edge(w, "edge", collect={"interval": "200ms"}, spool={"segment_bytes": "1MiB"})
        edge.join(token)
        cloud.process.stop()
        edge.start()

        # The link is down: what waits is there, with the labels of the data and no others.
        wait_until(lambda: ask(edge, "node_load1"), 20, "the first sample")
        found = ask(edge, "node_load1")[0]["metric"]
        assert found == {"__name__": "node_load1", "instance": "edge", "job": "node"}, found
        now = int(time.time())
        push(edge.url, [({"__name__": "pushed", "instance": "i1"}, [((now - 10 * k) * 1000, k) for k in range(3)])],
             metadata=[(2, "pushed", "A test.")])
        assert len(ask(edge, "pushed[1m]", time=now)[0]["values"]) == 3
        assert ask(edge, "pushed")[0]["metric"] == {"__name__": "pushed", "instance": "i1"}
        moved = {"__name__": "moved", "site": "elsewhere", "host": "h"}
        push(edge.url, [(moved, [(now * 1000, 1)])])
        assert ask(edge, "moved", time=now)[0]["metric"] == moved
        assert metric(edge.url + "/metrics", "skerry_remote_write_samples_total") == 4
        assert "pushed" in get_json(edge.url + "/api/v1/label/__name__/values")["data"]
        assert get_json(edge.url + "/api/v1/metadata")["data"]["pushed"][0]["type"] == "gauge"

        # What was acknowledged survives a kill.
        edge.process.kill()
        edge.start()
        assert len(ask(edge, "pushed[1m]", time=now)[0]["values"]) == 3

        # Delivered: the cloud has it once, and the edge still answers.
        cloud.start()
        wait_until(lambda: edge.pending() == 0, 60, "the spool to drain")
        wait_until(lambda: cloud.query("pushed[1m]", time=now), 20, "the pushed samples at the cloud")
        there = cloud.query("pushed[1m]", time=now)[0]
        assert len(there["values"]) == 3, there
        assert there["metric"] == {"__name__": "pushed", "instance": "i1", "site": "harbour"}, there
        assert cloud.query("moved", time=now)[0]["metric"] == moved
        assert ask(edge, "pushed[1m]", time=now)[0]["values"] == there["values"]
        edge.process.stop()
        edge.start()
        assert len(ask(edge, "pushed[1m]", time=now)[0]["values"]) == 3, "released records are kept over a restart"
        wait_until(lambda: edge.pending() == 0, 30, "nothing to be offered again")

        # The operator's tool.
        tool = edge.binary("skerry")
        said = run_command([tool, "--edge", "--url", edge.url, "query", "pushed", "--time", str(now)])
        assert "pushed{instance=" in said, said
        wanted = [tool, "--url", edge.url, "query", "pushed", "--start", str(now - 60), "--end", str(now), "--step", "10s"]
        rows = list(csv.DictReader(io.StringIO(run_command(wanted + ["--output", "csv"]))))
        assert rows and rows[0]["instance"] == "i1" and set(rows[0]) >= {"instance", "time", "value"}, rows
        assert "┤" in run_command(wanted + ["--output", "plot"])
        edge.process.stop()
        cloud.process.stop()
    print("passed")


if __name__ == "__main__":
    main()
