"""Handlers that do nothing but tell when."""

from __future__ import annotations

import time

from jobs.contract import Result, Run
from jobs.registry import handler


@handler("bench-noop")
def do_nothing(run: Run) -> Result:
    """Nothing at all."""
    return Result()


@handler("bench-lateness")
def tell_lateness(run: Run) -> Result:
    """How long after its fire time it was called, by the clock of this machine, in milliseconds."""
    return Result(data={"lateMs": 1000 * (time.time() - run.scheduled_at.timestamp())})
