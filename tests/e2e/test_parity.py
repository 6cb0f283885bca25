#!/usr/bin/env python3
"""Host metrics through the whole chain against Debian's prometheus-node-exporter on the same machine.

The exporter's package is unpacked below build/cache without installing it. The edge collects every 200 ms, so that what
the cloud answers is from between two readings of the exporter.
"""

import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, wait_until  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def node_exporter():
    folder = os.path.join(ROOT, "build", "cache", "node-exporter")
    binary = os.path.join(folder, "usr", "bin", "prometheus-node-exporter")
    if not os.path.exists(binary):
        os.makedirs(folder, exist_ok=True)
        subprocess.run(["apt-get", "-q", "download", "prometheus-node-exporter"], cwd=folder, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for package in glob.glob(os.path.join(folder, "*.deb")):
            subprocess.run(["dpkg", "-x", package, folder], check=True)
    return binary


def main():
    exporter = node_exporter()
    with Workspace("parity") as w:
        cloud = Cloud(w).start()
        edge = Edge(w, "edge", collect={"interval": "200ms"})
        edge.join(cloud.invite())
        edge.start()
        wait_until(lambda: cloud.query("node_load1"), 20, "the first sample")
        compared = subprocess.run([sys.executable, os.path.join(os.path.dirname(__file__), "node_exporter_parity.py"),
                                   "--skerry-url", cloud.url, "--match", 'instance="edge"', "--node-exporter", exporter])
        assert compared.returncode == 0, "host metrics differ from node_exporter's: see above"
    print("passed")


if __name__ == "__main__":
    main()
