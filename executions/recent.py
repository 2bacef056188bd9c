"""The latest executions of many jobs, in one statement that reads no more rows than it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.utils.functional import cached_property

from executions.models import Execution, Status
from executions.rows import fetch, read_moment, read_uuid

# SQLite joins at most 500 SELECTs.
MAX_JOBS = 400


@dataclass(frozen=True, kw_only=True)
class Run:
    """An execution as a list of jobs tells of it."""

    id: UUID
    job_id: int
    status: str
    scheduled_at: datetime
    duration_ms: int | None
    reason: str | None


@dataclass(kw_only=True)
class Runs:
    """The latest runs of one job, the newest first."""

    runs: list[Run]

    @cached_property
    def ended(self) -> list[Run]:
        """Those that ended one way or the other."""
        return [run for run in self.runs if run.status in (Status.SUCCESS, Status.FAILED)]

    @property
    def last(self) -> Run | None:
        """The newest that ended one way or the other, else the newest of all."""
        return next(iter(self.ended or self.runs), None)

    @property
    def successes(self) -> int:
        """How many of `ended` are SUCCESS."""
        return sum(run.status == Status.SUCCESS for run in self.ended)


def find_recent(job_ids: Sequence[int], *, limit: int = 20) -> dict[int, Runs]:
    """The newest `limit` executions of each of these jobs (at most MAX_JOBS), by the job's number."""
    found: dict[int, Runs] = {key: Runs(runs=[]) for key in job_ids[:MAX_JOBS]}
    if not found:
        return found
    one = """
        SELECT * FROM (
            SELECT e.id, e.job_id, e.status, e.scheduled_at, e.execution_duration_ms, e.reason
            FROM job_executions AS e
            WHERE e.job_id = %s ORDER BY e.scheduled_at DESC LIMIT %s) AS j{number}"""
    sql = " UNION ALL ".join(one.format(number=number) for number in range(len(found)))
    for row in fetch(sql, [value for key in found for value in (key, limit)]):
        scheduled_at = read_moment(row[3])
        assert scheduled_at is not None
        found[row[1]].runs.append(
            Run(
                id=read_uuid(row[0]),
                job_id=row[1],
                status=row[2],
                scheduled_at=scheduled_at,
                duration_ms=row[4],
                reason=row[5],
            )
        )
    return found


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The median and the 95th percentile of a sample, in milliseconds; None without a sample."""

    median: float | None
    high: float | None
    sample: int


SAMPLE = 1000


def read_spreads(since: datetime) -> tuple[Spread, Spread]:
    """Duration and lateness of the newest SAMPLE scheduled executions that ended since then."""
    rows = (
        Execution.objects.filter(completed_at__gte=since)
        .order_by("-completed_at")
        .values_list("execution_duration_ms", "started_at", "scheduled_at", "trigger")[:SAMPLE]
    )
    durations, delays = [], []
    for spent, started, scheduled, trigger in rows:
        if started is None:
            continue
        if spent is not None:
            durations.append(float(spent))
        if trigger == "schedule":
            delays.append(max(0.0, (started - scheduled) / timedelta(milliseconds=1)))
    return _spread(durations), _spread(delays)


def _spread(values: list[float]) -> Spread:
    if not values:
        return Spread(median=None, high=None, sample=0)
    values.sort()
    return Spread(
        median=values[len(values) // 2],
        high=values[min(len(values) - 1, int(len(values) * 0.95))],
        sample=len(values),
    )
