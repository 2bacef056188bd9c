"""Takes up what SQL did to jobs: new rows, edited schedules, and next runs that were moved."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from executions import lifecycle
from executions.chart import SKIPPED
from executions.engine import answers, days
from executions.engine.config import PLAN_BATCH
from executions.faults import fault
from executions.lifecycle import Planned
from executions.models import Execution, Reason, Trigger
from executions.rows import BROKEN, Rows, fetch, moment, tell, write
from jobs import audit, schedules, versions
from jobs.models import (
    PLANNED_COLUMNS,
    SCHEDULE_COLUMNS,
    AuditAction,
    Calendar,
    Job,
    JobState,
    ScheduleType,
)
from jobs.timing import Calendar as Days
from jobs.timing import Schedule

log = logging.getLogger(__name__)

MILLISECOND = timedelta(milliseconds=1)
# Outside these a next run that SQL set is no time of any schedule.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9998, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one pass came to: jobs looked at, rows written, and whether a full batch waits on."""

    jobs: int = 0
    rows: int = 0
    more: bool = False

    def after(self, earlier: Pass) -> Pass:
        """This one and the one before it as one."""
        return Pass(jobs=earlier.jobs + self.jobs, rows=earlier.rows + self.rows, more=self.more)


def adopt(now: datetime, *, limit: int = PLAN_BATCH) -> Pass:
    """Plan jobs that SQL inserted, edited or moved, at most one batch.

    A new row keeps the next_run_at that SQL gave it, or gets the next one of its schedule. An
    edited one is planned anew from now: what the old schedule still owed is answered for as
    SKIPPED `rescheduled`, what waits is cancelled so, and the edit is kept as a version. A next_run_at
    that SQL set is used; the fire times that it passes over are answered for in the same way.
    """
    if fetch(*_any_changed_days()):
        with transaction.atomic():
            days.follow_calendars(now)
    if not fetch(*_any_to_adopt()):
        return Pass()
    return pass_over(Job.objects.to_replan().order_by("id"), _adopt_all, now, limit=limit)


Step = Callable[[QuerySet[Job], datetime, int], Pass]
# The steps that have worked for some job in this process.
_proven: set[Step] = set()


def pass_over(jobs: QuerySet[Job], step: Step, now: datetime, *, limit: int) -> Pass:
    """Do one step, which is a transaction, for the first of these jobs.

    Where it breaks, it is done for halves of them, down to single jobs: what breaks alone is put aside,
    unless the step has worked for nobody yet. Then it is not the rows that are broken.
    """
    try:
        done = step(jobs, now, limit)
    except BROKEN:
        keys = list(jobs.values_list("id", flat=True)[:limit])
        broken: dict[int, Exception] = {}
        done = _pass_over_each(jobs, step, keys, now, broken)
        if done.jobs:
            _proven.add(step)
        for key, error in broken.items():
            if step in _proven:
                _put_row_aside(key, error)
            else:
                log.error("job %s cannot be worked with, and no other could yet: %s", key, tell(error))
        return Pass(jobs=done.jobs, rows=done.rows)  # what else waits is met at the next look
    if done.jobs:
        _proven.add(step)
    return done


def _pass_over_each(
    jobs: QuerySet[Job], step: Step, keys: Sequence[int], now: datetime, broken: dict[int, Exception]
) -> Pass:
    try:
        return step(jobs.filter(id__in=keys), now, len(keys))
    except BROKEN as error:
        if len(keys) <= 1:
            broken |= dict.fromkeys(keys, error)
            return Pass()
    middle = len(keys) // 2
    first = _pass_over_each(jobs, step, keys[:middle], now, broken)
    return _pass_over_each(jobs, step, keys[middle:], now, broken).after(first)


def _adopt_all(to_adopt: QuerySet[Job], now: datetime, limit: int) -> Pass:
    with transaction.atomic():
        jobs = lock(to_adopt, limit)
        if take_up(jobs, now):
            fault("adopt_before_commit")
    if jobs:
        fault("adopt_after_commit")
    return Pass(jobs=len(jobs), more=len(jobs) >= limit)


# In peace these looks are all that it costs; they are not built anew each time.
@cache
def _any_changed_days() -> tuple[str, tuple[Any, ...]]:
    sql, params = Calendar.objects.changed().values_list("name")[:1].query.sql_with_params()
    return sql, tuple(params)


@cache
def _any_to_adopt() -> tuple[str, tuple[Any, ...]]:
    """The look for such jobs by their own index, which is empty in peace; the table may hold a million.

    Both databases believe that nearly every row is one of them and would rather read the table: PostgreSQL
    as long as no order is asked for, SQLite until it is told which index to take.
    """
    sql, params = Job.objects.to_replan().order_by("id").values_list("id")[:1].query.sql_with_params()
    if connection.vendor == "sqlite":
        table = f'FROM "{Job._meta.db_table}"'
        sql = sql.replace(table, f"{table} INDEXED BY batch_jobs_replan", 1)
    return sql, tuple(params)


def lock(jobs: QuerySet[Job], limit: int) -> list[Job]:
    """The first of these jobs, locked; those that somebody else works on are passed over."""
    if connection.features.has_select_for_update_skip_locked:
        jobs = jobs.select_for_update(skip_locked=True, no_key=True, of=("self",))
    return list(jobs[:limit])


def take_up(jobs: Sequence[Job], now: datetime) -> list[Job]:
    """Plan these locked jobs, or put aside with the reason what cannot be read; answers those planned."""
    calendars = _days_of(jobs)
    new = [job for job in jobs if schedules.is_new(job)]
    ready = [job for job in jobs if _adopt_or_put_aside(job, calendars, now)]
    versions.record_first(new, by=audit.SQL, now=now)
    if ready:
        _write_adopted(ready, now)
    return ready


def _days_of(jobs: Sequence[Job]) -> dict[str, Days]:
    names = {name for job in jobs for name in (job.calendar_id, job.planned_calendar_id) if name}
    return schedules.days_of(names)


def _adopt_or_put_aside(job: Job, calendars: Mapping[str, Days], now: datetime) -> bool:
    try:
        _adopt(job, calendars, now)
    except (ValueError, OverflowError) as error:
        put_aside(job, str(error), now)
        return False
    return True


def _adopt(job: Job, calendars: Mapping[str, Days], now: datetime) -> None:
    """Decide the cursor of one job; `_write_adopted` stores it."""
    is_new, changes = schedules.is_new(job), _differences(job)
    if job.schedule_type == ScheduleType.ONE_TIME:
        changes |= _follow_next_run(job)
    if job.schedule_type != ScheduleType.CRON and job.scheduled_at is None:
        job.scheduled_at = now
    schedule = schedules.read(job, calendars)
    if is_new:
        cursor = _first_cursor(job, schedule, now)
    elif changes:
        given = job.schedule_type != ScheduleType.ONE_TIME and schedules.is_moved(job)
        schedule = _take_edit(job, changes, calendars, now)
        cursor = _first_cursor(job, schedule, now) if given else schedules.first_run(schedule, now)
    else:
        cursor = _take_move(job, schedule, calendars, now)
    schedules.point(job, cursor)


def _take_edit(
    job: Job, changes: Mapping[str, Any], calendars: Mapping[str, Days], now: datetime
) -> Schedule:
    """SQL edited the schedule: leave the old one behind; answers the new one."""
    answers.close_account(job, calendars, now)
    lifecycle.cancel_waiting(job.id, reason="rescheduled", trigger="schedule", now=now)
    versions.advance(job)
    keep_apart(job)
    versions.record(job, by=audit.SQL, now=now)
    audit.write(AuditAction.UPDATED, by=audit.SQL, job=job, changes=changes)
    return schedules.read(job, calendars)


def _take_move(job: Job, schedule: Schedule, calendars: Mapping[str, Days], now: datetime) -> datetime | None:
    """SQL moved the next run: answer for what that passes over; answers the cursor."""
    cursor, owed = job.next_run_at, job.planned_next_run_at
    if cursor is None or cursor < EARLIEST:
        answers.close_account(job, calendars, now)
        return schedules.first_run(schedule, now)
    if owed is None and not job.exhausted:  # an older release planned it and kept no copy
        return cursor
    changes = {"nextRunAt": {"old": _text(owed), "new": _text(cursor)}}
    if owed is not None and cursor > owed:
        until = min(cursor, LATEST) - schedules.MOMENT
        if not answers.answer_for_unplanned(job, calendars, until, now=now):
            return cursor  # an older release went on and kept no copy: all of it is in the ledger
    else:
        cursor = set_back(job, cursor, schedule, now, calendars=calendars)
    audit.write(AuditAction.RESCHEDULED, by=audit.SQL, job=job, changes=changes)
    return cursor


def set_back(
    job: Job,
    at: datetime,
    schedule: Schedule,
    now: datetime,
    *,
    calendars: Mapping[str, Days] | None = None,
) -> datetime | None:
    """Move the next run back to `at`; answers the cursor.

    Fire times from there on are the planner's again, also those that an earlier move had passed over. But
    what earlier versions named stays answered for: a moment before the present one runs once, besides.
    """
    since = versions.in_force_since(job)
    if since is None or at > since:
        answers.promise_again(job, at, calendars)
        return _beside_a_skip(job, at)
    row = Planned(job_id=job.id, scheduled_at=_beside_a_skip(job, at), priority=job.priority, queue=job.queue)
    answers.write([row], {}, now)
    answers.promise_again(job, now + schedules.MOMENT, calendars)
    cursors = [job.planned_next_run_at, schedules.first_run(schedule, now)]
    return min((cursor for cursor in cursors if cursor is not None), default=None)


def _beside_a_skip(job: Job, at: datetime) -> datetime:
    """A moment that an earlier move skipped is taken: what is asked for now runs right after it."""
    skipped = Q(scheduled_at=at, reason=Reason.RESCHEDULED) | Q(scheduled_at__lte=at, skipped_until__gte=at)
    rows = Execution.objects.filter(skipped, job=job, trigger=Trigger.SCHEDULE, status=SKIPPED)
    return free_moment(job, at + MILLISECOND) if rows.exists() else at


def _first_cursor(job: Job, schedule: Schedule, now: datetime) -> datetime | None:
    """SQL gave a new schedule its next_run_at: the fire times before that are answered for."""
    cursor, first = job.next_run_at, schedules.first_run(schedule, now)
    if cursor is None or cursor < EARLIEST:
        return first
    if first is not None and first < cursor:
        schedules.point(job, first)
        answers.answer_for_unplanned(job, None, min(cursor, LATEST) - schedules.MOMENT, now=now)
    return cursor


def _follow_next_run(job: Job) -> dict[str, Any]:
    """The next run of a one-time job is its only one: where SQL moved it, its time moves."""
    at = job.next_run_at
    if at is None or at in (job.planned_next_run_at, job.scheduled_at):
        return {}
    old, job.scheduled_at = job.scheduled_at, at
    return {"scheduled_at": {"old": _text(old), "new": _text(at)}}


def _write_adopted(jobs: Sequence[Job], now: datetime) -> None:
    """Set the cursors and the copies of the schedules that they were planned from."""
    values = Rows(
        "v",
        {
            "key": "bigint",
            "next_run_at": "timestamptz",
            "scheduled_at": "timestamptz",
            "version": "int",
        },
        ((job.id, job.next_run_at, job.scheduled_at, job.version) for job in jobs),
    )
    copies = ", ".join(f"planned_{name} = j.{name}" for name in _columns() if name != "scheduled_at")
    write(
        f"""
        UPDATE batch_jobs AS j
        SET next_run_at = v.next_run_at, planned_next_run_at = v.next_run_at,
            exhausted = (v.next_run_at IS NULL),
            version = v.version, updated_at = %s, scheduled_at = v.scheduled_at,
            planned_scheduled_at = v.scheduled_at, {copies},
            error_message = CASE WHEN j.schedule_error IS NULL THEN j.error_message END,
            schedule_error = NULL
        FROM {values.sql} WHERE j.id = v.key
        """,
        [moment(now), *values.params],
    )


def _columns() -> list[str]:
    names = {field.attname: field.column for field in Job._meta.concrete_fields}
    return [str(names[name]) for name in PLANNED_COLUMNS]


def put_aside(job: Job, reason: str, now: datetime) -> None:
    """A job that cannot be planned says why, and is looked at again when it is edited.

    What it still owed is answered for, and a version says that from now on it owes nothing.
    """
    log.error("schedule of job %s cannot be read: %s", job.name, reason, extra={"jobId": str(job.uuid)})
    if not schedules.is_new(job):
        answers.answer_for_unplanned(job, None, now)
        versions.advance(job)
        versions.record(job, by=audit.SQL, now=now, problem=reason)
    changed = schedules.point(job, None) | {"schedule_error": reason, "error_message": reason}
    Job.objects.filter(id=job.id).update(**changed | _AS_IT_STANDS, version=job.version)


# The copies of a schedule as the table has it: what Python cannot say would differ for ever.
_AS_IT_STANDS = {f"planned_{name}": F(name) for name in PLANNED_COLUMNS}
MEND = "mend it, then set exhausted to false to have it planned again"


def _put_row_aside(key: int, error: Exception) -> None:
    """A job whose row cannot even be read or written says so in it, as far as the row lets it."""
    reason = f"the row of this job cannot be worked with ({tell(error)}): {MEND}"
    log.error("job %s is put aside: %s", key, reason, exc_info=error)
    try:
        with transaction.atomic():
            Job.objects.filter(id=key).update(
                next_run_at=None,
                planned_next_run_at=None,
                exhausted=True,
                schedule_error=reason,
                error_message=reason,
                **_AS_IT_STANDS,
            )
    except BROKEN:
        log.exception("job %s cannot be put aside either", key)


def keep_apart(job: Job) -> None:
    """Give a one-time job that is planned anew a time of its own.

    The edit answered for the time it had, or cancelled what waited; at that very time nothing
    could be planned any more, and the job would wait for ever.
    """
    over = job.state in (JobState.COMPLETED, JobState.FAILED, JobState.DELETED)
    if job.schedule_type == ScheduleType.ONE_TIME and job.scheduled_at is not None and not over:
        job.scheduled_at = free_moment(job, job.scheduled_at)


def free_moment(job: Job, at: datetime) -> datetime:
    """The first millisecond from `at` on that has no scheduled execution of the job."""
    while Execution.objects.filter(job=job, scheduled_at=at, trigger=Trigger.SCHEDULE).exists():
        at += MILLISECOND
    return at


def is_edited(job: Job) -> bool:
    """Whether SQL changed the schedule since it was planned."""
    return not schedules.is_new(job) and bool(_differences(job))


def _differences(job: Job) -> dict[str, Any]:
    pairs = {name: (getattr(job, f"planned_{name}"), getattr(job, name)) for name in _compared(job)}
    return {name: {"old": _text(old), "new": _text(new)} for name, (old, new) in pairs.items() if old != new}


def _compared(job: Job) -> Sequence[str]:
    """An older release kept no copies of the columns that move days."""
    return SCHEDULE_COLUMNS if job.planned_business_day_shift is None else PLANNED_COLUMNS


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
