"""Figures of the whole system and of one job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Q

from executions import health, statistics
from executions.models import DeadLetter, Execution, Status, Trigger
from executions.statistics import Total
from jobs.models import Job, JobState

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
UNFINISHED = (Status.PENDING, Status.RETRYING, Status.RUNNING)


@dataclass(frozen=True, kw_only=True)
class SystemFigures:
    """Counts of jobs (deleted ones left out) and executions; nothing here counts the ledger."""

    jobs: dict[str, int]
    totals: dict[str, Total]
    last_day: int
    failed_last_day: int
    dead_letters: int
    lag: timedelta

    @property
    def all_executions(self) -> int:
        """How many the ledger holds."""
        return sum(total.count for total in self.totals.values())

    def count(self, *statuses: str) -> int:
        """How many executions are in one of these states."""
        return sum(self.totals[status].count for status in statuses)


def read_system(now: datetime) -> SystemFigures:
    """The figures of the whole system, from kept counts and partial indexes."""
    totals = statistics.totals()
    recent = count_recent(now, totals)
    return SystemFigures(
        jobs=count_jobs(),
        totals=totals,
        last_day=sum(recent.values()),
        failed_last_day=recent.get(Status.FAILED, 0),
        dead_letters=count_dead_letters(),
        lag=health.find_wait(now).longest,
    )


def count_jobs() -> dict[str, int]:
    """Jobs by state, deleted ones left out."""
    rows = Job.objects.exclude(state=JobState.DELETED).order_by().values_list("state").annotate(Count("id"))
    return dict(rows)


def count_dead_letters() -> int:
    """Open dead letters."""
    return DeadLetter.objects.filter(resolved=False).count()


def count_recent(now: datetime, totals: dict[str, Total] | None = None) -> dict[str, int]:
    """By state, the executions that ended in the last 24 hours, and those that have not ended.

    Whole hours are kept; only the hour that the day begins in is counted, by its index.
    """
    since = now - DAY
    full = _next_hour(since)
    counts = {status: total.count for status, total in statistics.totals(since=full).items()}
    edge = Execution.objects.filter(completed_at__gte=since, completed_at__lt=full).order_by()
    for status, count in edge.values_list("status").annotate(Count("id")):
        counts[status] = counts.get(status, 0) + count
    kept = totals or statistics.totals()
    for status in UNFINISHED:
        counts[status] = kept[status].count
    return counts


def _next_hour(moment: datetime) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    return hour if hour == moment else hour + HOUR


@dataclass(frozen=True, kw_only=True)
class JobFigures:
    """What one job's executions add up to; averages are None where there is nothing to average."""

    total: int
    successful: int
    failed: int
    average_ms: float | None
    average_delay_ms: float | None
    last_status: str | None
    last_at: datetime | None


def read_job(job: Job) -> JobFigures:
    """The figures of one job, counted in its part of the ledger."""
    executions = Execution.objects.filter(job=job).order_by()
    delay = ExpressionWrapper(F("started_at") - F("scheduled_at"), output_field=DurationField())
    found = executions.aggregate(
        total=Count("id"),
        successful=Count("id", filter=Q(status=Status.SUCCESS)),
        failed=Count("id", filter=Q(status=Status.FAILED)),
        average=Avg("execution_duration_ms", filter=Q(status=Status.SUCCESS)),
        delay=Avg(delay, filter=Q(trigger=Trigger.SCHEDULE, started_at__isnull=False)),
    )
    last = (
        executions.filter(executed_at__isnull=False)
        .order_by("-scheduled_at")
        .values_list("status", "executed_at")
        .first()
    )
    return JobFigures(
        total=found["total"],
        successful=found["successful"],
        failed=found["failed"],
        average_ms=found["average"],
        average_delay_ms=found["delay"] / timedelta(milliseconds=1) if found["delay"] is not None else None,
        last_status=last[0] if last else None,
        last_at=last[1] if last else None,
    )


def success_rate(successful: int, failed: int) -> float:
    """Successes in percent of what ended either way, two decimals; 0 when nothing did."""
    ended = successful + failed
    return round(100 * successful / ended, 2) if ended else 0.0


def average(total: Total) -> float:
    """Milliseconds per execution, two decimals; 0 when there is none."""
    return round(total.duration_ms / total.count, 2) if total.count else 0.0
