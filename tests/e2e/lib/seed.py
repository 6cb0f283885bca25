"""Seeded randomness: a failing round can be run again."""

import os
import random
import sys


def seeded(seed=None):
    """A random.Random; its seed is the one given, that of $SKERRY_SEED, or a new one. Prints it and how to replay."""
    if seed is None:
        seed = int(os.environ.get("SKERRY_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed}; again: SKERRY_SEED={seed} {' '.join(sys.argv)}", flush=True)
    out = random.Random(seed)
    out.seed_used = seed
    return out
