#!/usr/bin/env python3
# alone: judges CPU
"""Thousands of TCP connections to the link's port, of a node that may open few files: HTTP, the operator's socket, new
log files and edges that come afterwards have theirs, and nothing spins.

    tests/e2e/test_descriptors.py
"""

import contextlib
import errno
import os
import resource
import selectors
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, wait_until  # noqa: E402
from lib.remote_write import push  # noqa: E402
from lib.web import get_unix  # noqa: E402

FILES_MAX = 4096
CONNECTIONS = 6000
SECONDS = 8
CPU_MAX = 0.5  # of a core, on average


class Crowd:
    """Keeps so many connections open that say nothing; what is closed is opened again."""

    def __init__(self, port, count):
        self.port, self.count = port, count
        self.selector = selectors.DefaultSelector()
        self.opened = self.closed = 0

    def open_one(self):
        s = socket.socket()
        s.setblocking(False)
        if s.connect_ex(("127.0.0.1", self.port)) not in (0, errno.EINPROGRESS):
            s.close()
            return
        self.opened += 1
        self.selector.register(s, selectors.EVENT_READ)

    def turn(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for key, _ in self.selector.select(0.01):
                ended = True
                with contextlib.suppress(OSError):
                    ended = key.fileobj.recv(4096) == b""
                if ended:
                    self.selector.unregister(key.fileobj)
                    key.fileobj.close()
                    self.closed += 1
            for _ in range(min(200, self.count - len(self.selector.get_map()))):
                self.open_one()

    def close(self):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 3 * CONNECTIONS)), hard))
    with Workspace("descriptors") as w:
        cloud = Cloud(w, store={"log_age_max": "1s"})
        cloud.process.argv = ["prlimit", f"--nofile={FILES_MAX // 2}:{FILES_MAX}", *cloud.process.argv]
        cloud.start()
        assert cloud.metric("process_max_fds") == FILES_MAX, "the soft limit was not raised"
        edge = Edge(w, collect={"interval": "500ms", "enabled": ["loadavg"]})
        edge.join(cloud.invite())
        edge.start()
        wait_until(lambda: cloud.query("node_load1"), 20, "a sample")
        sealed = cloud.metric("skerry_store_logs_sealed_total")
        crowd = Crowd(cloud.link_port, CONNECTIONS)
        crowd.turn(1)
        cpu, began = cpu_seconds(cloud.process.pid), time.monotonic()
        turns = 0
        while time.monotonic() < began + SECONDS:
            crowd.turn(0.5)
            turns += 1
            assert "Healthy" in cloud.get("/-/healthy")
            assert "test" in get_unix(os.path.join(cloud.data, "operator.sock"), "/api/v1/sites")
            push(cloud.url, [({"__name__": "pushed", "instance": "a"}, [(int(time.time() * 1000), turns)])])
        used = (cpu_seconds(cloud.process.pid) - cpu) / (time.monotonic() - began)
        assert crowd.opened > FILES_MAX and crowd.closed > 0, "nobody was turned away"
        fds = cloud.metric("process_open_fds")
        assert fds <= FILES_MAX * 3 // 4, f"{fds} descriptors are open"
        assert cloud.metric("skerry_store_logs_sealed_total") > sealed, "no log was begun"
        assert cloud.metric("skerry_link_server_connections_turned_away_total") > 0
        failures = cloud.metric("skerry_link_server_accept_failures_total")
        assert failures == 0, f"{failures:.0f} times it could not accept: " + "; ".join(
            line for line in cloud.process.text().splitlines() if "accept" in line)
        assert used < CPU_MAX, f"it takes {used:.2f} of a core"
        assert len(cloud.query("count_over_time(pushed[1m])")) == 1
        assert edge.status()["link"]["state"] == "live", "an edge that was there lost its connection"
        lines = sum("connections_max" in line for line in cloud.process.text().splitlines())
        assert lines <= 4, f"{lines} lines about it"
        crowd.close()
        late = Edge(w, "late", collect={"interval": "500ms", "enabled": ["loadavg"]})
        late.join(cloud.invite(file="late"))
        late.start()
        wait_until(lambda: cloud.query('node_load1{instance="late"}'), 30, "an edge that comes afterwards")
        for node in (edge, late, cloud):
            node.process.stop()
        print(f"{crowd.opened} connections opened, {crowd.closed} closed at once, {fds:.0f} descriptors of {FILES_MAX} in "
              f"use, {used:.2f} of a core")
    print("passed")


if __name__ == "__main__":
    main()
