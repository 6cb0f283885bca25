#!/usr/bin/env python3
"""What targets and senders claim about time is not what the nodes saw: timestamps in pages and in pushes.

    tests/e2e/test_claimed_times.py
"""

import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, get_json, push, wait_until  # noqa: E402
from lib.web import Failed  # noqa: E402

HOUR = 3600


class Page:
    """A target whose samples all bear times of their own and stand unchanged: one of 1970, one of the future, the others
    of its start."""

    def __init__(self):
        began = int(time.time() * 1000)
        times = [1000, began + HOUR * 1000] + [began - 1000 * i for i in range(7)]
        page = "".join(f'claimed{{i="{i}"}} {i} {at}\n' for i, at in enumerate(times)).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.target = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def losses(cloud):
    return get_json(cloud.url + "/api/v1/loss")["data"]


def pages(workspace, cloud):
    page = Page()
    began = time.time()
    edge = Edge(workspace, "edge", collect={"host_metrics": False}, scrape_configs=[
        {"job_name": "claims", "scrape_interval": "1s", "static_configs": [{"targets": [page.target]}]}])
    edge.join(cloud.invite("ship"))
    edge.start()
    wait_until(lambda: edge.metric("skerry_scrape_scrapes_total") >= 5, 30, "a few scrapes")
    wait_until(lambda: edge.pending() == 0, 30, "the spool to drain")

    hosts = cloud.get_json("/api/v1/hosts")["data"]
    assert [h["series"] for h in hosts] == [9 + 5], hosts  # of the page, and five about the scrape
    assert began - 1 <= hosts[0]["last_sample"] <= time.time(), hosts
    assert edge.metric("skerry_scrape_samples_ahead_total") >= 5
    assert not losses(cloud), losses(cloud)
    found = cloud.get_json("/api/v1/completeness", start=0, end=time.time())["data"][0]["ranges"]
    assert found[0]["state"] == "unknown" and found[0]["end"] > began - 1, found
    assert not any(r["state"] == "complete" and r["start"] < began - 1 for r in found), found
    # Recorded once, however often it was shown.
    times = cloud.query('count_over_time(claimed{i="2"}[10m])')
    assert [t["value"][1] for t in times] == ["1"], times
    assert cloud.metric("skerry_shard_samples_total") < 8 + 6 * (edge.metric("skerry_scrape_scrapes_total") + 2)
    edge.process.stop()
    print("  a page: complete from its first scrape on, all series, and no loss from the future")


def pushes(cloud):
    now = int(time.time())
    labels = {"__name__": "pushed", "instance": "i1"}
    future = [((now + HOUR) * 1000 + i, 1) for i in range(2000)]
    wide = dict(labels, **{f"label_{i}": "x" for i in range(70_000)})
    try:
        push(cloud.url, [(labels, [(now * 1000, 1)]), (dict(labels, job="future"), future), (wide, [(now * 1000, 1)])])
    except Failed as e:
        assert e.status == 400 and "2001 samples were refused, 1 were stored" in e.body, e
    else:
        raise AssertionError("was taken as a whole")
    assert len(cloud.query("pushed", time=now)) == 1
    assert not losses(cloud), losses(cloud)
    assert cloud.metric("skerry_remote_write_refused_samples_total", 'reason="ahead"') == 2000
    assert cloud.metric("skerry_remote_write_refused_samples_total", 'reason="too_large"') == 1
    assert cloud.metric("skerry_remote_write_refused_samples_total", 'reason="labels"') == 0
    print("  a push: what is bad is refused and counted, the rest is stored, the ledger stays empty")


def main():
    with Workspace("claimed") as workspace:
        cloud = Cloud(workspace).start()
        pages(workspace, cloud)
        pushes(cloud)
        cloud.process.stop()
    print("passed")


if __name__ == "__main__":
    main()
