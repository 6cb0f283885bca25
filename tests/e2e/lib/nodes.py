"""Real skerry processes: a cloud node and edges that join it or one another by token."""

import json
import os

from .process import Process, free_port, run_command
from .web import get, get_unix, parse_metrics, sum_of


def binaries():
    """The folder of the binaries under test: $SKERRY_BIN, else the release build."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    return os.environ.get("SKERRY_BIN") or os.path.join(root, "build", "release", "bin")


class Node:
    """What cloud and edge have in common. Configuration is JSON, which YAML takes."""

    program = ""

    launcher = ()  # what starts the process: `ip netns exec NAME` for one in a network namespace
    space = None

    def __init__(self, workspace, name, config, link_port=None):
        self.workspace, self.name = workspace, name
        self.data = workspace.folder(name)
        os.chmod(self.data, 0o700)
        self.http_port, self.link_port = free_port(), link_port or free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.config = dict(config, data=self.data, http={"listen": f"127.0.0.1:{self.http_port}"})
        self.write_config()
        self.process = Process(name, [*self.launcher, self.binary(self.program), "run", "--config", self.config_file],
                               workspace)

    def within(self, space):
        """From its next start on the node runs in this network namespace, and is asked over its operator's socket."""
        self.space = space
        self.launcher = ("ip", "netns", "exec", space)
        self.process.argv = [*self.launcher, *self.process.argv]
        return self

    def get(self, path, timeout=5.0, **params):
        if self.space is None:
            return get(self.url + path, timeout, **params)
        return get_unix(os.path.join(self.data, "operator.sock"), path, timeout, **params)

    def get_json(self, path, timeout=5.0, **params):
        return json.loads(self.get(path, timeout, **params))

    @staticmethod
    def binary(program):
        return os.path.join(binaries(), program)

    def write_config(self):
        self.config_file = self.workspace.write(self.name + ".yaml", json.dumps(self.config, indent=1), 0o600)

    def start(self, deadline=20):
        self.process.start()
        self.process.wait_ready(lambda: self.get("/-/ready"), deadline)
        return self

    def metric(self, name, where=""):
        return sum_of(parse_metrics(self.get("/metrics")), name, where, self.name)

    def invite(self, site="test", file="token"):
        """Makes a token with the operator's tool and returns the file that holds it."""
        said = run_command([self.binary("skerry"), "--data", self.data, "invite", "--site", site])
        return self.workspace.write(f"{self.name}.{file}", said.strip() + "\n", 0o600)


class Cloud(Node):
    program = "skerry-cloud"

    def __init__(self, workspace, name="cloud", advertise_port=None, **config):
        port = free_port()
        link = {"bind": f"tcp://127.0.0.1:{port}", "advertise": f"tcp://127.0.0.1:{advertise_port or port}"}
        super().__init__(workspace, name, dict(config, link=link), port)

    def query(self, expression, **params):
        return self.get_json("/api/v1/query", timeout=60, query=expression, **params)["data"]["result"]

    def sites(self):
        return self.get_json("/api/v1/sites")["data"]

    def assert_sound(self):
        """Nothing that this node has read was damaged: killed and restarted is no damage."""
        for store in ("skerry_store_damaged_total", "skerry_store_damaged_bytes_total"):
            try:
                assert self.metric(store) == 0, f"{self.name} calls its store damaged:\n{self.process.tail()}"
            except KeyError:
                pass  # not counted yet: nothing was

    def verify(self):
        """Of the stopped node: (streams, records, ledger) as lists of lists of words."""
        said = run_command([self.binary("skerry-cloud"), "verify", "--list", "--data", self.data], 120)
        lines = [line.split() for line in said.splitlines()]
        return tuple([line[1:] for line in lines if line and line[0] == kind] for kind in ("stream", "record", "ledger"))


class Edge(Node):
    program = "skerry-edge"

    def __init__(self, workspace, name="edge", link=None, **config):
        config.setdefault("host", name)
        super().__init__(workspace, name, config, link)
        if link is not None:
            self.config["link"] = {"bind": f"tcp://127.0.0.1:{link}", **config.get("link_settings", {})}
            self.config.pop("link_settings", None)
            self.write_config()

    def join(self, token_file):
        return run_command([*self.launcher, self.binary("skerry-edge"), "join", "--token-file", token_file, "--data", self.data])

    def status(self):
        return self.get_json("/api/v1/status")["data"]

    def pending(self):
        return self.status()["link"]["pendingRecords"]
