#!/usr/bin/env python3
"""A query, an old backlog that drains, the same query: the new data is there, also where the answer had been kept.

    tests/e2e/test_late_data.py
"""

import itertools
import math
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import Cloud, Edge, Workspace, get_json, run_command, wait_until  # noqa: E402

EXPRESSION = "count_over_time(node_load1[1s])"


def main():
    with Workspace() as workspace:
        cloud = Cloud(workspace).start()
        edge = Edge(workspace, "edge", collect={"interval": "200ms", "enabled": ["loadavg"]})
        edge.join(cloud.invite("ship"))
        begin = math.floor(time.time())
        edge.start()
        wait_until(lambda: cloud.query("node_load1"), 20, "a first sample")

        # The link is away for a while; what was collected meanwhile is held back at the edge.
        cloud.process.stop()
        away = time.time()
        time.sleep(4)
        edge.process.kill()
        edge.start()
        back = time.time()
        run_command([edge.binary("skerry-edge"), "pause", "backlog", "--data", edge.data])
        cloud.start()
        wait_until(lambda: cloud.query("node_load1 offset 1s") and edge.status()["link"]["state"] == "live", 40, "live data")
        time.sleep(2)
        end = math.floor(time.time()) - 1

        def ask(expression=EXPRESSION, of=cloud):
            answer = get_json(of.url + "/api/v1/query_range", query=expression, start=begin, end=end, step=1)
            return {time: float(n) for series in answer["data"]["result"] for time, n in series["values"]}

        held = ask(of=edge)  # all that it collected; a slow machine may leave out a second

        def missed(answer):
            return [t for t in range(math.ceil(away) + 1, math.floor(back)) if t in held and t not in answer]

        def kept_steps():
            return cloud.metric("skerry_query_cache_steps_total", 'from="cache"')

        before = ask()
        assert missed(before), "nothing was held back"
        # Live samples, the newest ones late by a commit or two, may change the last steps and nothing before them.
        steps = kept_steps()
        again = ask()
        assert kept_steps() > steps, "the answer was not kept"
        assert all(again[t] >= n for t, n in before.items()), (before, again)

        run_command([edge.binary("skerry-edge"), "resume", "backlog", "--data", edge.data])
        wait_until(lambda: not missed(ask()), 20, "the backlog in the answer")

        # Once the last of it is there, the answer is what is computed anew, and it is kept as a whole.
        zeros = itertools.count()

        def settled():
            after = ask()
            fresh = ask(f"{EXPRESSION} + 0 * {next(zeros)}")  # nobody asked that before
            steps = kept_steps()
            again = ask()
            kept = kept_steps() - steps == end - begin + 1
            return again if kept and again == after == fresh == ask(of=edge) else None

        after = wait_until(settled, 20, "the new answer from the cache, equal to what is computed anew and to the edge's")
        edge.process.stop()
        cloud.process.stop()
    print(f"passed: {len(before)} steps before the backlog, {len(after)} after it, kept or not")


if __name__ == "__main__":
    main()
