#!/usr/bin/env python3
"""Every metric that docs/operations.md lists is on /metrics of a node that has just started and seen nothing.

increase() and rate() do not see a counter's step from nothing to 1: an alert on one that begins with its first event
misses that event.

    tests/e2e/test_metrics.py
"""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, free_port, wait_until  # noqa: E402

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "operations.md")
# By site: there from a site's first sealed data on.
LATER = {"skerry_store_duplicates_total", "skerry_store_conflicts_total"}
# Their values are not listed.
FREE_LABELS = {"path", "code", "collector", "direction", "version", "site"}
NODES = {"Both nodes": ("cloud", "gateway", "edge"), "Receiving: cloud and gateway": ("cloud", "gateway"),
         "Receiving: sessions.": ("cloud", "gateway"), "Cloud": ("cloud",), "Edge": ("gateway", "edge")}
PREFIXES = {"cloud": "skerry_ingest_", "gateway": "skerry_downlink_"}
ON_BOTH = ("skerry_remote_write_", "skerry_query_running")  # rows of the cloud's table


def listed():
    """(nodes, names with their labels, values of those labels) of each row of the tables."""
    text = open(DOCS, encoding="utf-8").read()
    text = text[text.index("\n## Metrics\n") + 1:]
    text = text[:text.index("\n## ", 1)]
    nodes = None
    for line in text.split("\n"):
        if head := re.match(r"\*\*(.+?)\*\*", line):
            nodes = NODES[head.group(1)]
        elif line.startswith("| `"):
            first, second = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:3]]
            names = re.findall(r"`([^`]+)`", first.replace("\\|", "|"))
            values = [v for quoted in re.findall(r"`([a-z0-9_ ]+)`", second) for v in quoted.split() if v != "up"]
            yield nodes, names, values


def shown(node):
    """Of each metric the text of the labels of its series."""
    out = {}
    for line in node.get("/metrics").splitlines():
        if line and not line.startswith("#"):
            name, labels = re.match(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? ", line).groups()
            name = re.sub(r"_(bucket|sum|count)$", "", name) if name.endswith(("_bucket", "_sum", "_count")) else name
            out.setdefault(name, []).append(labels or "")
    return out


def full_names(names, have):
    """`skerry_a_b_total`, `_c_total`: the second is the first with another end, wherever that fits."""
    first = None
    for name in names:
        name, _, labels = name.partition("{")
        name = name.lstrip("…")
        if name.startswith("_"):
            stems = [first[:i] for i in range(len(first)) if first[i] == "_"]
            name = next((stem + name for stem in reversed(stems) if stem + name in have or stem + name in LATER),
                        first + name)
        else:
            first = name
        yield name, labels.rstrip("}")


def missing_of(kind, node):
    have = shown(node)
    count = 0
    missing = []
    for nodes, names, values in listed():
        if kind not in nodes and not names[0].startswith(ON_BOTH):
            continue
        if names[0].startswith("…"):
            names = [PREFIXES[kind] + name[1:] if name.startswith("…") else name for name in names]
        for name, labels in full_names(names, have):
            count += 1
            if name in LATER:
                continue
            if name not in have:
                missing.append(name)
                continue
            label, _, given = labels.partition("=")
            if not label or set(label.split(",")) <= FREE_LABELS:
                continue
            wanted = re.findall(r'"(\w+)"', given) or values
            assert wanted, f"{name} has a label {label} and the page lists no value of it"
            missing += [f'{name}{{{label}="{v}"}}' for v in wanted
                        if not any(f'{label}="{v}"' in series for series in have[name])]
    assert count > 50, f"only {count} metrics of {kind} are listed: is the page read right?"
    return missing


def main():
    with Workspace("metrics") as w:
        cloud = Cloud(w).start()
        gateway = Edge(w, "gateway", link=free_port())
        gateway.config["link"]["advertise"] = f"tcp://127.0.0.1:{gateway.link_port}"
        gateway.write_config()
        gateway.join(cloud.invite())
        edge = Edge(w, "edge")
        edge.join(cloud.invite("other", file="other"))
        wrong = []
        for kind, node in (("cloud", cloud), ("gateway", gateway), ("edge", edge)):
            if kind != "cloud":
                node.start()
                wait_until(lambda n=node: n.metric("skerry_collect_host_collections_total") > 0, 20, "a collection")
            wrong += [f"{kind}: {name}" for name in missing_of(kind, node)]
        assert not wrong, "not there before the first event:\n  " + "\n  ".join(wrong)
    print("passed")


if __name__ == "__main__":
    main()
