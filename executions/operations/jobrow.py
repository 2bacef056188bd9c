"""The job's row while a verb works on it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from executions import lifecycle
from executions.engine import answers
from executions.models import Trigger
from executions.operations.refusal import Invalid
from jobs import schedules
from jobs.models import Job
from jobs.timing import Schedule


def locked(job: Job) -> Job:
    """The job's present row, locked until the transaction ends."""
    row: Job = Job.objects.select_for_update(of=("self",)).get(id=job.id)
    return row


def move(job: Job, state: str, now: datetime, **values: Any) -> None:
    """Save a new state, with other columns that change with it."""
    for name, value in {"state": state, "updated_at": now, **values}.items():
        setattr(job, name, value)
    job.save(update_fields=["state", "updated_at", *values])


def read_schedule(job: Job) -> Schedule:
    """The job's schedule; raises Invalid where it cannot be read."""
    try:
        return schedules.read(job)
    except ValueError as error:
        raise Invalid("schedule", str(error)) from error


def leave_schedule(job: Job, now: datetime) -> None:
    """Answer for what the present schedule still owes, and cancel what it planned and waits."""
    reason = "rescheduled" if job.is_active else "paused"
    answers.close_account(job, None, now, reason=reason)
    lifecycle.cancel_waiting(job.id, reason="rescheduled", trigger=Trigger.SCHEDULE, now=now)


def plain(value: Any) -> Any:
    """A column's value as the audit keeps it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def to_millisecond(at: datetime) -> datetime:
    """The moment without what the API cannot show."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
