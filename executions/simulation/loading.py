"""From the tables to a simulation: jobs with their policies, limits, and how long they took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from executions.engine.limits import SharedFacts
from executions.engine.planner import start_delay
from executions.engine.planning import Due
from executions.models import Execution, Status
from executions.retry import Defaults, RetryPolicy, read_policy
from executions.simulation.world import SimJob, Situation
from jobs import schedules
from jobs.models import ExecutionType, Job, JobTag, Queue, Tag
from jobs.timing import Calendar

SAMPLES = 50
RECENT = timedelta(days=30)


def load_jobs(jobs: Iterable[Job], start: datetime, *, now: datetime) -> tuple[list[SimJob], list[str]]:
    """The jobs as they would be planned from `start`; and what is left out, in words."""
    rows = list(jobs)
    calendars = schedules.days_of({job.calendar_id for job in rows if job.calendar_id})
    durations, failures = _learn([job.id for job in rows if job.id], now)
    tags = _tags([job.id for job in rows if job.id])
    found: list[SimJob] = []
    left_out: list[str] = []
    for number, job in enumerate(rows, start=1):
        key = job.id or -number
        try:
            due = _due(job, key, calendars, start)
            policy = _policy(job)
        except ValueError as error:
            left_out.append(f"{job.name}: {error}")
            continue
        if due is None:
            left_out.append(f"{job.name}: no fire time in the range")
            continue
        found.append(
            SimJob(
                name=job.name,
                due=due,
                durations=durations.get(key) or (1.0,),
                failure_rate=failures.get(key, 0.0),
                at_most_once=job.execution_type == ExecutionType.ATMOST_ONCE,
                policy=policy,
                rate=job.rate_limit_per_minute,
                tags=tags.get(key, ()),
            )
        )
    return found, left_out


def load_situation(*, slots: int, seed: int, crash_rate: float) -> Situation:
    """Slots and the limits of queues and tags as they are now."""
    limited = Tag.objects.exclude(max_concurrent=None, rate_limit_per_minute=None)
    return Situation(
        slots=slots,
        seed=seed,
        crash_rate=crash_rate,
        lease=timedelta(seconds=settings.LEASE_SECONDS),
        tags={tag.id: _shared(tag) for tag in limited},
        queues={queue.name: _shared(queue) for queue in Queue.objects.all()},
    )


def _shared(row: Tag | Queue) -> SharedFacts:
    return SharedFacts(
        name=row.name,
        max_concurrent=row.max_concurrent,
        rate=row.rate_limit_per_minute,
    )


def _due(job: Job, key: int, calendars: dict[str, Calendar], start: datetime) -> Due | None:
    schedule = schedules.read(job, calendars)
    cursor = schedules.first_run(schedule, start - schedules.MOMENT)
    if cursor is None or cursor < start:
        return None
    return Due(
        job_id=key,
        schedule=schedule,
        cursor=cursor,
        catch_up=job.catch_up,
        grace=timedelta(seconds=job.misfire_grace_seconds),
        overlap=job.overlap_policy,
        max_concurrent=job.max_concurrent_executions,
        jitter_seconds=job.jitter_seconds,
        start_delay=start_delay(job),
        priority=job.priority,
        queue=job.queue,
    )


def _policy(job: Job) -> RetryPolicy:
    return read_policy(
        job.retry_policy,
        family=job.schedule_type,
        execution_type=job.execution_type,
        defaults=Defaults(max_retries=settings.MAX_RETRY_ATTEMPTS, initial_delay_ms=settings.RETRY_DELAY_MS),
    )


def _learn(job_ids: list[int], now: datetime) -> tuple[dict[int, list[float]], dict[int, float]]:
    """Recent durations in seconds and the share of failures, by job, from the ledger."""
    durations: dict[int, list[float]] = defaultdict(list)
    ended: dict[int, int] = defaultdict(int)
    failed: dict[int, int] = defaultdict(int)
    rows = (
        Execution.objects.filter(
            job_id__in=job_ids,
            completed_at__gt=now - RECENT,
            status__in=(Status.SUCCESS, Status.FAILED),
        )
        .order_by("-completed_at")
        .values_list("job_id", "status", "execution_duration_ms")[:200_000]
    )
    for job_id, status, spent in rows.iterator():
        ended[job_id] += 1
        failed[job_id] += status == Status.FAILED
        if spent is not None and len(durations[job_id]) < SAMPLES:
            durations[job_id].append(spent / 1000)
    return durations, {key: failed[key] / count for key, count in ended.items()}


def _tags(job_ids: list[int]) -> dict[int, tuple[UUID, ...]]:
    found: dict[int, tuple[UUID, ...]] = {}
    limited = JobTag.objects.filter(job_id__in=job_ids).exclude(
        tag__max_concurrent=None, tag__rate_limit_per_minute=None
    )
    for job_id, tag_id in limited.values_list("job_id", "tag_id"):
        found[job_id] = (*found.get(job_id, ()), tag_id)
    return found
