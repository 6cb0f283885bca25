"""The replay load (tests/bench/replay_server): many targets from one recording, and what they served."""

import glob
import os
import subprocess
import sys

from .web import get, get_json
from .process import Process
from .wait import wait_until

_root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def recorded_scrapes(folder=None):
    """The files of a recording, in order: of this folder, else of those that come with the project."""
    if folder is None:
        folder = os.path.join(_root, "build", "scrapes")
        os.makedirs(folder, exist_ok=True)
        subprocess.run(["tar", "--zstd", "-xf", os.path.join(_root, "tests", "bench", "scrapes.tar.zst"), "-C", folder],
                       check=True)
    files = sorted(glob.glob(os.path.join(folder, "*.txt")))
    if not files:
        sys.exit(f"no scrapes in {folder}: record some with tests/bench/record_scrapes, and name their folder with --scrapes")
    return files


class Replay:
    """A running replay server. `binaries` is the folder that holds replay_server and replay_values."""

    def __init__(self, binaries, files, workspace, targets, seed=1, jitter_ms=3, name="replay"):
        self.files = sorted(files)
        self.seed = seed
        self.targets = targets
        self.journal_file = workspace.file(name + ".journal")
        self._values = os.path.join(binaries, "replay_values")
        ports = workspace.file(name + ".ports")
        self.process = Process(name, [os.path.join(binaries, "replay_server"), "--targets", targets, "--seed", seed,
                                      "--jitter-ms", jitter_ms, "--journal", self.journal_file, "--ports-file", ports,
                                      *self.files], workspace)
        self.process.start()
        self.process.wait_ready(lambda: os.path.exists(ports), 30)
        with open(ports, encoding="ascii") as f:
            self.port = int(f.read().split()[0])
        self.url = f"http://127.0.0.1:{self.port}"
        self.series = self.counts()["series"]

    def counts(self):
        """{'scrapes', 'samples', 'bytes', 'broken', 'targets', 'series', 'steps': [per target]}"""
        return get_json(self.url + "/counts")

    def scrape_config(self, interval="1s", job="replay"):
        """A Prometheus scrape configuration as a dict. Each target is a host of its own, with labels of its own."""
        return {"job_name": job, "scrape_interval": interval, "scrape_timeout": interval,
                "static_configs": [{"targets": [f"127.0.0.1:{self.port}"],
                                    "labels": {"__metrics_path__": f"/targets/{i}/metrics", "host": self.host(i),
                                               "instance": f"{self.host(i)}:9100", "rack": f"r{i // 20}"}}
                                   for i in range(self.targets)]}

    def silence(self, target=None):
        """Targets (or this one) answer 503 from now on."""
        get(self.url + "/-/silence", **({} if target is None else {"target": target}))

    def speak(self, target=None):
        get(self.url + "/-/speak", **({} if target is None else {"target": target}))

    @staticmethod
    def host(target):
        return f"replay-{target:04}"

    def journal(self):
        """[(target, step, time served in ns)] of what was written completely, flushed every 200 ms."""
        with open(self.journal_file, encoding="ascii") as f:
            return [tuple(map(int, line.split())) for line in f if line[0] != "#" and line.endswith("\n")]

    def values(self, pairs, match=""):
        """What was served: {(target, step): {series text: value text}}, computed again from the seed."""
        argv = [self._values, "--seed", str(self.seed), "--pairs", "-", "--tsv", *self.files]
        if match:
            argv[1:1] = ["--match", match]
        lines = "".join(f"{target} {step}\n" for target, step in pairs)
        said = subprocess.run(argv, input=lines, capture_output=True, text=True, check=True).stdout
        out = {}
        for line in said.splitlines():
            target, step, series, value = line.split("\t")
            out.setdefault((int(target), int(step)), {})[series] = value
        return out

    def settled(self, deadline=10.0):
        """Waits until nothing is being served any more, and returns the final counts."""
        last = [None]

        def still():
            before, last[0] = last[0], self.counts()
            return before is not None and before["scrapes"] == last[0]["scrapes"] and last[0]
        return wait_until(still, deadline, "scrapes to end", every=0.5)

    def stop(self):
        return self.process.stop()
