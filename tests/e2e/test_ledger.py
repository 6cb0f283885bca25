#!/usr/bin/env python3
"""What a cloud says about data that is not there: an edge that is killed, one that is off, one with a paused backlog; of a
host that two edges bring; of what was thinned for minutes.

    tests/e2e/test_ledger.py
"""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, get_json, run_command, wait_until  # noqa: E402
from lib.pages import write_pages  # noqa: E402


def states(cloud, **parameters):
    hosts = get_json(cloud.url + "/api/v1/completeness", **parameters)["data"]
    assert len(hosts) == 1, hosts
    return hosts[0]["ranges"]


def covers(ranges, state, start, end):
    return any(r["state"] == state and r["start"] <= start and r["end"] >= end for r in ranges)


def one_edge():
    with Workspace("ledger") as workspace:
        cloud = Cloud(workspace).start()
        edge = Edge(workspace, "edge", collect={"interval": "200ms", "enabled": ["loadavg"]})
        edge.join(cloud.invite("ship"))
        begin = time.time()
        edge.start()
        wait_until(lambda: cloud.query("node_load1"), 20, "a first sample")
        time.sleep(1.5)

        killed = time.time()
        edge.process.kill()
        time.sleep(2)
        started = time.time()
        edge.start()
        wait_until(lambda: any(r["state"] == "not_collected" for r in states(cloud, start=begin)), 20,
                   "the ledger to tell of the kill")
        gaps = [r for r in states(cloud, start=begin) if r["state"] == "not_collected"]
        assert gaps[0]["start"] <= killed + 0.01 and gaps[-1]["end"] >= started - 0.5, (gaps, killed, started)
        assert {r["cause"] for r in gaps} <= {"uncommitted", "node_off"}, gaps
        text = run_command([cloud.binary("skerry"), "--url", cloud.url, "loss"])
        assert "node_off" in text and "ship" in text, text
        listed = json.loads(run_command([cloud.binary("skerry"), "--url", cloud.url, "completeness", "--output", "json"]))
        assert listed[0]["ranges"], listed
        answer = get_json(cloud.url + "/api/v1/query_range", query="node_load1", start=begin, end=time.time(), step=1)
        assert any("not collected (node_off)" in w for w in answer["warnings"]), answer.get("warnings")
        print("an edge killed and off: named in the ledger, in the completeness of its host and with queries")

        # Off the link, and then back with a paused backlog: what is fresh comes, the rest is pending until it may go.
        cloud.process.stop()
        time.sleep(40 * 0.2)
        edge.process.kill()
        edge.start()
        run_command([edge.binary("skerry-edge"), "pause", "backlog", "--data", edge.data])
        cloud.start()
        wait_until(lambda: edge.status()["link"]["state"] == "live", 40, "a session")
        time.sleep(2)
        status = edge.status()["link"]
        assert status["backlogPaused"] and status["pendingRecords"] > 10, status
        assert status["bytesToday"] > 0, status
        assert any(r["state"] == "pending" for r in states(cloud, start=begin)), states(cloud, start=begin)
        run_command([edge.binary("skerry-edge"), "resume", "backlog", "--data", edge.data])
        wait_until(lambda: not any(r["state"] == "pending" for r in states(cloud, start=begin, end=time.time() - 2)), 20,
                   "the backlog to arrive")
        print("a paused backlog: pending until it is resumed, fresh data goes on")

        # An operator takes back what the edge said is missing: on record, and over a restart.
        retract = [cloud.binary("skerry"), "--data", cloud.data, "loss", "retract", edge.status()["edge"]]
        run_command([*retract, "--start", "-1h", "--end", "now", "--reason", "a rehearsal"])
        for _ in range(2):
            assert not any(r["state"] == "not_collected" for r in states(cloud, start=begin)), states(cloud, start=begin)
            text = run_command([cloud.binary("skerry"), "--url", cloud.url, "loss"])
            assert "node_off" in text and "a rehearsal" in text, text
            cloud.process.stop()
            cloud.start()
        print("taken back: on record with the reason, and in nobody's completeness")
        edge.process.stop()
        cloud.process.stop()


def two_edges_of_one_host():
    """Whatever one of them brings of the host, it is as complete as what the other one has brought of it."""
    with Workspace("ledger-shared") as workspace:
        cloud = Cloud(workspace).start()
        pair = []
        for name in ("first", "second"):
            edge = Edge(workspace, name, host="pump", collect={"interval": "200ms", "enabled": ["loadavg"]})
            edge.join(cloud.invite("ship", file=name))
            pair.append(edge.start())
        begin = time.time()

        def ranges():
            return states(cloud, start=begin)

        def complete_again(since):
            wait_until(lambda: covers(states(cloud, start=since), "complete", since + 0.5, time.time() - 1.5), 20,
                       "the host to be complete again")

        wait_until(lambda: [s["hosts"] for s in cloud.sites()] == [1, 1], 20, "both edges to bring the host")
        complete_again(time.time())
        for gone, stays in (pair, pair[::-1]):
            sent = stays.metric("skerry_uplink_acked_records_total")
            killed = time.time()
            gone.process.kill()
            # The other one has brought all of these seconds; nobody knows what this one has collected in them.
            wait_until(lambda: covers(ranges(), "unknown", killed + 0.5, killed + 2.5), 20, "nothing to be known of it")
            assert stays.metric("skerry_uplink_acked_records_total") >= sent + 10, "the other one brings nothing"
            brought = cloud.query("timestamp(node_load1)")
            assert len(brought) == 1 and float(brought[0]["value"][1]) > killed + 1.5, brought
            started = time.time()
            gone.start()
            complete_again(time.time())
            missing = [r for r in ranges() if r["state"] == "not_collected" and r["end"] > killed - 0.1]
            assert missing and missing[0]["start"] <= killed + 0.01 and missing[-1]["end"] >= started - 0.5, (missing, killed)
            assert not any(r["state"] == "unknown" for r in states(cloud, start=killed, end=time.time() - 1.5)), ranges()

        # Of one whose key was revoked nobody waits for anything.
        run_command([cloud.binary("skerry"), "--data", cloud.data, "sites", "revoke", pair[0].status()["edge"]])
        complete_again(time.time())
        pair[0].process.stop()
        pair[1].process.stop()
        cloud.process.stop()
        print("two edges of one host: neither makes the other complete, and one that was revoked holds nothing back")


def thinned():
    """Of three and a half minutes one frame of ten stays, in each of three segments: the ledger says that in a few rows."""
    seconds, hosts, segments = 210, 20, 3
    with Workspace("ledger-thinned") as workspace:
        cloud = Cloud(workspace).start()
        edge = Edge(workspace, "edge", collect={"interval": "200ms", "enabled": ["loadavg"]},
                    spool={"bytes_max": "3MiB", "segment_bytes": "1MiB", "when_full": "thin_oldest", "thin_step": "10s"})
        edge.join(cloud.invite("ship"))
        cloud.process.stop()
        began = time.time() - seconds
        pages = write_pages(workspace, series=250)
        for left in range(segments - 1, -1, -1):
            run_command([edge.binary("fill"), "backlog", "--data", edge.data, "--seconds", seconds // segments,
                         "--ago", seconds // segments * left, "--hosts", hosts, "--series", 500, *pages])
        edge.start()
        wait_until(lambda: edge.metric("skerry_gateway_records_thinned_total") > 0.8 * seconds * hosts, 20, "it to be thinned")
        cloud.start()
        wait_until(lambda: edge.pending() == 0, 40, "the spool to drain")
        gone = edge.metric("skerry_gateway_records_thinned_total")

        def rows():
            return [r for r in get_json(cloud.url + "/api/v1/loss", start=began - 60)["data"] if r["cause"] == "thinned"]

        wait_until(lambda: sum(r["records"] for r in rows()) == gone, 10, f"the ledger to tell of all {gone:.0f}")
        entries = sum(r.get("entries", 1) for r in rows())
        hosts_told = get_json(cloud.url + "/api/v1/completeness", start=began - 60)["data"]
        ranges = [sum(r.get("cause") == "thinned" for r in host["ranges"]) for host in hosts_told]
        assert entries > 5 * segments, f"{entries} entries of the ledger would show nothing"
        assert len(rows()) <= segments, f"{len(rows())} rows of {segments} segments"
        assert len(ranges) == hosts + 1 and 1 <= max(ranges) <= segments, ranges
        edge.process.stop()
        cloud.process.stop()
        print(f"{gone:.0f} records thinned in {segments} segments: {entries} entries of the ledger in {segments} rows at most, as "
              f"many ranges of each host")


def main():
    one_edge()
    two_edges_of_one_host()
    thinned()
    print("passed")


if __name__ == "__main__":
    main()
