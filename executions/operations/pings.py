"""Signals from programs elsewhere: a ping ends the occurrence that waits for it, or gives it more time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from executions import lifecycle, wake
from executions.engine import clock
from executions.lifecycle import Ending, LogLine, Planned, Take
from executions.models import Execution, ExecutionLog, Status, Trigger
from executions.operations.jobrow import locked, to_millisecond
from jobs import registry
from jobs.models import Job, JobState

HANDLER = "ping"
WORKER = "ping"
STARTED = "Ping: started"
LEASE = timedelta(seconds=60)
EARLY = timedelta(seconds=60)  # a clock elsewhere may be ahead of ours by so much
MAX_BODY = 5000


def find_pinged(key: UUID) -> Job | None:
    """The job with handler `ping` that has this secret address."""
    job: Job | None = Job.objects.exclude(state=JobState.DELETED).filter(uuid=key).first()
    if job is None:
        return None
    handler = registry.resolve(handler=job.handler, api=job.api_endpoint, name=job.name)
    return job if handler == HANDLER else None


def timeout_of(job: Job) -> timedelta:
    """How long after its fire time a ping is awaited, and how much more a start gives."""
    return timedelta(milliseconds=job.timeout_ms or registry.default_timeout_ms(HANDLER))


@transaction.atomic
def note_start(job: Job) -> UUID | None:
    """The program has begun: its occurrence waits for the time-out from now. None when none waits."""
    job, now = locked(job), clock.now()
    execution = _awaited(job, now)
    if execution is None:
        return None
    until = now + timeout_of(job)
    Execution.objects.filter(id=execution.id, status=Status.PENDING, next_attempt_at__lt=until).update(
        next_attempt_at=until
    )
    lifecycle.write_lines([_line(execution.id, now, STARTED)])
    return execution.id


@transaction.atomic
def note_end(job: Job, *, failure: str | None = None, body: str = "") -> UUID | None:
    """The program has ended, well or with a failure in words; its occurrence ends so, at once.

    Where none waits, a success is only news that all is well; a failure becomes an execution of its own,
    so that it is not lost. Answers the execution's id.
    """
    job, now = locked(job), clock.now()
    execution = _awaited(job, now)
    if execution is None and failure is not None:
        execution = _plan(job, to_millisecond(now), now, trigger=Trigger.MANUAL)
    if execution is None:
        return None
    take = Take(
        execution_id=execution.id,
        job_id=job.id,
        job_name=job.name,
        cron_expression=job.cron_expression or "",
        exclusive=False,
    )
    claims = lifecycle.claim([take], instance=WORKER, now=now, lease=LEASE)
    started_at = _started_at(execution.id)
    for claim in claims:
        details: dict[str, Any] = {
            "totals": (0, 0, 0),
            "duration_ms": (now - started_at) // timedelta(milliseconds=1) if started_at else None,
            "body": body[:MAX_BODY] or None,
        }
        lifecycle.finish([_ending(claim, failure, details, now)], now)
    wake.ring()
    return execution.id


def _ending(claim: lifecycle.Claim, failure: str | None, details: dict[str, Any], now: datetime) -> Ending:
    if failure is None:
        line = _line(claim.execution_id, now, "Job execution successful")
        return lifecycle.succeed(claim, lines=(line,), **details)
    line = _line(claim.execution_id, now, "Job execution failed", level="ERROR")
    return lifecycle.fail(claim, reason="error", message=failure, lines=(line,), **details)


def _awaited(job: Job, now: datetime) -> Execution | None:
    """The occurrence that a ping is for: the one that has waited longest, or the next if it is near."""
    waiting = Execution.objects.filter(job=job, status=Status.PENDING).order_by("scheduled_at")
    found: Execution | None = waiting.select_for_update(of=("self",)).first()
    if found is not None or job.state != JobState.ACTIVE:
        return found
    if job.next_run_at is None or job.next_run_at > now + EARLY:
        return None
    return _plan(job, job.next_run_at, now, trigger=Trigger.SCHEDULE)


def _plan(job: Job, at: datetime, now: datetime, *, trigger: Trigger) -> Execution | None:
    """Write the occurrence; one that the planner writes later finds it there. None if it was there."""
    row = Planned(
        job_id=job.id,
        scheduled_at=at,
        due_at=max(at, now) + timeout_of(job),
        trigger=trigger,
        triggered_by=WORKER if trigger == Trigger.MANUAL else None,
        priority=job.priority,
        queue=job.queue,
    )
    lifecycle.plan([row], now)
    found: Execution | None = Execution.objects.filter(id=row.id).first()
    return found


def _started_at(execution_id: UUID) -> datetime | None:
    lines = ExecutionLog.objects.filter(execution_id=execution_id, message=STARTED).order_by("-id")
    at: datetime | None = lines.values_list("timestamp", flat=True).first()
    return at


def _line(execution_id: UUID, at: datetime, message: str, *, level: str = "INFO") -> LogLine:
    return LogLine(execution_id=execution_id, at=at, level=level, message=message)
