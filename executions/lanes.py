"""Queues as they stand: their switches and limits, and what waits and runs in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from executions.rows import fetch, moment
from executions.workers import EVER
from jobs.models import Job, JobState, Queue

EVERYTHING = "*"
DEFAULT = "default"


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One queue. `waiting` counts PENDING and RETRYING, due or not."""

    name: str
    paused: bool = False
    paused_reason: str | None = None
    paused_until: datetime | None = None
    max_concurrent: int | None = None
    rate_limit_per_minute: int | None = None
    waiting: int = 0
    running: int = 0


def count_lanes() -> list[Lane]:
    """Every queue that a row, a job or an unfinished execution names, by name; `*` sums them up."""
    rows = {row.name: row for row in Queue.objects.all()}
    # Written out for the sake of partial indexes; what runs has a lease.
    waiting = _count("status IN ('PENDING', 'RETRYING')")
    running = _count("status = 'RUNNING' AND lease_expires_at > %s", [moment(EVER)])
    names = {EVERYTHING, DEFAULT, *rows, *named_by_jobs(), *waiting, *running}
    waiting[EVERYTHING], running[EVERYTHING] = waiting.total(), running.total()
    return [_lane(name, rows.get(name), waiting[name], running[name]) for name in sorted(names)]


def named_by_jobs() -> list[str]:
    """The queues that the jobs name, by name."""
    jobs = Job.objects.exclude(state=JobState.DELETED)
    return list(jobs.order_by("queue").values_list("queue", flat=True).distinct())


def _count(condition: str, params: Sequence[object] = ()) -> Counter[str]:
    """How many executions there are of this kind, by queue."""
    sql = f"SELECT queue, count(*) FROM job_executions WHERE {condition} GROUP BY queue"
    return Counter(dict(fetch(sql, params)))


def _lane(name: str, row: Queue | None, waiting: int, running: int) -> Lane:
    if row is None:
        return Lane(name=name, waiting=waiting, running=running)
    return Lane(
        name=name,
        paused=row.paused,
        paused_reason=row.paused_reason,
        paused_until=row.paused_until,
        max_concurrent=row.max_concurrent,
        rate_limit_per_minute=row.rate_limit_per_minute,
        waiting=waiting,
        running=running,
    )
