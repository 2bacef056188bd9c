"""Whether work goes on: judged by progress, not by whether a process lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from executions import workers
from executions.engine import facts, planner, window
from executions.engine.limits import Candidate
from executions.engine.planning import MAX_WAITING
from executions.models import WAITING, Execution, Instance, Role
from executions.rows import fetch, moment, read_moment
from executions.waiting import candidate_of, judge_due
from jobs.models import CatchUp, Job

ACTIVE, STALLED, INACTIVE = "ACTIVE", "STALLED", "INACTIVE"
STALLED_AFTER = timedelta(seconds=60)
SHOWN_INSTANCES = 100
LOOK = 20  # due executions of each priority that are judged before the jobs are gone through
LANES = 500
PRIORITIES = range(10)


@dataclass(frozen=True, kw_only=True)
class Process:
    """One row of the table of processes; `alive` by its heartbeat."""

    id: str
    role: str
    alive: bool
    last_heartbeat: datetime
    hostname: str | None
    pid: int | None
    processed: int


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The scheduler as a whole, at one moment. Sums are over live processes."""

    status: str = INACTIVE
    instance_id: str | None = None
    started_at: datetime | None = None
    last_heartbeat: datetime | None = None
    processed: int = 0
    running: int = 0
    queued: int = 0
    slots: int = 0
    busy: int = 0
    lag: timedelta = timedelta(0)
    processes: list[Process] = field(default_factory=list)

    @property
    def utilization(self) -> float:
        """Busy slots in percent of all."""
        return round(100 * min(self.busy, self.slots) / self.slots, 2) if self.slots else 0.0


def look(now: datetime) -> Picture:
    """How the scheduler stands.

    ACTIVE: some scheduler's heartbeat is young. STALLED: so, but the oldest due job or execution has waited
    a minute though a slot is free and nothing holds it back. INACTIVE: no scheduler is heard of.
    """
    rows = list(Instance.objects.order_by("-created_at", "-id")[:SHOWN_INSTANCES])
    live = workers.live_rows(now)
    schedulers = [row for row in live if row.role == Role.SCHEDULER]
    newest = next(iter(schedulers), None) or next((row for row in rows if row.role == Role.SCHEDULER), None)
    crew = workers.read_workers(live)
    wait = find_wait(now)
    return Picture(
        status=_judge(bool(schedulers), wait),
        instance_id=newest.id if newest else None,
        started_at=newest.created_at if newest and schedulers else None,
        last_heartbeat=max((row.last_heartbeat for row in rows if row.role == Role.SCHEDULER), default=None),
        processed=sum(row.jobs_processed_count for row in live),
        running=count_active(now),
        queued=count_due(now),
        slots=sum(worker.slots for worker in crew),
        busy=sum(min(worker.busy, worker.slots) for worker in crew),
        lag=wait.longest,
        processes=[_process(row, {each.id for each in live}) for row in rows],
    )


def _judge(alive: bool, wait: Wait) -> str:
    if not alive:
        return INACTIVE
    return STALLED if max(wait.to_plan, wait.to_start) >= STALLED_AFTER else ACTIVE


def _process(row: Instance, live: set[str]) -> Process:
    about: Any = row.metadata if isinstance(row.metadata, dict) else {}
    return Process(
        id=row.id,
        role=row.role,
        alive=row.id in live,
        last_heartbeat=row.last_heartbeat,
        hostname=about.get("hostname"),
        pid=about.get("pid"),
        processed=row.jobs_processed_count,
    )


def count_due(now: datetime) -> int:
    """How many executions wait though their moment has come."""
    # The states are written out, because SQLite uses a partial index only for what it can read in the text.
    sql = f"SELECT count(*) FROM job_executions WHERE status IN {window.WAITING} AND next_attempt_at <= %s"
    return int(fetch(sql, [moment(now)])[0][0])


def queue_age(now: datetime) -> timedelta:
    """How long the oldest due execution has waited, for whatever reason: also one of a job that is paused."""
    one = f"""
        SELECT * FROM (
            SELECT e.next_attempt_at AS at FROM job_executions AS e
            WHERE e.status IN {window.WAITING} AND e.priority = %s AND e.next_attempt_at <= %s
            ORDER BY e.next_attempt_at LIMIT 1) AS p{{number}}"""
    sql = " UNION ALL ".join(one.format(number=number) for number in PRIORITIES)
    rows = fetch(sql, [value for number in PRIORITIES for value in (number, moment(now))])
    times = [at for at in (read_moment(row[0]) for row in rows) if at is not None]
    return now - min(times, default=now)


def count_active(now: datetime) -> int:
    """How many executions run under a live lease."""
    sql = "SELECT count(*) FROM job_executions WHERE status = 'RUNNING' AND lease_expires_at > %s"
    return int(fetch(sql, [moment(now)])[0][0])


# How long the oldest has waited ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Wait:
    """How long the oldest one has waited that nothing holds back: a job to be planned, an execution to
    start where there is room for it, and one that waits because every slot is busy."""

    to_plan: timedelta = timedelta(0)
    to_start: timedelta = timedelta(0)
    for_slot: timedelta = timedelta(0)

    @property
    def longest(self) -> timedelta:
        """The lag of the scheduler."""
        return max(self.to_plan, self.to_start, self.for_slot)


def find_wait(now: datetime) -> Wait:
    """The longest waits of what nothing holds back."""
    held_up = _oldest_startable(now)
    zero = timedelta(0)
    planned = _oldest_unplanned(now)
    return Wait(
        to_plan=max(zero, now - planned) if planned else zero,
        to_start=max((now - due for due, crowded in held_up if not crowded), default=zero),
        for_slot=max((now - due for due, crowded in held_up if crowded), default=zero),
    )


def _oldest_unplanned(now: datetime) -> datetime | None:
    """The earliest fire time that should be in the ledger and is not."""
    due = Job.objects.due(now).order_by("next_run_at").only("id", "next_run_at", "catch_up")
    first = due.exclude(catch_up=CatchUp.ALL).first()
    # With catchUp all the cursor stays behind on purpose while as many wait as may.
    catching_up = list(due.filter(catch_up=CatchUp.ALL)[:LOOK])
    waiting = planner.count_scheduled([job.id for job in catching_up], planner.WAITING)
    found = [job for job in catching_up if waiting.get(job.id, 0) < MAX_WAITING]
    times = [job.next_run_at for job in [*found[:1], *([first] if first else [])] if job.next_run_at]
    return min(times, default=None)


def _oldest_startable(now: datetime) -> list[tuple[datetime, bool]]:
    """Due moments of executions that nothing holds back, and whether all slots for them are busy.

    A look at the longest due of each priority mostly finds one; only where all of them are held back, and
    more wait behind them, the first execution of each job is looked at.
    """
    due, full = _longest_due(now)
    found = _not_held(due, now)
    if found or not full:
        return found
    lanes = window.lanes(
        now, after=window.BEFORE_ALL, size=LANES, queues=(), without_tags=(), without_queues=()
    )
    rows = Execution.objects.filter(id__in=[one.head for one in lanes], status__in=WAITING)
    return _not_held([candidate_of(row) for row in rows if row.next_attempt_at], now)


def _not_held(due: Sequence[Candidate], now: datetime) -> list[tuple[datetime, bool]]:
    holds = judge_due(due, now) if due else {}
    return [(one.due_at, holds[one.id].crowded) for one in due if not holds[one.id].limited]


def _longest_due(now: datetime) -> tuple[list[Candidate], bool]:
    one = f"""
        SELECT * FROM (
            SELECT e.id, e.job_id, e.priority, e.next_attempt_at, e.scheduled_at, e.trigger, e.queue, e.batch,
                e.batch_limit
            FROM job_executions AS e
            WHERE e.status IN ('PENDING', 'RETRYING') AND e.priority = %s AND e.next_attempt_at <= %s
            ORDER BY e.next_attempt_at LIMIT {LOOK}) AS p{{number}}"""
    sql = " UNION ALL ".join(one.format(number=number) for number in PRIORITIES)
    rows = fetch(sql, [value for number in PRIORITIES for value in (number, moment(now))])
    counts = [sum(row[2] == number for row in rows) for number in PRIORITIES]
    return [facts.read_candidate(row) for row in rows], LOOK in counts
