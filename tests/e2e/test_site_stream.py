#!/usr/bin/env python3
"""How sites stand, told as it changes: a client follows over a restart of the cloud and misses nothing.

    tests/e2e/test_site_stream.py
"""

import json
import os
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, wait_until  # noqa: E402


class Stream:
    """Server-sent events as they come, over a socket of its own."""

    def __init__(self, port, last_id=""):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        line = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        self.socket.sendall(f"GET /api/v1/sites/stream HTTP/1.0\r\nHost: localhost\r\n{line}\r\n".encode())
        self.text = b""
        head = self.until(b"\r\n\r\n")
        assert b" 200 " in head and b"text/event-stream" in head, head

    def until(self, end):
        while end not in self.text:
            more = self.socket.recv(65536)
            assert more, self.text
            self.text += more
        out, self.text = self.text.split(end, 1)
        return out

    def event(self):
        """(event, id, data) of the next one."""
        while True:
            lines = self.until(b"\n\n").decode().split("\n")
            fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":"))
            if fields:
                return fields["event"], fields.get("id"), json.loads(fields["data"])


def main(w):
    cloud = Cloud(w)
    cloud.start()
    stream = Stream(cloud.http_port)
    event, last, data = stream.event()
    assert (event, data) == ("sites", []), (event, data)
    edge = Edge(w, "ship", collect={"interval": "500ms", "enabled": ["loadavg"]})
    edge.join(cloud.invite("ship"))
    edge.start()
    states = []
    while states[-1:] != ["connected"]:
        event, last, data = stream.event()
        assert event == "site" and data["site"] == "ship", (event, data)
        states.append(data["state"])
    edge.process.stop()
    while states[-1] != "stopped":
        states.append(stream.event()[2]["state"])
    again = Stream(cloud.http_port)  # not the first
    event, last, data = again.event()
    assert event == "sites" and [s["state"] for s in data] == ["stopped"], (event, data)
    cloud.process.stop()
    for one in (stream, again):
        event, _, data = one.event()
        assert event == "end" and data["reason"] == "stopping", (event, data)
        assert one.socket.recv(1) == b""
    cloud.start()
    back = Stream(cloud.http_port, last)
    event, _, data = back.event()
    assert event == "sites" and [s["site"] for s in data] == ["ship"], (event, data)
    wait_until(lambda: cloud.metric("skerry_http_streams") == 1, 10, "one that follows")
    print(f"passed: {states}")


if __name__ == "__main__":
    with Workspace("site_stream") as workspace:
        main(workspace)
