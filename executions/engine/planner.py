"""Writes due occurrences to the ledger and moves the jobs' cursors, in one short transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, QuerySet

from executions import lifecycle
from executions.chart import RUNNING, SKIPPED
from executions.engine.config import PLAN_BATCH
from executions.engine.planning import Due, JobPlan, plan_job
from executions.faults import fault
from executions.lifecycle import Planned
from executions.models import Execution, Trigger
from executions.rows import Rows, fetch, locked, moment, read_moment, read_uuid, write
from jobs import audit, registry, schedules, versions
from jobs.models import SCHEDULE_COLUMNS, AuditAction, Job, JobState, OverlapPolicy, ScheduleType
from jobs.timing import Calendar, Schedule, backlog, next_occurrence

log = logging.getLogger("scheduler.planner")

MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one pass came to: jobs looked at, rows written, and whether a full batch waits on."""

    jobs: int = 0
    rows: int = 0
    more: bool = False

    def after(self, earlier: Pass) -> Pass:
        """This one and the one before it as one."""
        return Pass(jobs=earlier.jobs + self.jobs, rows=earlier.rows + self.rows, more=self.more)


def plan_due(now: datetime, *, limit: int = PLAN_BATCH) -> Pass:
    """Plan jobs whose next fire time has come, the longest due first, at most one batch.

    1. Lock due jobs; those that somebody else works on are passed over.
    2. Judge their fire times (`planning`), each job by itself: one whose schedule cannot be
       read is put aside with the reason, the others go on.
    3. Insert the occurrences; those that stand in the ledger already are left alone.
    4. Move the cursors.
    """
    if not fetch(ANY_DUE, [moment(now)]):
        return Pass()
    with transaction.atomic():
        jobs = _lock(Job.objects.due(now).only(*PLANNED_BY).order_by("next_run_at", "id"), limit)
        if not jobs:
            return Pass()
        fault("plan_after_lock")
        plans, read = _judge(jobs, now)
        rows = [row for plan in plans.values() for row in plan.rows]
        written = _write(rows, read, now)
        fault("plan_before_cursors")
        _move_cursors(plans)
        _replace_older([job for job in jobs if job.overlap_policy == OverlapPolicy.REPLACE], rows, now)
        moved = sum(bool(plans[job.id].rows) for job in jobs if job.id in plans)
        fault("plan_before_commit")
    fault("plan_after_commit")
    return Pass(jobs=moved, rows=len(written), more=len(jobs) >= limit and moved > 0)


# What planning asks of a job. The rest of its seventy columns would be half of the time that planning takes.
PLANNED_BY = (
    "uuid",
    "name",
    "schedule_type",
    *SCHEDULE_COLUMNS,
    "calendar",
    "business_day_shift",
    "next_run_at",
    "catch_up",
    "misfire_grace_seconds",
    "overlap_policy",
    "max_concurrent_executions",
    "jitter_seconds",
    "priority",
    "queue",
    "handler",
    "api_endpoint",
    "timeout_ms",
)


# In peace these two looks are all that planning costs; neither is built anew for each.
ANY_DUE = "SELECT 1 FROM batch_jobs WHERE status = 'active' AND next_run_at <= %s LIMIT 1"


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


def _lock(jobs: QuerySet[Job], limit: int) -> list[Job]:
    if connection.features.has_select_for_update_skip_locked:
        jobs = jobs.select_for_update(skip_locked=True, no_key=True, of=("self",))
    return list(jobs[:limit])


def _judge(jobs: Sequence[Job], now: datetime) -> tuple[dict[int, JobPlan], dict[int, Schedule]]:
    calendars = schedules.days_of({job.calendar_id for job in jobs if job.calendar_id})
    ids = [job.id for job in jobs]
    waiting = count_scheduled(ids, lifecycle.WAITING_STATES)
    running = count_scheduled(
        [job.id for job in jobs if job.overlap_policy == OverlapPolicy.SKIP], (RUNNING,)
    )
    plans: dict[int, JobPlan] = {}
    read: dict[int, Schedule] = {}
    for job in jobs:
        try:
            due = _due(job, calendars, waiting.get(job.id, 0), running.get(job.id, 0))
            plans[job.id], read[job.id] = plan_job(due, now), due.schedule
        except (ValueError, OverflowError) as error:
            put_aside(Job.objects.get(id=job.id), str(error), now)
    return plans, read


def _write(rows: Sequence[Planned], read: Mapping[int, Schedule | None], now: datetime) -> set[UUID]:
    """Write rows to the ledger; answers the ids of the new ones.

    A row that stands for a stretch of fire times, the first of which is in the ledger already, begins at
    the next one instead: the rest must not be left without an answer.
    """
    written: set[UUID] = set()
    left = list(rows)
    while left:
        new = lifecycle.plan(left, now)
        written |= new
        stretches = [row for row in left if row.id not in new and row.skipped_until is not None]
        left = [rest for row in stretches if (rest := _rest_of(row, read.get(row.job_id))) is not None]
    return written


def _rest_of(row: Planned, schedule: Schedule | None) -> Planned | None:
    """The stretch without its first fire time."""
    assert row.skipped_until is not None
    if schedule is None:
        start = row.scheduled_at + schedules.MOMENT
    else:
        found = next_occurrence(schedule, row.scheduled_at)
        start = row.skipped_until + schedules.MOMENT if found is None else found.at
    if start > row.skipped_until:
        return None
    return replace(row, scheduled_at=start, skipped_count=max(1, (row.skipped_count or 1) - 1))


def _due(job: Job, calendars: dict[str, Calendar], waiting: int, running: int) -> Due:
    assert job.next_run_at is not None
    return Due(
        job_id=job.id,
        schedule=schedules.read(job, calendars),
        cursor=job.next_run_at,
        catch_up=job.catch_up,
        grace=timedelta(seconds=job.misfire_grace_seconds),
        overlap=job.overlap_policy,
        max_concurrent=job.max_concurrent_executions,
        jitter_seconds=job.jitter_seconds,
        start_delay=start_delay(job),
        priority=job.priority,
        queue=job.queue,
        waiting=waiting,
        unfinished=waiting + running,
    )


def start_delay(job: Job) -> timedelta:
    """How long after its fire time an execution becomes due: a ping is awaited for its time-out."""
    handler = registry.resolve(handler=job.handler, api=job.api_endpoint, name=job.name)
    if handler != "ping":
        return timedelta(0)
    return timedelta(milliseconds=job.timeout_ms or registry.default_timeout_ms(handler))


def count_scheduled(job_ids: Sequence[int], states: Sequence[str]) -> dict[int, int]:
    """How many scheduled executions of each job are in these (unfinished) states; only jobs that have some.

    Job by job through the index of what is unfinished. As a join it is at the mercy of statistics, which are
    old just when ten thousand jobs were planned at once: every waiting row was then compared with every job.
    """
    if not job_ids:
        return {}
    keys = Rows("v", {"key": "bigint"}, ((key,) for key in job_ids))
    words = ", ".join(f"'{state}'" for state in states)
    rows = fetch(
        f"""
        SELECT v.key, (
            SELECT count(*) FROM job_executions AS e
            WHERE e.job_id = v.key AND e.status IN ({words}) AND e.trigger = 'schedule')
        FROM {keys.sql}
        """,
        keys.params,
    )
    return {job_id: count for job_id, count in rows if count}


def put_aside(job: Job, reason: str, now: datetime) -> None:
    """A job that cannot be planned says why, and is looked at again when it is edited.

    What it still owed is answered for, and a version says that from now on it owes nothing.
    """
    log.error("schedule of job %s cannot be read: %s", job.name, reason, extra={"jobId": str(job.uuid)})
    if not schedules.is_new(job):
        answer_for_unplanned(job, None, now)
        job.version += 1
        versions.record(job, by=audit.SQL, now=now, problem=reason)
    changed = schedules.point(job, None) | {"schedule_error": reason, "error_message": reason}
    # As the table has them: it may hold times that Python cannot say, which would differ for ever.
    changed |= {f"planned_{name}": F(name) for name in SCHEDULE_COLUMNS}
    Job.objects.filter(id=job.id).update(**changed, version=job.version)


def _move_cursors(plans: dict[int, JobPlan]) -> None:
    values = Rows(
        "v",
        {"key": "bigint", "next_run_at": "timestamptz"},
        ((job_id, plan.next_run_at) for job_id, plan in sorted(plans.items())),
    )
    write(
        f"""
        UPDATE batch_jobs AS j
        SET next_run_at = v.next_run_at, exhausted = (v.next_run_at IS NULL)
        FROM {values.sql} WHERE j.id = v.key
        """,
        values.params,
    )


def _replace_older(jobs: Sequence[Job], rows: Sequence[Planned], now: datetime) -> None:
    """overlapPolicy replace: the newest occurrence ends the older unfinished ones of its job."""
    newest = {row.job_id: row.scheduled_at for row in rows if row.status != SKIPPED}
    for job in jobs:
        if job.id not in newest:
            continue
        older = fetch(
            f"""
            SELECT e.id, e.status FROM job_executions AS e
            WHERE e.job_id = %s AND e.trigger = 'schedule' AND e.scheduled_at < %s
                AND e.status IN ('PENDING', 'RETRYING', 'RUNNING')
            ORDER BY e.id {locked("FOR UPDATE")}
            """,
            [job.id, moment(newest[job.id])],
        )
        if len(older) < job.max_concurrent_executions:
            continue
        ids = [read_uuid(key) for key, _ in older]
        lifecycle.cancel(ids, reason="replaced", now=now)
        lifecycle.ask_to_stop(ids, reason="replaced")


def adopt(now: datetime, *, limit: int = PLAN_BATCH) -> Pass:
    """Plan jobs that SQL inserted or edited, at most one batch.

    A new row keeps the next_run_at that SQL gave it, or gets the next one of its schedule. An
    edited one is planned anew from now: what the old schedule still owed is answered for as
    SKIPPED `rescheduled`, what waits is cancelled so, and the edit is kept as a version.
    """
    if not fetch(*_any_to_adopt()):
        return Pass()
    with transaction.atomic():
        jobs = _lock(Job.objects.to_replan().order_by("id"), limit)
        calendars = schedules.days_of({job.calendar_id for job in jobs if job.calendar_id})
        new = {job.id for job in jobs if schedules.is_new(job)}
        versions.record_first([job for job in jobs if job.id in new], by=audit.SQL, now=now)
        ready: list[Job] = []
        for job in jobs:
            try:
                _adopt(job, calendars, now, edited=job.id not in new)
            except (ValueError, OverflowError) as error:
                put_aside(job, str(error), now)
            else:
                ready.append(job)
        if ready:
            _write_adopted(ready, now)
            fault("adopt_before_commit")
    if jobs:
        fault("adopt_after_commit")
    return Pass(jobs=len(jobs), more=len(jobs) >= limit)


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
    copies = ", ".join(f"planned_{name} = j.{name}" for name in SCHEDULE_COLUMNS if name != "scheduled_at")
    write(
        f"""
        UPDATE batch_jobs AS j
        SET next_run_at = v.next_run_at, exhausted = (v.next_run_at IS NULL),
            version = v.version, updated_at = %s, scheduled_at = v.scheduled_at,
            planned_scheduled_at = v.scheduled_at, {copies},
            error_message = CASE WHEN j.schedule_error IS NULL THEN j.error_message END,
            schedule_error = NULL
        FROM {values.sql} WHERE j.id = v.key
        """,
        [moment(now), *values.params],
    )


def _adopt(job: Job, calendars: dict[str, Calendar], now: datetime, *, edited: bool) -> None:
    if job.schedule_type != ScheduleType.CRON and job.scheduled_at is None:
        job.scheduled_at = now
    schedule = schedules.read(job, calendars)
    cursor = job.next_run_at
    if not edited and cursor is not None:
        _pass_over(job, schedule, cursor, now)
    if edited:
        changes = _differences(job)
        if changes:
            answer_for_unplanned(job, calendars, now)
            lifecycle.cancel_waiting(job.id, reason="rescheduled", trigger="schedule", now=now)
            job.version += 1
            versions.record(job, by=audit.SQL, now=now)
            audit.write(AuditAction.UPDATED, by=audit.SQL, job=job, changes=changes)
            keep_apart(job)
            schedule = schedules.read(job, calendars)
        cursor = None
    schedules.point(job, cursor or schedules.first_run(schedule, now))


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


def _pass_over(job: Job, schedule: Schedule, cursor: datetime, now: datetime) -> None:
    """SQL gave a new job a later next_run_at: the fire times before it are answered for."""
    first = schedules.first_run(schedule, now)
    if first is None or first >= cursor:
        return
    schedules.point(job, first)
    answer_for_unplanned(job, None, cursor - schedules.MOMENT, now=now)


def _differences(job: Job) -> dict[str, Any]:
    pairs = {name: (getattr(job, f"planned_{name}"), getattr(job, name)) for name in SCHEDULE_COLUMNS}
    return {name: {"old": _text(old), "new": _text(new)} for name, (old, new) in pairs.items() if old != new}


def is_edited(job: Job) -> bool:
    """Whether SQL changed the schedule since it was planned."""
    return not schedules.is_new(job) and bool(_differences(job))


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def answer_for_unplanned(
    job: Job,
    calendars: dict[str, Calendar] | None,
    until: datetime,
    *,
    reason: str = "rescheduled",
    now: datetime | None = None,
) -> int:
    """One SKIPPED row for the fire times that the planned schedule names from the cursor to `until`.

    For an edit, a reschedule or a resume: nothing that was promised is left without an answer.
    Answers how many fire times the row stands for. `until` may lie ahead; `now` then says what time it is.
    """
    cursor = job.next_run_at
    if cursor is None or cursor > until:
        return 0
    schedule, count, last = _owed(job, calendars, cursor, until)
    row = Planned(
        job_id=job.id,
        scheduled_at=cursor,
        status=SKIPPED,
        reason=reason,
        priority=job.priority,
        queue=job.queue,
        skipped_until=last if last > cursor else None,
        skipped_count=count if last > cursor else None,
    )
    _write([row], {job.id: schedule}, now or until)
    return count


def _owed(
    job: Job, calendars: dict[str, Calendar] | None, cursor: datetime, until: datetime
) -> tuple[Schedule | None, int, datetime]:
    """The planned schedule, how many fire times it names from the cursor to `until`, and the last of them.

    Where it cannot be read any more, all of the time up to `until` is answered for.
    """
    try:
        schedule = schedules.read(job, calendars, planned=True)
        missed = backlog(schedule, cursor, until, newest=1)
    except (ValueError, OverflowError):
        return None, 1, until
    return schedule, missed.count + 1, missed.last.at if missed.last is not None else cursor


def next_due() -> datetime | None:
    """The earliest fire time that any active job waits for."""
    sql = """
        SELECT next_run_at FROM batch_jobs WHERE status = 'active' AND next_run_at IS NOT NULL
        ORDER BY next_run_at LIMIT 1
        """
    return next((read_moment(row[0]) for row in fetch(sql)), None)
