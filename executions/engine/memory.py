"""How the collector of garbage treats a process that makes a few dozen objects for every run."""

from __future__ import annotations

import gc

# Objects made since the last look before the youngest are looked at: a few groups of runs.
YOUNG, MIDDLE, OLD = 50_000, 20, 100


def settle() -> None:
    """Take all that is loaded by now out of the collector's rounds, and make the rounds rarer.

    Django and the handlers stay as long as the process; without this every round over the old
    objects walks through all of them again, which cost a fifth of the time of a busy loop.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
