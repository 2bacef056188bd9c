"""What the rules ask of the ledger, each question answered through an index."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Min, OuterRef, Q, QuerySet, Subquery

from alerts import rules
from alerts.audience import (
    CARES_FOR_LATE,
    CARES_FOR_LONG,
    CARES_FOR_MISSED,
    CARES_FOR_SUCCESS,
    listening,
)
from alerts.models import Alert, Cursor
from alerts.rules import MISSED_REASONS, Occurrence
from executions.models import Execution, Status, Trigger
from jobs.models import Job, JobState

ENDINGS = (Status.SUCCESS, Status.FAILED)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """An execution that ended, and how the one before it of the same job did (None: none did)."""

    occurrence: Occurrence
    previous: str | None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What is cheap to know of an ending: enough to see whether anybody cares."""

    id: UUID
    job_id: int
    status: str


def find_window(cursor: Cursor, until: datetime, *, size: int) -> datetime:
    """The moment up to which about `size` executions ended behind the cursor, at most `until`."""
    behind = Execution.objects.filter(completed_at__gt=cursor.moment, completed_at__lt=until)
    ends = behind.order_by("completed_at").values_list("completed_at", flat=True)[size : size + 1]
    return next(iter(ends), None) or until


def ended_after(cursor: Cursor, until: datetime) -> list[Ended]:
    """What ended behind the cursor and not after `until`, oldest first, as far as any alert might care."""
    behind = Q(completed_at__gt=cursor.moment)
    if cursor.execution_id is not None:
        behind |= Q(completed_at=cursor.moment, id__gt=cursor.execution_id)
    enabled = Alert.objects.filter(enabled=True)
    wanted = Q(status=Status.FAILED)
    if enabled.filter(CARES_FOR_SUCCESS).exists():
        wanted |= Q(status=Status.SUCCESS)
    if enabled.filter(CARES_FOR_MISSED).exists():
        wanted |= Q(status=Status.SKIPPED, reason__in=MISSED_REASONS)
    rows = Execution.objects.filter(
        behind, wanted, completed_at__gte=cursor.moment, completed_at__lte=until
    ).order_by("completed_at", "id")
    return [
        Ended(id=key, job_id=job, status=status)
        for key, job, status in rows.values_list("id", "job_id", "status")
    ]


def read_endings(ids: Collection[UUID]) -> list[Ending]:
    """These endings with all that the rules ask of them, oldest first."""
    rows = (
        Execution.objects.filter(id__in=ids)
        .annotate(previous=Subquery(_endings_before(OuterRef).values("status")[:1]))
        .order_by("completed_at", "id")
    )
    return [
        Ending(occurrence=_occurrence(row), previous=row[-1]) for row in rows.values_list(*_READ, "previous")
    ]


def _endings_before(reference: Any, row: Occurrence | None = None) -> QuerySet[Any]:
    """SUCCESS and FAILED of the same job before this ending, newest first."""
    job, at, key = (
        (row.job_id, row.completed_at, row.id)
        if row is not None
        else (reference("job_id"), reference("completed_at"), reference("id"))
    )
    return Execution.objects.filter(
        Q(completed_at__lt=at) | Q(id__lt=key), job_id=job, completed_at__lte=at, status__in=ENDINGS
    ).order_by("-completed_at", "-id")


def count_failures_before(ending: Ending, limit: int) -> int:
    """How many FAILED in a row stand directly before this ending, counted up to `limit`."""
    if limit <= 0 or ending.previous != Status.FAILED:
        return 0
    if limit == 1:
        return 1
    states = list(_endings_before(None, ending.occurrence).values_list("status", flat=True)[:limit])
    return next((place for place, state in enumerate(states) if state != Status.FAILED), len(states))


_READ = (
    "id",
    "job_id",
    "status",
    "scheduled_at",
    "trigger",
    "reason",
    "started_at",
    "executed_at",
    "completed_at",
    "execution_duration_ms",
)


def _occurrence(row: Sequence[Any]) -> Occurrence:
    """The columns of `_READ` as the rules see them."""
    key, job_id, status, scheduled_at, trigger, reason, started_at, executed_at, completed_at, spent = row[
        :10
    ]
    return Occurrence(
        id=key,
        job_id=job_id,
        status=status,
        scheduled_at=scheduled_at,
        trigger=trigger,
        reason=reason,
        started_at=started_at,
        executed_at=executed_at,
        completed_at=completed_at,
        duration=None if spent is None else timedelta(milliseconds=spent),
    )


# What has not ended ---------------------------------------------------------------------------------


def waiting_longest(now: datetime, *, limit: int) -> list[Occurrence]:
    """Of each job that somebody wants to hear is late: its oldest occurrence that did not start."""
    heads = (
        Execution.objects.filter(
            listening(care=CARES_FOR_LATE),
            status=Status.PENDING,
            trigger=Trigger.SCHEDULE,
            scheduled_at__lt=now,
            started_at__isnull=True,
        )
        .exclude(job__state__in=rules.QUIET_STATES)
        .values("job_id")
        .annotate(oldest=Min("scheduled_at"))
        .order_by("oldest")[:limit]
    )
    found = Q()
    for head in heads:
        found |= Q(job_id=head["job_id"], scheduled_at=head["oldest"])
    return _read_all(Execution.objects.filter(found, trigger=Trigger.SCHEDULE)) if found else []


def running(*, limit: int) -> list[Occurrence]:
    """Executions that run now, of jobs that somebody wants to hear are late or long, oldest first."""
    rows = Execution.objects.filter(listening(care=CARES_FOR_LATE | CARES_FOR_LONG), status=Status.RUNNING)
    return _read_all(rows.order_by("executed_at", "id")[:limit])


def _read_all(rows: QuerySet[Any]) -> list[Occurrence]:
    return [_occurrence(row) for row in rows.values_list(*_READ)]


@dataclass(frozen=True, kw_only=True)
class Unplanned:
    """An active job whose next fire time has passed, or whose schedule cannot be read."""

    job_id: int
    fire_time: datetime | None
    problem: str


def unplanned(now: datetime, *, limit: int) -> list[Unplanned]:
    """Fire times that the planner owes: long past, or of a schedule that it could not read.

    A job that catches up all of its fire times waits for room and owes nothing.
    """
    owed = Q(next_run_at__lt=now - rules.UNPLANNED_GRACE) & ~Q(catch_up="all")
    broken = Q(next_run_at__isnull=True, schedule_error__isnull=False)
    rows = Job.objects.filter(
        owed | broken, listening("", care=CARES_FOR_MISSED), state=JobState.ACTIVE
    ).order_by("next_run_at", "id")[:limit]
    return [
        Unplanned(job_id=job.id, fire_time=job.next_run_at, problem=job.schedule_error or "") for job in rows
    ]


# Has anything good happened in between? --------------------------------------------------------------


def closed_between(happening: rules.Happening, low: datetime, high: datetime) -> bool:
    """Whether a good occurrence of the job lies between the two moments, which closes an episode."""
    rows = Execution.objects.filter(job_id=happening.job_id)
    if happening.event in (rules.FAILED, rules.DEAD_LETTER):
        good = rows.filter(status=Status.SUCCESS, completed_at__gte=low, completed_at__lt=high)
    elif happening.event == rules.LONG_RUNNING:
        assert happening.limit is not None
        most = int(happening.limit.total_seconds() * 1000)
        good = rows.filter(completed_at__gte=low, completed_at__lt=high, execution_duration_ms__lte=most)
    else:
        planned = rows.filter(
            trigger=Trigger.SCHEDULE, scheduled_at__gt=low, scheduled_at__lt=high, started_at__isnull=False
        )
        good = planned if happening.event == rules.MISSED else planned.filter(_in_time(happening))
    return good.exists()


def _in_time(happening: rules.Happening) -> Q:
    assert happening.limit is not None
    return Q(started_at__lte=F("scheduled_at") + happening.limit)


def find(key: UUID | None) -> Execution | None:
    """The execution with this id, with its job; None where there is none (any more)."""
    row: Execution | None = Execution.objects.filter(id=key).select_related("job").first() if key else None
    return row
