#!/usr/bin/env python3
"""A series has the labels that Prometheus would give it, no more and no fewer.

Debian's Prometheus 2.42 and two edges of one site scrape the same targets with the same configuration. At the edge
`/api/v1/series` equals Prometheus', at the cloud it equals that plus `site`, where the data has none; so do sums
without a label. Both edges scrape the same: each series is there once.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Process, Workspace, free_port, get, get_json, push, wait_until  # noqa: E402
from lib.debian import program  # noqa: E402

PAGE = """# TYPE plain gauge
plain 1
plain{code="200"} 2
# TYPE named gauge
named{host="box"} 3
named{site="elsewhere"} 4
named{host="box",site="elsewhere",exported_host="x"} 5
# TYPE owned gauge
owned{instance="other:1",job="theirs"} 6
owned{instance="",job="theirs",exported_job="y"} 7
"""


def serve():
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            body = PAGE.encode()
            self.send_response(200 if self.path == "/metrics" else 500)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def jobs(port):
    def job(name, labels=None, **more):
        return dict({"job_name": name, "scrape_interval": "1s", "scrape_timeout": "1s",
                     "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels or {}}]}, **more)
    return [
        job("simple"),
        job("labelled", {"host": "box-7", "site": "deck", "rack": "r1"}),
        job("honoured", {"host": "box-7", "site": "deck"}, honor_labels=True),
        job("relabelled", relabel_configs=[{"target_label": "instance", "replacement": "box-8"}]),
        job("federated", honor_labels=True, metric_relabel_configs=[
            {"source_labels": ["host"], "regex": "(.+)", "target_label": "instance"},
            {"regex": "exported_.*", "action": "labeldrop"}]),
        job("silent", {"host": "box-9"}, metrics_path="/none"),
    ]


def texts(all_labels):
    return sorted(json.dumps(one, sort_keys=True) for one in all_labels)


def listed(url):
    now = time.time()
    return get_json(url + "/api/v1/series", 30, **{"match[]": '{job!=""}', "start": now - 120, "end": now + 60})["data"]


def at_site(labels, site):
    return labels if labels.get("site") else dict(labels, site=site)


def asked(url, expression):
    found = get_json(url + "/api/v1/query", 30, query=expression)
    assert found["status"] == "success", found
    return {json.dumps(one["metric"], sort_keys=True): one["value"][1] for one in found["data"]["result"]}


def main():
    port = serve()
    with Workspace("labels") as w:
        scrape = jobs(port)
        other = f"http://127.0.0.1:{free_port()}"
        config = w.write("prometheus.yml", json.dumps({"scrape_configs": scrape}))
        Process("prometheus", [program("prometheus", "usr/bin/prometheus"), f"--config.file={config}",
                               f"--web.listen-address={other[7:]}", f"--storage.tsdb.path={w.folder('tsdb')}"], w).start()
        cloud = Cloud(w).start()
        edges = []
        for name in ("one", "two"):
            edge = Edge(w, name, collect={"host_metrics": False}, scrape_configs=scrape)
            edge.join(cloud.invite(site="ship", file=name))
            edges.append(edge.start())

        def all_there():
            try:
                return (len(asked(other, "up")) == len(scrape)
                        and all(len(asked(edge.url, "up")) == len(scrape) for edge in edges)
                        and asked(cloud.url, "count(up)") == {"{}": str(len(scrape))})
            except (OSError, KeyError):
                return False
        wait_until(all_there, 60, "every target to be scraped by all", every=0.5)

        prometheus = listed(other)
        assert len(prometheus) > 6 * 5 + 5 * 5, prometheus
        for edge in edges:
            assert texts(listed(edge.url)) == texts(prometheus), edge.name
        assert texts(listed(cloud.url)) == texts(at_site(one, "ship") for one in prometheus)
        print(f"  {len(prometheus)} series: equal at both edges, and plus site at the cloud")

        # The values stand, so every sum of them is the same, whoever adds.
        values = '{__name__=~"plain|named|owned|up"}'
        for expression in (f"sum without (instance) ({values})", f"count without (instance, site) ({values})",
                           f"sum by (host) ({values})", "max without (job, host) (plain)",
                           'count by (job) (up == 0)', 'plain * on (instance, job) group_left (host) up',
                           'group by (exported_host) ({exported_host!="",job!=""})'):
            want = asked(other, expression)
            assert want, expression
            for edge in edges:
                assert asked(edge.url, expression) == want, (expression, want, asked(edge.url, expression))
            if "site" in expression or " by (" in expression:
                assert asked(cloud.url, expression) == want, (expression, want, asked(cloud.url, expression))
            else:
                assert asked(cloud.url, expression) == {
                    json.dumps(at_site(json.loads(one), "ship"), sort_keys=True): value for one, value in want.items()
                }, (expression, asked(cloud.url, expression))

        # One target, two edges: each step's sample is there, from whichever.
        steps = get_json(cloud.url + "/api/v1/query", query='plain{job="simple",code=""}[1m]')["data"]["result"]
        assert len(steps) == 1 and len(steps[0]["values"]) >= 2, steps
        assert asked(cloud.url, "rate(plain[1m])"), "no two series with the same labels"

        # Hosts are what they were: by key and target, not by labels.
        hosts = {(h["site"], h["host"]) for h in cloud.get_json("/api/v1/hosts")["data"]}
        assert hosts >= {("ship", "127.0.0.1"), ("ship", "box-7"), ("ship", "box-9")}, hosts
        assert not any(site in ("deck", "elsewhere") for site, _ in hosts), hosts

        # One series pushed to both edges and, with the site that they give it, to the cloud: one series.
        now = int(time.time()) * 1000
        mine = {"__name__": "both", "job": "push", "instance": "i:1"}
        for n, edge in enumerate(edges):
            push(edge.url, [(mine, [(now - 30_000 + 1000 * k, k) for k in range(n, 10 + n)])])
        push(cloud.url, [(dict(mine, site="ship"), [(now - 30_000 + 1000 * k, k) for k in range(5, 15)]),
                         (mine, [(now, 7)])])

        def merged():
            found = get_json(cloud.url + "/api/v1/query", query='both{site="ship"}[2m]', time=now / 1000)["data"]["result"]
            assert len(found) <= 1, found
            return found and [v for _, v in found[0]["values"]] == [str(k) for k in range(15)]
        wait_until(merged, 30, "the samples of all three")
        assert texts(json.loads(one) for one in asked(cloud.url, "both")) == texts(
            [dict(mine, site="ship"), mine]), asked(cloud.url, "both")
        said = get_json(cloud.url + "/api/v1/query_range", query="both", start=now / 1000 - 60, end=now / 1000, step="5")
        assert said["status"] == "success" and len(said["data"]["result"]) == 2, said
        page = get(cloud.url + "/federate", **{"match[]": "both"})
        assert page.count('both{instance="i:1",job="push",site="ship"}') == 1, page
        for edge in edges:
            edge.process.stop()
        cloud.process.stop()
    print("passed")


if __name__ == "__main__":
    main()
