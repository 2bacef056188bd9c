"""Runs on request: trigger, backfill, and ending one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from executions import lifecycle, wake
from executions.engine import clock
from executions.lifecycle import Planned
from executions.models import Execution, Status, Trigger
from executions.operations.jobrow import locked, plain, read_schedule, to_millisecond
from executions.operations.refusal import Invalid, Refused
from jobs import audit, schedules
from jobs.audit import Actor
from jobs.models import AuditAction, Job, JobState
from jobs.timing import between
from web import tracing

MAX_BACKFILL = 10_000


@transaction.atomic
def trigger(job: Job, *, by: Actor, payload: Any = None) -> UUID:
    """Run the job now, besides its schedule; answers the execution's id."""
    job, now = locked(job), clock.now()
    if job.state != JobState.ACTIVE:
        raise Refused("Cannot trigger inactive job")
    row = Planned(
        job_id=job.id,
        scheduled_at=to_millisecond(now),
        due_at=now,
        trigger=Trigger.MANUAL,
        triggered_by=by.name,
        priority=job.priority,
        queue=job.queue,
        payload=payload,
    )
    lifecycle.plan([row], now)
    audit.write(AuditAction.TRIGGERED, by=by, job=job, changes={"executionId": str(row.id)})
    wake.ring()
    tracing.note({"scheduler.execution.id": str(row.id)})
    return row.id


@dataclass(frozen=True, kw_only=True)
class Backfill:
    """The fire times that a backfill plans, in order."""

    count: int
    scheduled_at: list[datetime]


@transaction.atomic
def backfill(
    job: Job,
    start: datetime,
    end: datetime,
    *,
    by: Actor,
    reprocess: str = "none",
    max_concurrent: int = 1,
    dry_run: bool = False,
) -> Backfill:
    """Plan the fire times of a past range by the schedule of now, at most 10,000.

    `reprocess`: `none` those that never ran, `failed` also those whose last run FAILED,
    `all` every one. At most `max_concurrent` of them run at once.
    """
    job, now = locked(job), clock.now()
    if end < start:
        raise Invalid("to", "must not lie before from")
    if end > now:
        raise Invalid("to", "must not lie in the future")
    found = between(read_schedule(job), start - schedules.MOMENT, end, MAX_BACKFILL + 1)
    if len(found) > MAX_BACKFILL:
        raise Invalid("to", f"the range holds more than {MAX_BACKFILL} fire times")
    times = _to_process(job, [one.at for one in found if not one.closed], reprocess)
    if times and not dry_run:
        batch = uuid.uuid4()
        rows = [
            Planned(
                job_id=job.id,
                scheduled_at=at,
                due_at=now + number * schedules.MOMENT,
                trigger=Trigger.BACKFILL,
                triggered_by=by.name,
                priority=job.priority,
                queue=job.queue,
                batch=batch,
                batch_limit=max_concurrent,
            )
            for number, at in enumerate(times)
        ]
        lifecycle.plan(rows, now)
        audit.write(
            AuditAction.BACKFILLED,
            by=by,
            job=job,
            changes={"from": plain(start), "to": plain(end), "count": len(times)},
        )
        wake.ring()
    return Backfill(count=len(times), scheduled_at=times)


def _to_process(job: Job, times: Sequence[datetime], reprocess: str) -> list[datetime]:
    if reprocess == "all" or not times:
        return list(times)
    last: dict[datetime, str] = dict(
        Execution.objects.filter(job=job, scheduled_at__range=(times[0], times[-1]))
        .exclude(status__in=(Status.SKIPPED, Status.CANCELLED))
        .exclude(trigger=Trigger.MANUAL)
        .order_by("scheduled_at", "created_at")
        .values_list("scheduled_at", "status")
    )
    again = (Status.FAILED,) if reprocess == "failed" else ()
    return [at for at in times if at not in last or last[at] in again]


@transaction.atomic
def cancel_execution(execution: Execution, *, by: Actor) -> Execution:
    """End a waiting execution, or ask a running one to end. Final ones raise Refused."""
    now = clock.now()
    execution = Execution.objects.select_for_update(of=("self",)).get(id=execution.id)
    if execution.is_final:
        raise Refused(f"Cannot cancel execution in {execution.status} status")
    if not lifecycle.cancel([execution.id], reason="operator", now=now):
        lifecycle.ask_to_stop([execution.id], reason="operator")
    audit.write(
        AuditAction.CANCELLED,
        by=by,
        job=execution.job,
        changes={"executionId": str(execution.id), "status": execution.status},
    )
    wake.ring()
    execution.refresh_from_db()
    return execution
