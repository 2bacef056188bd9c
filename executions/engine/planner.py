"""Writes due occurrences to the ledger and moves the jobs' cursors, in one short transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from executions import lifecycle
from executions.chart import SKIPPED
from executions.engine import adoption, answers
from executions.engine.adoption import Pass
from executions.engine.config import PLAN_BATCH
from executions.engine.planning import Due, JobPlan, plan_job
from executions.faults import fault
from executions.lifecycle import Planned
from executions.rows import Rows, by_index, fetch, locked, moment, read_moment, read_uuid, read_whole, write
from jobs import registry, schedules
from jobs.models import SCHEDULE_COLUMNS, Job, OverlapPolicy
from jobs.timing import Calendar, Schedule


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
    due = Job.objects.due(now).only(*PLANNED_BY).order_by("next_run_at", "id")
    return adoption.pass_over(due, _plan_all, now, limit=limit)


def _plan_all(due: QuerySet[Job], now: datetime, limit: int) -> Pass:
    with transaction.atomic():
        jobs = adoption.lock(due, limit)
        if not jobs:
            return Pass()
        fault("plan_after_lock")
        plans, read = _judge(jobs, now)
        rows = [row for plan in plans.values() for row in plan.rows]
        written = answers.write(rows, read, now)
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


WHOLE = ("misfire_grace_seconds", "max_concurrent_executions", "jitter_seconds", "priority")

# In peace this look is all that planning costs.
ANY_DUE = "SELECT 1 FROM batch_jobs WHERE status = 'active' AND next_run_at <= %s LIMIT 1"


def _judge(jobs: Sequence[Job], now: datetime) -> tuple[dict[int, JobPlan], dict[int, Schedule]]:
    calendars = schedules.days_of({job.calendar_id for job in jobs if job.calendar_id})
    ids = [job.id for job in jobs]
    waiting = count_scheduled(ids, WAITING)
    running = count_scheduled([job.id for job in jobs if job.overlap_policy == OverlapPolicy.SKIP], RUNNING)
    plans: dict[int, JobPlan] = {}
    read: dict[int, Schedule] = {}
    for job in jobs:
        try:
            due = _due(job, calendars, waiting.get(job.id, 0), running.get(job.id, 0))
            plans[job.id], read[job.id] = plan_job(due, now), due.schedule
        except (ValueError, OverflowError) as error:
            adoption.put_aside(Job.objects.get(id=job.id), str(error), now)
    return plans, read


def _due(job: Job, calendars: dict[str, Calendar], waiting: int, running: int) -> Due:
    if job.next_run_at is None:
        raise ValueError("next_run_at is no time")
    for name in WHOLE:
        read_whole(getattr(job, name), name)
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


@dataclass(frozen=True)
class Part:
    """A part of the ledger that has an index for each job: what waits, or what runs.

    Asked for both at once, a database would read the job's whole history.
    """

    condition: str
    index: str


WAITING = Part("e.status IN ('PENDING', 'RETRYING')", "job_executions_by_lane")
RUNNING = Part("e.status = 'RUNNING'", "job_executions_running")


def count_scheduled(job_ids: Sequence[int], part: Part) -> dict[int, int]:
    """How many scheduled executions of each job are in this part of the ledger; only jobs that have some.

    Job by job through the index of what is unfinished. As a join it is at the mercy of statistics, which are
    old just when ten thousand jobs were planned at once: every waiting row was then compared with every job.
    """
    if not job_ids:
        return {}
    keys = Rows("v", {"key": "bigint"}, ((key,) for key in job_ids))
    rows = fetch(
        f"""
        SELECT v.key, (
            SELECT count(*) FROM job_executions AS e {by_index(part.index)}
            WHERE e.job_id = v.key AND {part.condition} AND e.trigger = 'schedule')
        FROM {keys.sql}
        """,
        keys.params,
    )
    return {job_id: count for job_id, count in rows if count}


def _move_cursors(plans: dict[int, JobPlan]) -> None:
    values = Rows(
        "v",
        {"key": "bigint", "next_run_at": "timestamptz"},
        ((job_id, plan.next_run_at) for job_id, plan in sorted(plans.items())),
    )
    write(
        f"""
        UPDATE batch_jobs AS j
        SET next_run_at = v.next_run_at, planned_next_run_at = v.next_run_at,
            exhausted = (v.next_run_at IS NULL)
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
        # What runs first: a released one that waits by the second look is met there. The other way round
        # nothing moves, because a claim needs the lock of the job, which is ours.
        running = _older(job, newest[job.id], RUNNING)
        waiting = _older(job, newest[job.id], WAITING)
        if len(waiting) + len(running) < job.max_concurrent_executions:
            continue
        lifecycle.cancel(waiting, reason="replaced", now=now)
        lifecycle.ask_to_stop(running, reason="replaced")


def _older(job: Job, before: datetime, part: Part) -> list[UUID]:
    """The job's scheduled executions of older fire times, locked."""
    rows = fetch(
        f"""
        SELECT e.id FROM job_executions AS e {by_index(part.index)}
        WHERE e.job_id = %s AND {part.condition} AND e.trigger = 'schedule' AND e.scheduled_at < %s
        ORDER BY e.id {locked("FOR UPDATE")}
        """,
        [job.id, moment(before)],
    )
    return [read_uuid(row[0]) for row in rows]


def next_due() -> datetime | None:
    """The earliest fire time that any active job waits for."""
    sql = """
        SELECT next_run_at FROM batch_jobs WHERE status = 'active' AND next_run_at IS NOT NULL
        ORDER BY next_run_at LIMIT 1
        """
    return next((read_moment(row[0]) for row in fetch(sql)), None)
