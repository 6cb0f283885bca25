#!/usr/bin/env python3
"""What Grafana's Prometheus data source asks when it is saved, tested and opened, answered as Prometheus answers.

The same requests go to Debian's Prometheus 2.42; the shapes of the answers are compared: status, keys, types.
"""

import json
import os
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Process, Workspace, free_port, get, push, wait_until  # noqa: E402
from lib.debian import program  # noqa: E402
from lib.web import Failed, post  # noqa: E402

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def ask(url, method, path, **params):
    """(status, answer)."""
    try:
        if method == "GET":
            return 200, json.loads(get(url + path, 30, **params))
        return 200, json.loads(post(url + path, urllib.parse.urlencode(params, doseq=True).encode(), 30, FORM))
    except Failed as e:
        return e.status, json.loads(e.body)


def shape(value, depth=0):
    """Keys and types, without what hangs on the data."""
    if isinstance(value, dict):
        return {k: shape(v, depth + 1) for k, v in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0], depth + 1)] if value else []
    return type(value).__name__


def main():
    with Workspace("grafana") as w:
        cloud = Cloud(w).start()
        port = free_port()
        config = w.write("prometheus.yml", json.dumps({"global": {"scrape_interval": "1s"}}))
        other = f"http://127.0.0.1:{port}"
        Process("prometheus", [program("prometheus", "usr/bin/prometheus"), f"--config.file={config}",
                               "--web.enable-remote-write-receiver", f"--web.listen-address=127.0.0.1:{port}",
                               f"--storage.tsdb.path={w.folder('tsdb')}"], w).start()

        def ready():
            try:
                return get(other + "/-/ready")
            except OSError:
                return None
        wait_until(ready, 60, "Prometheus")
        now = int(time.time())
        labels = {"__name__": "pushed", "instance": "a", "job": "j"}
        for url in (cloud.url, other):
            push(url, [(labels, [((now - 30 + 15 * k) * 1000, k) for k in range(3)])])

        requests = [
            # The health check: the connection, and which Prometheus this is.
            ("POST", "/api/v1/query", {"query": "1+1", "time": "4"}),
            ("GET", "/api/v1/query", {"query": "1+1", "time": "1"}),
            ("GET", "/api/v1/status/buildinfo", {}),
            # The start of a dashboard and of Explore.
            ("GET", "/api/v1/rules", {}),
            ("GET", "/api/v1/alerts", {}),
            ("GET", "/api/v1/metadata", {}),
            ("GET", "/api/v1/labels", {"start": now - 60, "end": now}),
            ("POST", "/api/v1/labels", {"start": now - 60, "end": now, "match[]": "pushed"}),
            ("GET", "/api/v1/label/__name__/values", {"start": now - 60, "end": now}),
            ("GET", "/api/v1/label/job/values", {"match[]": 'pushed{job!=""}', "start": now - 60, "end": now}),
            ("GET", "/api/v1/series", {"match[]": "pushed", "start": now - 60, "end": now}),
            ("POST", "/api/v1/series", {"match[]": "pushed", "start": now - 60, "end": now}),
            # With milliseconds, as Grafana has them from its time picker.
            ("GET", "/api/v1/query_exemplars", {"query": "pushed", "start": f"{now - 60}.123", "end": f"{now}.456"}),
            ("POST", "/api/v1/query_exemplars", {"query": "pushed", "start": f"{now - 60}.123", "end": f"{now}.456"}),
            # Panels.
            ("POST", "/api/v1/query_range", {"query": "rate(pushed[1m])", "start": now - 30, "end": now, "step": 15}),
            ("POST", "/api/v1/query", {"query": "pushed", "time": f"{now}.5"}),
            ("POST", "/api/v1/query", {"query": "pushed", "time": f"{now}.5", "stats": "all"}),
            # And what goes wrong.
            ("POST", "/api/v1/query", {"query": "pushed{"}),
            ("POST", "/api/v1/query_range", {"query": "pushed", "start": now, "end": now - 1, "step": 15}),
            ("POST", "/api/v1/query_range", {"query": "pushed", "start": 0, "end": now, "step": 1}),
            ("GET", "/api/v1/series", {}),
            ("GET", "/api/v1/query_exemplars", {"query": "pushed", "start": now, "end": now - 1}),
            # The rest of the API.
            ("GET", "/api/v1/format_query", {"query": "sum  by(job)(rate(pushed [1m]) )/2"}),
            ("POST", "/api/v1/format_query", {"query": "foo{"}),
            ("GET", "/api/v1/status/runtimeinfo", {}),
            ("GET", "/api/v1/status/tsdb", {}),
            ("GET", "/api/v1/status/config", {}),
            ("GET", "/api/v1/targets", {}),
            ("GET", "/api/v1/alertmanagers", {}),
        ]
        # Answers that are to be the same to the last byte.
        same = {"/api/v1/query", "/api/v1/query_range", "/api/v1/series", "/api/v1/labels", "/api/v1/format_query",
                "/api/v1/rules", "/api/v1/alerts", "/api/v1/query_exemplars", "/api/v1/alertmanagers"}
        wrong = []
        for method, path, params in requests:
            ours, theirs = (ask(url, method, path, **params) for url in (cloud.url, other))
            if params.get("query") == "rate(pushed[1m])":
                assert '"pushed"' in ours[1].pop("infos")[0], ours  # Prometheus 3 remarks on it, 2.42 does not
            if "stats" in params or path not in same:
                ours, theirs = (shape(list(x)) for x in (ours, theirs))
            if path == "/api/v1/status/buildinfo":
                theirs = ours if set(theirs[0]) <= set(ours[0]) else theirs
            if ours != theirs:
                wrong.append(f"{method} {path} {params}\n  ours   {ours}\n  theirs {theirs}")
        assert not wrong, "\n".join(wrong)
        assert ask(cloud.url, "GET", "/api/v1/status/buildinfo")[1]["data"]["version"] == "2.42.0"
        assert ask(cloud.url, "GET", "/api/v1/status/flags")[1]["data"]["storage.tsdb.retention.time"] == "30d"
        tree = ask(cloud.url, "GET", "/api/v1/parse_query", query='sum by (job) (a{b="c"} offset 5m)')[1]["data"]
        assert tree["type"] == "aggregation" and tree["grouping"] == ["job"] and tree["expr"]["offset"] == 300000, tree

        # Answers are compressed for who takes it.
        import gzip
        import urllib.request
        big = urllib.request.Request(cloud.url + "/api/v1/query_range?" + urllib.parse.urlencode(
            {"query": "vector(1)", "start": now - 3600, "end": now, "step": 1}), headers={"Accept-Encoding": "gzip"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(big, timeout=30) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert len(json.loads(gzip.decompress(answer.read()))["data"]["result"][0]["values"]) == 3601
        cloud.process.stop()
    print("passed")


if __name__ == "__main__":
    main()
