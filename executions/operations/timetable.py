"""When a job runs next, against its schedule."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from executions import wake
from executions.engine import adoption, answers, clock
from executions.operations.jobrow import (
    leave_schedule,
    locked,
    plain,
    read_schedule,
    to_millisecond,
)
from executions.operations.refusal import Refused
from jobs import audit, schedules, versions
from jobs.audit import Actor
from jobs.models import AuditAction, Job, JobState, ScheduleType


@transaction.atomic
def reschedule(job: Job, at: datetime, *, by: Actor) -> Job:
    """Give a one-time job a new time, a recurring one a new anchor, a cron job a new next run.

    A finished or cancelled one-time job becomes active; a cancelled one of any kind too. The
    fire times that a cron job's moved run replaces are SKIPPED `rescheduled`.
    """
    job, now = locked(job), clock.now()
    if job.state == JobState.DELETED:
        raise Refused(f"Cannot reschedule job in {job.state} status")
    at = to_millisecond(at)
    before = {"scheduledAt": plain(job.scheduled_at), "nextRunAt": plain(job.next_run_at)}
    if job.schedule_type == ScheduleType.CRON:
        _move_next_run(job, at, now)
    else:
        leave_schedule(job, now)
        job.scheduled_at = adoption.free_moment(job, at) if _is_one_time(job) else at
        versions.advance(job)
        schedules.point(job, schedules.first_run(read_schedule(job), now))
        versions.record(job, by=by.name, now=now)
    if job.state in _REVIVED and (_is_one_time(job) or job.state == JobState.CANCELLED):
        job.state = JobState.ACTIVE
    job.updated_at = now
    job.save()
    audit.write(
        AuditAction.RESCHEDULED,
        by=by,
        job=job,
        changes={"old": before, "new": {"scheduledAt": plain(at)}},
    )
    wake.ring()
    return job


_REVIVED = (JobState.CANCELLED, JobState.COMPLETED, JobState.FAILED)


def _is_one_time(job: Job) -> bool:
    return job.schedule_type == ScheduleType.ONE_TIME


def _move_next_run(job: Job, at: datetime, now: datetime) -> None:
    cursor = schedules.owed_from(job)
    at = adoption.free_moment(job, at)
    if cursor is not None and cursor != at:
        until = max(cursor, at - schedules.MOMENT)
        answers.answer_for_unplanned(job, None, until, now=now)
    moved: datetime | None = at
    if cursor is None or at < cursor:
        moved = adoption.set_back(job, at, read_schedule(job), now)
    job.next_run_at = job.planned_next_run_at = moved
    job.exhausted = moved is None
