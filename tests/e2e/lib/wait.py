"""Waiting for conditions instead of sleeping."""

import argparse
import re
import time


class Timeout(AssertionError):
    pass


def wait_until(condition, deadline=10.0, what="", every=0.02):
    """Calls condition() until it returns something true, and returns that. `deadline` is in seconds from now.

    A condition that raises OSError, KeyError or ValueError is not met yet: servers that start refuse and stammer.
    """
    end = time.monotonic() + deadline
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (OSError, KeyError, ValueError) as e:
            last = e
        left = end - time.monotonic()
        if left <= 0:
            name = what or getattr(condition, "__name__", "the condition")
            raise Timeout(f"after {deadline:g} s still waiting for {name}; last: {last!r}")
        time.sleep(min(every, left))


def seconds(text):
    """A duration such as 15s or 1h, for argparse."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text)
    if not match:
        raise argparse.ArgumentTypeError(f"'{text}' is no duration such as 15s")
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, None: 1}[match[2]]
