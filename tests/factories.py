"""Rows for tests, by plain keywords."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from executions.engine import clock
from executions.engine.config import EngineConfig, read_config
from executions.engine.loop import Engine
from executions.models import Execution
from jobs.contract import Result, Run
from jobs.models import Job
from jobs.registry import Handler, handlers

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday
_numbers = itertools.count(1)


def make_job(**fields: Any) -> Job:
    """A job that fires once a year unless the test says otherwise, as SQL would leave it."""
    defaults: dict[str, Any] = {
        "name": f"job-{next(_numbers)}",
        "cron_expression": "0 0 1 1 *",
        "origin": "api",
    }
    job = Job.objects.create(**defaults | fields)
    job.refresh_from_db()
    return job


def make_execution(job: Job, **fields: Any) -> Execution:
    """A waiting execution that is due, unless the test says otherwise."""
    defaults: dict[str, Any] = {
        "scheduled_at": NOON + timedelta(seconds=next(_numbers)),
        "next_attempt_at": NOON,
    }
    execution = Execution.objects.create(id=uuid.uuid4(), job=job, **defaults | fields)
    execution.refresh_from_db()
    return execution


@contextmanager
def handling(function: Callable[[Run], Any], name: str = "scripted", **options: Any) -> Iterator[list[Run]]:
    """A handler for the time of a test; answers the list of its calls."""
    calls: list[Run] = []

    def scripted(run: Run) -> Result | None:
        calls.append(run)
        answer: Result | None = function(run)
        return answer

    handlers.register(Handler(name=name, function=scripted, **options))
    try:
        yield calls
    finally:
        handlers.unregister(name)


class Moving:
    """A clock that a test sets by hand."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> datetime:
        """Move it on and answer the new time."""
        self.now += timedelta(**span)
        return self.now


@contextmanager
def at(now: datetime = NOON) -> Iterator[Moving]:
    """The database's time as the engine reads it, moved by hand."""
    moving = Moving(now)
    with clock.moved(moving):
        yield moving


def make_config(**options: Any) -> EngineConfig:
    """A process of one engine, with four slots."""
    return read_config(**{"concurrency": 4} | options)


def run_due(**options: Any) -> Engine:
    """Plan and run all that is due, as `run_scheduler --once` does."""
    engine = Engine(make_config(**options))
    engine.run_once()
    return engine
