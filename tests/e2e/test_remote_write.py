#!/usr/bin/env python3
"""Remote write 1.0 at the cloud: committed before the answer, stored once, any age within retention, refusals."""

import json
import os
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Workspace, get_json, push  # noqa: E402
from lib.web import Failed, post  # noqa: E402

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


def refused(status, act):
    try:
        act()
    except Failed as e:
        assert e.status == status, e
        return e
    raise AssertionError(f"was taken, {status} was due")


def samples(node, expression, at):
    return [p for s in node.query(expression, time=at) for p in s["values"]]


def main():
    with Workspace("remote-write") as w:
        cloud = Cloud(w, store={"retention": "forever"}).start()
        now = int(time.time())
        series = {"__name__": "pushed", "instance": "i1", "job": "j"}

        # Out of order, from 1970 on, and again: stored once.
        times = [1000, (now - 10) * 1000, 86_400_000, (now - 20) * 1000]
        for _ in range(2):
            push(cloud.url, [(series, [(t, t / 1000)]) for t in times], metadata=[(1, "pushed", "A test.")])
            push(cloud.url, [(series, [(t, t / 1000) for t in times])])
        recent = samples(cloud, "pushed[1m]", now)
        assert [p[0] for p in recent] == [now - 20, now - 10], recent
        assert samples(cloud, "pushed[1m]", 2) == [[1, "1"]]
        assert samples(cloud, "pushed[1m]", 86400) == [[86400, "86400"]]
        found = cloud.query("pushed")[0]["metric"]
        assert found == series, found
        assert get_json(cloud.url + "/api/v1/metadata")["data"]["pushed"][0]["type"] == "counter"
        assert cloud.metric("skerry_remote_write_samples_total") == 16

        # No warning about data that is all there.
        said = get_json(cloud.url + "/api/v1/query", query="pushed")
        assert "warnings" not in said, said

        # Nor about a host that has ended: no edge says that there should be more.
        push(cloud.url, [({"__name__": "gone", "instance": "i0", "job": "j"}, [((now - 3600) * 1000, 1)])])
        said = get_json(cloud.url + "/api/v1/query", query="count_over_time(gone[2h])")
        assert said["data"]["result"] and "warnings" not in said, said

        # A stale marker ends the series; other NaNs are values.
        push(cloud.url, [(series, [((now - 5) * 1000, STALE)]), (dict(series, job="nan"), [((now - 5) * 1000, float("nan"))])])
        assert [s["metric"]["job"] for s in cloud.query("pushed", time=now)] == ["nan"]

        refused(400, lambda: post(cloud.url + "/api/v1/write", b"hello", headers={"Content-Encoding": "snappy"}))

        # No label is added or lost, whatever it is called.
        odd = [dict(series, **more, __name__="exact") for more in
               ({}, {"site": "harbour"}, {"host": "h"}, {"site": "a place", "host": "h" * 300},
                {"exported_site": "x", "site": "remote"}, {"instance": ""})]
        push(cloud.url, [(one, [(1000, 1)]) for one in odd])
        kept = [{name: value for name, value in one.items() if value} for one in odd]
        by_text = lambda all: sorted(json.dumps(one, sort_keys=True) for one in all)  # noqa: E731
        for _ in range(2):
            listed = get_json(cloud.url + "/api/v1/series", **{"match[]": "exact", "start": 0, "end": 2})["data"]
            assert by_text(listed) == by_text(kept), listed
            assert by_text(one["metric"] for one in cloud.query("exact", time=1)) == by_text(kept)
            summed = cloud.query("sum without (instance) (exact)", time=1)
            assert {one["value"][1] for one in summed if set(one["metric"]) == {"job"}} == {"2"}, summed
            values = get_json(cloud.url + "/api/v1/label/site/values", **{"match[]": "exact", "start": 0, "end": 2})
            assert values["data"] == ["a place", "harbour", "remote"], values
            cloud.process.stop()
            cloud.start()
        refused(415, lambda: post(cloud.url + "/api/v1/write", b"", headers={"Content-Encoding": "gzip"}))
        # A bad series does not take the others with it.
        e = refused(400, lambda: push(cloud.url, [({"job": "nameless"}, [(1000, 1)]), (dict(series, job="good"), [(1000, 1)])]))
        assert "1 samples were refused, 1 were stored" in e.body, e
        assert len(cloud.query('pushed{job="good"}', time=1)) == 1

        # What was answered survives a kill; a second start numbers anew and stores on.
        cloud.process.kill()
        cloud.start()
        assert [p[0] for p in samples(cloud, 'pushed{job="j"}[1m]', now)] == [now - 20, now - 10]
        push(cloud.url, [(dict(series, job="after"), [(now * 1000, 1)])])
        assert len(cloud.query('pushed{job="after"}', time=now)) == 1
        cloud.process.stop()
        streams, records, _ = cloud.verify()
        assert len(set(map(tuple, records))) == len(records)
        assert {r[0] for r in streams} == {"ffffffffffffffff"} or "ffffffffffffffff" in str(streams), streams
    print("passed")


if __name__ == "__main__":
    main()
