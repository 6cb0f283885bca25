#!/usr/bin/env python3
# alone: judges time
"""A small fleet against a real cloud: 20 edges, 200 agents, one region loses its network and comes back. Everything
that the report calls acknowledged is in the store, once.

    tests/e2e/test_fleet.py
"""

import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Process, Workspace, run_command, wait_until  # noqa: E402

EDGES, AGENTS, SERIES, REGIONS = 20, 200, 25, 4


def stored(cloud, what="", range_="10m"):
    """Samples in the store, and series that have any."""
    found = cloud.query(f'sum(count_over_time({{job="fleet"{what}}}[{range_}]))')
    series = cloud.query(f'count(count_over_time({{job="fleet"{what}}}[{range_}]))')
    return tuple(int(float(r[0]["value"][1])) if r else 0 for r in (found, series))


def fleet(*options):
    return [Cloud.binary("skerry-sim"), "fleet", *options]


def main():
    with Workspace() as workspace:
        cloud = Cloud(workspace).start()
        said = run_command([cloud.binary("skerry"), "--data", cloud.data, "invite", "--site", "site-{}", "--count", EDGES])
        tokens = workspace.write("tokens", said, 0o600)
        assert len(said.splitlines()) == EDGES and said.startswith("skerry-join-"), said
        report, data = workspace.file("report.json"), workspace.folder("fleet")
        os.chmod(data, 0o700)

        code, text = Process("fleet", fleet(
            "--token-file", tokens, "--data", data, "--agents", AGENTS, "--series", SERIES, "--interval", "1s",
            "--regions", REGIONS, "--duration", "12s", "--seed", 7, "--report", report,
            "--fault", "region-outage at=4s for=4s region=1", "--reconnect-max", "2s"), workspace).run(60)
        assert code == 0, text
        with open(report, encoding="utf-8") as f:
            said = json.load(f)
        samples = said["samples"]
        assert samples["pending"] == samples["dropped"] == samples["refused"] == 0, samples
        assert samples["sent"] == samples["acked"] >= AGENTS * SERIES * 11, samples
        found = stored(cloud)
        assert found == (samples["acked"], AGENTS * SERIES), (found, samples)
        sites = {s["site"] for s in cloud.sites()}
        assert sites == {f"site-{n:03}" for n in range(1, EDGES + 1)}, sites
        one = cloud.query('count by (instance, site) (sim_counter_0_total{instance="host-00001"})')
        assert one[0]["metric"] == {"instance": "host-00001", "site": "site-001"}, one
        print(f"{samples['acked']} samples acknowledged, and as many stored: {found}")

        start, outage = said["recoveries"]
        assert start["what"] == "start" and start["back"] == EDGES, start
        assert outage["edges"] == outage["back"] == EDGES // REGIONS, outage
        assert 3.5 < outage["outage_s"] < 6 and outage["current_s"] < 5, outage
        assert outage["welcome_to_current_max_s"] < 5, outage
        assert said["links"]["reconnects"] == EDGES // REGIONS, said["links"]
        latency = said["latency"]
        assert latency["all"]["max_ms"] > 3000 > latency["live"]["p90_ms"] > 0, latency
        assert said["bytes"]["ip_sent"] > said["bytes"]["tcp_sent"] * 0.9 > 0, said["bytes"]
        assert "region-outage at=4s for=4s region=1" in text and "acknowledged" in text, text
        print(f"region 1 was away for {outage['outage_s']:.1f} s, and current {outage['current_s']:.2f} s after it could be")

        # Again, with the identities of the first run: no token. Interrupted, with hosts that come and go, as JSON.
        again = subprocess.Popen([str(a) for a in fleet(
            "--data", data, "--agents", AGENTS, "--series", SERIES, "--interval", "1s", "--churn", 36000, "--output", "json",
            "--fault", "clock-skew at=1s for=1s by=30s site=site-001", "--regions", 2)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        before = found[0]
        wait_until(lambda: stored(cloud)[0] > before + AGENTS * SERIES * 3, 30, "the second run's samples")
        again.send_signal(signal.SIGINT)
        out, err = again.communicate(timeout=30)
        assert again.returncode == 0, (again.returncode, err)
        said = json.loads(out)
        assert said["interrupted"] and said["hosts_replaced"] > 5, said
        assert "running" in err and "draining" in err and "\r" not in err, err
        found = stored(cloud)[0]
        # A clock that goes back to the right time may give the same time to two collections: the last one counts.
        skewed = 10 * SERIES * 40
        total = before + said["samples"]["acked"]
        assert total - skewed <= found <= total, (before, said["samples"], found)
        others = stored(cloud, ',site!="site-001"')[0]
        print(f"interrupted with {said['hosts_replaced']} hosts replaced: the report came, {found} of {total} stored, "
              f"{others} of them at sites whose clocks were right")

        # What cannot be is refused with a word on what to do.
        for options, code, word in ((["--token-file", tokens, "--edges", 30, "--data", workspace.file("new")], 2, "invite"),
                                    (["--data", data, "--fault", "storm at=1s for=1s"], 2, "region-outage"),
                                    (["--data", data, "--fault", "site-outage at=1s for=1s site=x"], 2, "site-001")):
            ran = subprocess.run([str(a) for a in fleet(*options)], capture_output=True, text=True, timeout=30)
            assert ran.returncode == code and word in ran.stderr, (options, ran)
        cloud.process.stop()
        _, records, _ = cloud.verify()
        identities = {tuple(record[:4]) for record in records}
        assert len(records) == len(identities) > 11 * AGENTS, (len(records), len(identities))
        print(f"{len(records)} records in the cloud's log, each once")
    print("passed")


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"{time.monotonic() - began:.0f} s")
