#!/usr/bin/env python3
"""Disks that are copies: an edge restored from an older copy, two edges from one disk, a cloud restored from a copy.

In each case no number is reused, nothing is lost or doubled in silence, and what happened is named in the log and in
/metrics.
"""

import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, free_port, wait_until  # noqa: E402


def edge_on(workspace, name, **config):
    return Edge(workspace, name, collect={"interval": "200ms", "enabled": ["loadavg"]},
                uplink={"dead_after": "2s"}, spool={"commit_journal": workspace.file(name + ".journal")}, **config)


def copy_of(node, to):
    """A copy of a stopped node's data directory, as a disk image would be."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(node.data, to, ignore=lambda _, names: [n for n in names if n.endswith(".sock")])
    os.chmod(to, 0o700)
    return to


def replace_data(node, by):
    shutil.rmtree(node.data)
    shutil.copytree(by, node.data)
    os.chmod(node.data, 0o700)


def committed(workspace, *names):
    out = []
    for name in names:
        with open(workspace.file(name + ".journal"), encoding="ascii") as f:
            for line in f:
                edge, epoch, stream, first, last = line.split()
                out += [(edge, epoch, stream, s) for s in range(int(first), int(last) + 1)]
    return out


def check_once(workspace, cloud, *names, but=()):
    """Every committed number was given once, and stands in the cloud's log once (or is in `but`)."""
    numbers = committed(workspace, *names)
    assert len(numbers) == len(set(numbers)), "a number was given twice"
    cloud.process.stop()
    _, records, ledger = cloud.verify()
    stored = [(edge, epoch, stream, int(seq)) for edge, epoch, stream, seq, *_ in records]
    assert len(stored) == len(set(stored)), "a record is stored twice"
    missing = [n for n in numbers if n not in set(stored)]
    unexplained = [n for n in missing if n not in but]
    assert not unexplained, f"{len(unexplained)} committed records are not stored, the first is {unexplained[0]}"
    return ledger


def drained(*edges):
    for edge in edges:
        wait_until(lambda e=edge: e.pending() == 0, 60, f"{edge.name} to drain")


def restored_edge():
    with Workspace("restored-edge") as w:
        cloud = Cloud(w).start()
        edge = edge_on(w, "edge")
        edge.join(cloud.invite())
        edge.start()
        wait_until(lambda: cloud.query("node_load1"), 20, "the first sample")
        drained(edge)
        edge.process.stop()
        image = copy_of(edge, w.file("image"))
        edge.start()
        before = cloud.metric("skerry_ingest_records_total")
        wait_until(lambda: cloud.metric("skerry_ingest_records_total") > before + 10, 20, "more records")
        edge.process.kill()
        replace_data(edge, image)
        edge.start()
        wait_until(lambda: edge.status()["link"]["state"] == "live", 40, "the restored edge to be let in")
        wait_until(lambda: cloud.metric("skerry_ingest_restored_edges_total") == 1, 5, "the restored edge to be counted")
        assert "came back from an older copy of its disk" in cloud.process.text()
        before = cloud.metric("skerry_ingest_records_total")
        wait_until(lambda: cloud.metric("skerry_ingest_records_total") > before + 3, 20, "fresh records")
        edge.process.stop()
        # What was pending when it was killed is on no disk any more; it had been acknowledged or it is lost with it.
        numbers = committed(w, "edge")
        check_once(w, cloud, "edge", but=set(numbers[-20:]))
    print("restored edge: named, nothing reused, nothing doubled")


def cloned_edge():
    with Workspace("cloned-edge") as w:
        cloud = Cloud(w).start()
        first = edge_on(w, "edge")
        first.join(cloud.invite())
        first.start()
        wait_until(lambda: cloud.query("node_load1"), 20, "the first sample")
        drained(first)
        first.process.stop()
        second = edge_on(w, "clone")
        replace_data(second, copy_of(first, w.file("image")))
        first.start()
        wait_until(lambda: first.status()["link"]["state"] == "live", 20, "the first to be live")
        second.start()
        wait_until(lambda: cloud.metric("skerry_ingest_refused_sessions_total", 'reason="duplicate"') > 0, 30,
                   "the second to be refused")
        wait_until(lambda: "cloned" in cloud.process.text(), 5, "the log to name it")
        wait_until(lambda: "copy" in second.status()["link"]["refusal"], 20, "the second to say why it waits")
        assert first.status()["link"]["state"] == "live"
        time.sleep(1)
        drained(first)
        first.process.stop()
        # Alone, the second is let in and delivers what it kept, under numbers of its own.
        wait_until(lambda: second.status()["link"]["state"] == "live", 60, "the second to be let in")
        drained(second)
        second.process.stop()
        cloud.assert_sound()
        # An orderly stop commits what has gathered: that waits on the disk for the next start.
        check_once(w, cloud, "edge", "clone", but=set(committed(w, "edge")[-3:] + committed(w, "clone")[-3:]))
    print("cloned edge: the second is refused while the first lives, and loses nothing")


def copied_while_it_runs():
    """The copy of a running node's disk knows that node's epoch, as a restarted process would: it must not take over."""
    for stale in (True, False):  # whether the node wrote anything that was delivered after the copy was made
        with Workspace("copied-edge") as w:
            cloud = Cloud(w).start()
            first = edge_on(w, "edge")
            first.join(cloud.invite())
            first.start()
            wait_until(lambda: cloud.query("node_load1"), 20, "the first sample")
            second = edge_on(w, "clone")
            drained(first)
            first.process.pause()
            shutil.copytree(first.data, second.data, dirs_exist_ok=True,
                            ignore=lambda _, names: [n for n in names if n.endswith(".sock") or n == "LOCK"])
            os.chmod(second.data, 0o700)
            wait_until(lambda: cloud.metric("skerry_ingest_sessions_total") == 1, 10, "the session to be counted")
            if stale:
                first.process.resume()
                before = cloud.metric("skerry_ingest_records_total")
                wait_until(lambda: cloud.metric("skerry_ingest_records_total") > before + 5, 20, "more records")
            second.start()
            if not stale:
                wait_until(lambda: cloud.metric("skerry_ingest_sessions_total") > 1, 20, "the copy to take over")
                first.process.resume()
            wait_until(lambda: cloud.metric("skerry_ingest_refused_sessions_total", 'reason="duplicate"') > 0, 30,
                       "the copy to be refused")
            wait_until(lambda: "copy" in second.status()["link"]["refusal"], 20, "the copy to say why it waits")
            wait_until(lambda: first.status()["link"]["state"] == "live", 20, "the first to go on")
            assert "join anew" not in first.status()["link"]["refusal"], "the first was told to leave"
            assert "join anew" not in first.process.text(), "the first was told to leave"
            before = cloud.metric("skerry_ingest_records_total")
            wait_until(lambda: cloud.metric("skerry_ingest_records_total") > before + 10, 20, "the first to deliver")
            if stale:
                assert cloud.metric("skerry_ingest_sessions_total") == 1, "the first lost its session"
            assert first.status()["link"]["state"] == "live"
            assert second.status()["link"]["state"] != "live"
            second.process.stop()
            drained(first)
            # A restart is not kept waiting.
            first.process.kill()
            refused = cloud.metric("skerry_ingest_refused_sessions_total")
            first.start()
            wait_until(lambda: first.status()["link"]["state"] == "live", 20, "the first after a restart")
            assert cloud.metric("skerry_ingest_refused_sessions_total") == refused, "the restart was refused"
            first.process.stop()
            cloud.assert_sound()
    print("edge copied while it ran: the copy is refused, the first goes on")


def restored_cloud(keeps, through=False):
    """What is still on the disk of who delivers to it comes again; the rest is named as lost, and nothing is hidden.
    `through`: a gateway delivers, and brings an edge behind it too."""
    with Workspace("restored-cloud") as w:
        cloud = Cloud(w).start()
        edge = sender = edge_on(w, "edge")
        nodes = [edge]
        if not keeps:
            edge.config["spool"]["local_retention"] = "0s"
            edge.write_config()
        if through:
            sender = edge_on(w, "gateway", link=free_port())
            sender.config["link"]["advertise"] = f"tcp://127.0.0.1:{sender.link_port}"
            sender.write_config()
            sender.join(cloud.invite())
            sender.start()
            nodes.append(sender)
        edge.join((sender if through else cloud).invite(file="edge"))
        edge.start()
        wait_until(lambda: len(cloud.query("node_load1")) == len(nodes), 20, "the first sample of each")
        cloud.process.stop()
        image = copy_of(cloud, w.file("image"))
        cloud.start()
        before = cloud.metric("skerry_ingest_records_total")
        wait_until(lambda: cloud.metric("skerry_ingest_records_total") > before + 20, 30, "more records")
        drained(*nodes)
        if not keeps:  # what a process wrote is deleted when the next one has delivered its last
            edge.process.stop()
            edge.start()
            wait_until(lambda: edge.metric("skerry_spool_segments_deleted_total") > 0, 30, "a segment to be deleted")
            drained(edge)
        cloud.process.kill()
        replace_data(cloud, image)
        cloud.start()
        wait_until(lambda: cloud.metric("skerry_ingest_custody_asked_records_total") > 0
                   or cloud.metric("skerry_ingest_custody_lost_records_total") > 0, 40, "the loss to be noticed")
        if keeps:
            wait_until(lambda: sender.metric("skerry_uplink_returned_records_total") > 0, 10, "it to be given back")
        else:
            wait_until(lambda: cloud.metric("skerry_ingest_custody_lost_records_total") > 0, 40, "the loss to be named")
            assert "custody lost" in cloud.process.text()
            wait_until(lambda: edge.metric("skerry_uplink_lost_custody_records_total") > 0, 10, "the edge to know")
        numbers = []
        for node in nodes:
            own = node.status()["edge"]  # a gateway's journal has what others brought it, too
            numbers += [n for n in committed(w, node.name) if n[0] == own]
            drained(node)
            node.process.stop()
        lost = int(cloud.metric("skerry_ingest_custody_lost_records_total"))
        cloud.assert_sound()
        cloud.process.stop()
        _, records, ledger = cloud.verify()
        stored = [(e, epoch, stream, int(seq)) for e, epoch, stream, seq, *_ in records]
        assert len(stored) == len(set(stored)), "a record is stored twice"
        stored = set(stored)
        named = set()
        for line in ledger:
            if "custody" in line:
                at = line.index("tombstone")
                first, last = int(line[at + 1]), int(line[at + 3].split("=")[1])
                named |= {(*line[:3], s) for s in range(first, last + 1)}
        hidden = [n for n in numbers if n not in stored and n not in named]
        assert not hidden, f"{len(hidden)} records are neither stored nor named as lost, the first is {hidden[0]}"
        assert len(named) == lost, f"{len(named)} records are named as lost, {lost} were counted"
        assert not keeps or lost == 0, f"{lost} records are named as lost that the edge still had"
    where = "the gateway" if through else "the edge"
    print(f"restored cloud, {'all of it' if keeps else 'a part of it'} still at {where}: {lost} records named as lost, none hidden")


if __name__ == "__main__":
    restored_edge()
    cloned_edge()
    copied_while_it_runs()
    restored_cloud(keeps=True)
    restored_cloud(keeps=True, through=True)
    restored_cloud(keeps=False)
    print("passed")
