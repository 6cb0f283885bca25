#!/usr/bin/env python3
"""Prometheus' own programs, Debian's 2.42, against Skerry: promtool asks, and a Prometheus pushes what it scrapes."""

import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Process, Workspace, free_port, get, push, wait_until  # noqa: E402
from lib.debian import program  # noqa: E402


def promtool(*words):
    said = subprocess.run([program("prometheus", "usr/bin/promtool"), "query", *words], capture_output=True, text=True,
                          timeout=60)
    assert said.returncode == 0, f"promtool {words}: {said.stderr}{said.stdout}"
    return said.stdout


def ask(cloud):
    now = int(time.time())
    series = {"__name__": "pushed", "job": "j"}
    for i, instance in enumerate(["a", "b"]):
        push(cloud.url, [(dict(series, instance=instance), [((now - 60 + 15 * k) * 1000, 10 * i + k) for k in range(5)])])

    said = promtool("instant", cloud.url, "pushed", f"--time={now}")
    assert said.splitlines() == [
        f'pushed{{instance="{x}", job="j"}} => {v} @[{now}]' for x, v in (("a", 4), ("b", 14))], said
    assert promtool("instant", cloud.url, "1 + 1", "--time=0").startswith("scalar: 2 @[0")
    assert json.loads(promtool("instant", "--format=json", cloud.url, "sum(pushed)", f"--time={now}"))[0]["value"][1] == "18"

    said = promtool("range", cloud.url, "sum(pushed)", f"--start={now - 60}", f"--end={now}", "--step=15s")
    values = [line.split(" ")[0] for line in said.splitlines()[1:]]
    assert values == ["10", "12", "14", "16", "18"], said

    said = promtool("series", cloud.url, "--match=pushed", f"--start={now - 60}", f"--end={now}")
    assert said.splitlines() == [
        f'{{__name__="pushed", instance="{x}", job="j"}}' for x in "ab"], said
    assert promtool("labels", cloud.url, "instance", f"--start={now - 60}", f"--end={now}").split() == ["a", "b"]

    bad = subprocess.run([program("prometheus", "usr/bin/promtool"), "query", "instant", cloud.url, "sum("],
                         capture_output=True, text=True)
    assert bad.returncode != 0 and "parse error" in bad.stderr, bad


def scrape_and_push(w, cloud):
    """A Prometheus scrapes the cloud's own metrics and /federate, and pushes them back."""
    port = free_port()
    target = cloud.url.split("//")[1]
    config = w.write("prometheus.yml", json.dumps({
        "global": {"scrape_interval": "1s", "external_labels": {"via": "prometheus"}},
        "scrape_configs": [
            {"job_name": "skerry", "static_configs": [{"targets": [target]}]},
            {"job_name": "federate", "metrics_path": "/federate", "params": {"match[]": ["pushed"]}, "honor_labels": True,
             "static_configs": [{"targets": [target]}]}],
        "remote_write": [{"url": cloud.url + "/api/v1/write", "metadata_config": {"send_interval": "1s"},
                          "queue_config": {"batch_send_deadline": "200ms"}}]}))
    prometheus = Process("prometheus", [program("prometheus", "usr/bin/prometheus"), f"--config.file={config}",
                                        f"--web.listen-address=127.0.0.1:{port}",
                                        f"--storage.tsdb.path={w.folder('tsdb')}"], w)
    prometheus.start()
    wait_until(lambda: cloud.query('count(up{via="prometheus"} == 1) == 2'), 60, "both scrapes to arrive and to be up")
    wait_until(lambda: cloud.query('count_over_time(up{via="prometheus",job="skerry"}[1m]) >= 4'), 60, "some samples")
    wait_until(lambda: "skerry_store" in get(cloud.url + "/api/v1/metadata"), 30, "metadata")

    # What it kept itself and what it pushed are the same samples.
    end = time.time() - 2
    both = [json.loads(promtool("instant", "--format=json", url, 'skerry_store_commits_total[1m]', f"--time={end:.3f}"))
            for url in (f"http://127.0.0.1:{port}", cloud.url)]
    assert both[0][0]["values"] and both[0][0]["values"] == both[1][0]["values"], both
    prometheus.stop()


def main():
    with Workspace("promtool") as w:
        cloud = Cloud(w).start()
        ask(cloud)
        scrape_and_push(w, cloud)
        cloud.process.stop()
    print("passed")


if __name__ == "__main__":
    main()
