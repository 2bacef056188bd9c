"""Handlers that processes of the product find by themselves."""

from __future__ import annotations

import time

from jobs.contract import Result, Run
from jobs.registry import handler

SPIN = 0.02  # seconds of computing


@handler("bench-noop")
def do_nothing(run: Run) -> Result:
    """Nothing."""
    return Result()


@handler("bench-spin")
def spin(run: Run) -> Result:
    """Compute, in Python, for SPIN seconds of this thread's processor time."""
    ends_at = time.thread_time() + SPIN
    total = 0
    while time.thread_time() < ends_at:
        total += sum(range(500))
    return Result()
