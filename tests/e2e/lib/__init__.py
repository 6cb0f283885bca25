"""What end-to-end tests and benchmarks share: processes, waiting, HTTP, a faulty TCP relay, seeds, the replay load.

Standard library only. A test puts tests/e2e on sys.path and imports `from lib import ...`.
"""

from .web import get, get_json, metric, metrics, post
from .process import Process, Workspace, free_port
from .relay import Relay
from .replay import Replay
from .seed import seeded
from .wait import Timeout, wait_until

__all__ = ["Process", "Relay", "Replay", "Timeout", "Workspace", "free_port", "get", "get_json", "metric", "metrics",
           "post", "seeded", "wait_until"]
