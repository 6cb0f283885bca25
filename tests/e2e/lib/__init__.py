"""What end-to-end tests and benchmarks share: processes, waiting, HTTP, a faulty TCP relay, seeds, the replay load.

Standard library only. A test puts tests/e2e on sys.path and imports `from lib import ...`.
"""

from .web import get, get_json, metric, metrics, post
from .emulated_link import EmulatedLink
from .nodes import Cloud, Edge, binaries
from .process import Process, Workspace, disk_bytes, free_port, run_command
from .programs import build_first
from .relay import Relay
from .remote_write import push
from .replay import Replay
from .seed import seeded
from .wait import Timeout, wait_until

__all__ = ["Cloud", "Edge", "EmulatedLink", "Process", "Relay", "Replay", "Timeout", "Workspace", "binaries", "build_first", "disk_bytes", "free_port", "get", "get_json",
           "metric", "metrics", "post", "push", "run_command", "seeded", "wait_until"]
