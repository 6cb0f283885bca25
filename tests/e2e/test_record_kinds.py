#!/usr/bin/env python3
"""Records of kinds that no part of this version reads go from an edge through a gateway to the cloud: an event, a log chunk,
an alert transition, and two kinds with numbers that nobody knows. They are stored and counted, stay when the log is sealed,
the host beside them is complete, and the loss ledger says nothing of them.
"""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, free_port, run_command, wait_until  # noqa: E402

KINDS = {"event": 1, "unknown": 2, "log_chunk": 1, "alert_transition": 1}


def kept(cloud):
    """Of the stopped node, from log and partitions: the kinds of records of the host `kinds`, and the ledger's lines."""
    lines = run_command([cloud.binary("skerry-cloud"), "verify", "--data", cloud.data], 120).splitlines()
    words = [line.split() for line in lines]
    ledger = [line for line in lines if line.startswith("ledger ")]
    return [w[-2] for w in words if w[0] == "kept" and w[-1] == "kinds"], ledger


def check_kept(cloud):
    kinds, ledger = kept(cloud)
    assert {kind: kinds.count(kind) for kind in kinds} == KINDS, kinds
    # The edge was not running before it was started; nothing else is in there.
    assert all(" not_collected " in line and " node_off " in line for line in ledger), ledger


def main():
    with Workspace("record-kinds") as w:
        cloud = Cloud(w, store={"log_age_max": "1s"}).start()
        collect = {"interval": "200ms", "enabled": ["loadavg"]}
        gateway = Edge(w, "gateway", link=free_port(), collect=collect)
        gateway.config["link"]["advertise"] = f"tcp://127.0.0.1:{gateway.link_port}"
        gateway.write_config()
        gateway.join(cloud.invite("ship"))
        gateway.start()
        edge = Edge(w, "edge", collect=collect)
        edge.join(gateway.invite("ship"))
        run_command([edge.binary("fill"), "kinds", "--data", edge.data])
        begin = time.time()
        edge.start()

        def counted(kind):
            return cloud.metric("skerry_shard_kind_records_total", f'kind="{kind}"')

        for kind, count in KINDS.items():
            wait_until(lambda: counted(kind) == count, 30, f"{count} records of kind {kind} to be counted")
        wait_until(lambda: cloud.query('node_load1{instance="edge"}'), 20, "a sample of the edge")
        for node in (edge, gateway):
            assert node.metric("skerry_uplink_held_back_records") == 0
            assert node.metric("skerry_uplink_set_asides") == 0
        print("stored and counted by kind, through a gateway")

        time.sleep(2)
        end = time.time() - 1
        def ranges():
            hosts = cloud.get_json("/api/v1/completeness", start=begin + 0.5, end=end)["data"]
            return [r["state"] for host in hosts if host["host"] == "edge" for r in host["ranges"]]
        wait_until(lambda: ranges() == ["complete"], 20, "the edge's host to be complete")
        losses = cloud.get_json("/api/v1/loss", start=begin - 60, end=time.time())["data"]
        assert {loss["cause"] for loss in losses} <= {"node_off"}, losses
        print("its host is complete, and nothing is lost")

        wait_until(lambda: cloud.metric("skerry_store_logs_sealed_total") > 0, 30, "the log to be sealed")
        cloud.process.stop()
        check_kept(cloud)
        cloud.start()
        for kind in KINDS:
            assert counted(kind) == 0, "it came again after a restart"
        edge.process.stop()
        gateway.process.stop()
        cloud.process.stop()
        check_kept(cloud)
        print("kept whole over sealing and restart, each once")
    print("passed")


if __name__ == "__main__":
    main()
