"""Whether a job runs at all: pause and its end, deactivate, resume, cancel."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db import transaction

from executions import lifecycle, wake
from executions.engine import adoption, answers, clock
from executions.lifecycle import Planned
from executions.models import Reason, Status
from executions.operations.jobrow import locked, move, plain, read_schedule
from executions.operations.refusal import Invalid, Refused
from jobs import audit, schedules, versions
from jobs.audit import Actor
from jobs.models import AuditAction, Job, JobState, ScheduleType
from jobs.timing import Schedule, backlog, between, next_occurrence

MAX_TIME_OFF = 10_000


@transaction.atomic
def pause(job: Job, *, by: Actor, reason: str = "", until: datetime | None = None) -> Job:
    """active → paused, with a reason and perhaps an end. What waits, waits; what runs, finishes."""
    job, now = locked(job), clock.now()
    if job.state != JobState.ACTIVE:
        raise Refused(f"Cannot pause job in {job.state} status")
    if until is not None and until <= now:
        raise Invalid("until", "must lie in the future")
    move(job, JobState.PAUSED, now, paused_reason=reason or None, paused_until=until)
    audit.write(AuditAction.PAUSED, by=by, job=job, changes={"reason": reason, "until": plain(until)})
    return job


@transaction.atomic
def deactivate(job: Job, *, by: Actor) -> Job:
    """active, paused → inactive."""
    job, now = locked(job), clock.now()
    if job.state == JobState.INACTIVE:
        return job
    if job.state not in (JobState.ACTIVE, JobState.PAUSED):
        raise Refused(f"Cannot deactivate job in {job.state} status")
    before = job.state
    move(job, JobState.INACTIVE, now, paused_reason=None, paused_until=None)
    audit.write(
        AuditAction.UPDATED,
        by=by,
        job=job,
        changes={"state": {"old": before, "new": JobState.INACTIVE.value}},
    )
    return job


@transaction.atomic
def resume(job: Job, *, by: Actor, catch_up: str = "none") -> Job:
    """paused, inactive, cancelled → active.

    The fire times of the time off become one SKIPPED row `paused`, or run: the newest of them
    (`latest`) or all. A one-time job whose time has passed runs at once.
    """
    job, now = locked(job), clock.now()
    if job.state not in (JobState.PAUSED, JobState.INACTIVE, JobState.CANCELLED):
        raise Refused(f"Cannot resume job in {job.state} status")
    edited = adoption.is_edited(job)
    settled = _settle_time_off(job, now, catch_up)
    if edited and settled:  # what is not settled here the planner takes up
        versions.advance(job)
        versions.record(job, by=audit.SQL, now=now)
        settled["version"] = job.version
    _activate(job, now, settled, by=by, catch_up=catch_up)
    return job


@transaction.atomic
def end_pause(job: Job, *, by: Actor) -> None:
    """paused → active, for its end has come; where the schedule cannot be read, the job says why.

    The pause ends all the same: nobody is there to be refused, and a job that stayed paused would be
    met again for ever.
    """
    try:
        resume(job, by=by)
    except (ValueError, OverflowError):
        _activate_unread(job, by=by)


def _activate_unread(job: Job, *, by: Actor) -> None:
    """What becomes of its schedule is decided as for any active job: planned after all, or put aside."""
    job, now = locked(job), clock.now()
    _activate(job, now, {}, by=by, catch_up="none")
    if job.schedule_error is not None and not adoption.is_edited(job):
        return  # put aside before the pause
    if not schedules.is_new(job):
        answers.answer_for_unplanned(job, None, now, reason="paused")
    adoption.take_up([job], now)


def _activate(job: Job, now: datetime, settled: Mapping[str, Any], *, by: Actor, catch_up: str) -> None:
    before = job.state
    move(job, JobState.ACTIVE, now, paused_reason=None, paused_until=None, **settled)
    audit.write(
        AuditAction.RESUMED,
        by=by,
        job=job,
        changes={"state": {"old": before, "new": "active"}, "catchUp": catch_up},
    )
    wake.ring()


def _settle_time_off(job: Job, now: datetime, catch_up: str) -> dict[str, Any]:
    schedule = read_schedule(job)
    if job.schedule_type == ScheduleType.ONE_TIME:
        return {} if job.next_run_at or job.exhausted else _pointed(job, schedule, now)
    if job.next_run_at is not None and schedules.is_moved(job):
        return {}
    cursor = schedules.owed_from(job)
    if cursor is None or cursor > now:
        return {} if job.next_run_at else _pointed(job, schedule, now)
    # SQL may have edited the schedule meanwhile; what was missed is what the one before it named.
    missed = _planned_schedule(job) or schedule
    if catch_up == "all":
        _run_time_off(job, missed, cursor, now)
    elif catch_up == "latest":
        _run_newest(job, missed, cursor, now)
    else:
        answers.answer_for_unplanned(job, None, now, reason="paused")
    return _pointed(job, schedule, now)


def _planned_schedule(job: Job) -> Schedule | None:
    try:
        return schedules.read(job, planned=True)
    except ValueError:
        return None


def _pointed(job: Job, schedule: Schedule, now: datetime) -> dict[str, Any]:
    following = next_occurrence(schedule, now)
    if schedule.kind == "one_time":
        return schedules.point(job, schedules.first_run(schedule, now))
    return schedules.point(job, following.at if following else None)


def _run_newest(job: Job, schedule: Schedule, cursor: datetime, now: datetime) -> None:
    missed = backlog(schedule, cursor - schedules.MOMENT, now, newest=1)
    newest = missed.newest_open
    if newest is not None:
        lifecycle.plan([_scheduled(job, newest.at, now)], now)
    answers.answer_for_unplanned(job, None, now, reason="paused")


def _run_time_off(job: Job, schedule: Schedule, cursor: datetime, now: datetime) -> None:
    times = between(schedule, cursor - schedules.MOMENT, now, MAX_TIME_OFF)
    rows = [_scheduled(job, found.at, now) for found in times if not found.closed]
    if not times or times[0].at > cursor:  # a run that a reschedule had moved here
        rows.append(_scheduled(job, cursor, now))
    closed = [list(group) for shut, group in groupby(times, key=lambda found: found.closed) if shut]
    rows += [_closed(job, group[0].at, group[-1].at, len(group)) for group in closed]
    lifecycle.plan(rows, now)
    rest = backlog(schedule, times[-1].at if times else cursor, now)
    if rest.first is not None:
        answers.answer_for_unplanned(job, None, now, start=rest.first.at, reason="backlog")


def _closed(job: Job, first: datetime, last: datetime, count: int) -> Planned:
    """One row for fire times in a row on days that the calendar closes."""
    return Planned(
        job_id=job.id,
        scheduled_at=first,
        status=Status.SKIPPED,
        reason=Reason.CALENDAR,
        priority=job.priority,
        queue=job.queue,
        skipped_until=last if count > 1 else None,
        skipped_count=count if count > 1 else None,
    )


def _scheduled(job: Job, at: datetime, now: datetime) -> Planned:
    return Planned(job_id=job.id, scheduled_at=at, due_at=now, priority=job.priority, queue=job.queue)


@transaction.atomic
def cancel(job: Job, *, by: Actor) -> Job:
    """active, paused, inactive → cancelled: what waits is cancelled, what runs finishes."""
    job, now = locked(job), clock.now()
    if job.state not in (JobState.ACTIVE, JobState.PAUSED, JobState.INACTIVE):
        raise Refused(f"Cannot cancel job in {job.state} status")
    before = job.state
    lifecycle.cancel_waiting(job.id, reason="job_cancelled", now=now)
    move(job, JobState.CANCELLED, now, paused_reason=None, paused_until=None)
    audit.write(
        AuditAction.CANCELLED,
        by=by,
        job=job,
        changes={"state": {"old": before, "new": JobState.CANCELLED.value}},
    )
    return job
