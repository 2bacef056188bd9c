"""What is worth an alert, and whether it was told already. Pure: knows no Django and no clock.

An episode is one trouble of one job, however many occurrences it lasts: it opens with the first
bad one, closes with the first good one, and is told once.

    event             bad occurrence                         closed by
    job.failed        FAILED after the last retry, and the   SUCCESS
                      N-th such in a row at least
    job.dead_letter   FAILED after the last retry            SUCCESS
    job.late          not started N s after its time         one that started in time
    job.missed        a fire time that did not run           one that ran
    job.long_running  a run longer than N s                  a run that was not
    job.succeeded     none: told for each SUCCESS
    job.recovered     none: told for the SUCCESS that closes an episode of failures
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

FAILED = "job.failed"
SUCCEEDED = "job.succeeded"
RECOVERED = "job.recovered"
LATE = "job.late"
MISSED = "job.missed"
LONG_RUNNING = "job.long_running"
DEAD_LETTER = "job.dead_letter"
TEST = "alert.test"

EVENTS = (FAILED, SUCCEEDED, RECOVERED, LATE, MISSED, LONG_RUNNING, DEAD_LETTER)
# Told once per episode; the others are told for every execution that they are true of.
EPISODIC = frozenset({FAILED, DEAD_LETTER, LATE, MISSED, LONG_RUNNING})

# Fire times that should have run and could not. What the job's own policies, its calendar or
# an operator decided (overlap, calendar, paused, rescheduled) is no news.
MISSED_REASONS = frozenset({"misfire", "backlog", "dependency"})
# A job in one of these states is nobody's concern.
QUIET_STATES = frozenset({"paused", "inactive", "deleted"})
# A fire time that nobody planned this long after it is missed, not merely late.
UNPLANNED_GRACE = timedelta(seconds=60)

MAX_FAILURES = 1000
MAX_SECONDS = 30 * 24 * 3600
MAX_TRIES = 3
_BACKOFF = (timedelta(seconds=5), timedelta(seconds=30))
_FIRE_TIMES = UUID("6d5f2a0e-93d4-4f0a-9d29-5c6e0c1b7a11")


# Conditions -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """When an alert speaks. The names on the wire are the same in camelCase, spans in seconds."""

    on_failure: bool = True
    on_success: bool = False
    consecutive_failures: int = 1
    on_recovery: bool = False
    on_late: timedelta | None = None
    on_missed: bool = False
    on_long_running: timedelta | None = None
    on_dead_letter: bool = False


def read_conditions(stored: object) -> Conditions:
    """The conditions of a stored object; what SQL wrote wrongly counts as not given."""
    given: Mapping[str, Any] = stored if isinstance(stored, Mapping) else {}
    return Conditions(
        on_failure=_flag(given, "onFailure", default=True),
        on_success=_flag(given, "onSuccess"),
        consecutive_failures=_whole(given, "consecutiveFailures", MAX_FAILURES) or 1,
        on_recovery=_flag(given, "onRecovery"),
        on_late=_span(given, "onLate"),
        on_missed=_flag(given, "onMissed"),
        on_long_running=_span(given, "onLongRunning"),
        on_dead_letter=_flag(given, "onDeadLetter"),
    )


def show_conditions(conditions: Conditions) -> dict[str, Any]:
    """The conditions as they stand on the wire and in the table, every one named."""
    return {
        "onFailure": conditions.on_failure,
        "onSuccess": conditions.on_success,
        "consecutiveFailures": conditions.consecutive_failures,
        "onRecovery": conditions.on_recovery,
        "onLate": _seconds(conditions.on_late),
        "onMissed": conditions.on_missed,
        "onLongRunning": _seconds(conditions.on_long_running),
        "onDeadLetter": conditions.on_dead_letter,
    }


def _flag(given: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    value = given.get(name)
    return value if isinstance(value, bool) else default


def _whole(given: Mapping[str, Any], name: str, high: int) -> int | None:
    value = given.get(name)
    fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= high
    return value if fits else None


def _span(given: Mapping[str, Any], name: str) -> timedelta | None:
    seconds = _whole(given, name, MAX_SECONDS)
    return None if seconds is None else timedelta(seconds=seconds)


def _seconds(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds())


# What the rules look at -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What the rules need to know of a job."""

    id: int
    uuid: UUID
    state: str
    created_at: datetime
    jitter: timedelta = timedelta(0)
    #: The queue of its executions is switched off.
    queue_paused: bool = False
    #: Waits for a ping from elsewhere: its time-out, and no lateness, says that none came.
    awaits_ping: bool = False

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is told of this job."""
        return self.state in QUIET_STATES


@dataclass(frozen=True, kw_only=True)
class Occurrence:
    """What the rules need to know of an execution. `duration` is that of its latest attempt."""

    id: UUID
    job_id: int
    status: str
    scheduled_at: datetime
    trigger: str = "schedule"
    reason: str | None = None
    started_at: datetime | None = None
    executed_at: datetime | None = None
    completed_at: datetime | None = None
    duration: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Happening:
    """Something an alert may tell: which event, when, and the figures that belong to it.

    `moment` places it among the others of its kind; `limit` is the span that was exceeded.
    """

    event: str
    moment: datetime
    execution_id: UUID
    job_id: int
    limit: timedelta | None = None
    details: Mapping[str, Any] | None = None


# Which events --------------------------------------------------------------------------------------


def judge_ending(
    conditions: Conditions,
    job: Watched,
    occurrence: Occurrence,
    *,
    failures_before: Callable[[int], int],
) -> list[Happening]:
    """What the end of an execution is worth telling, before asking whether it was told.

    `failures_before(n)` counts the failures in a row directly before this ending, up to n.
    """
    if job.is_quiet or occurrence.completed_at is None:
        return []
    if occurrence.status == "SKIPPED":
        return _judge_skip(conditions, occurrence)
    found = {
        "FAILED": _judge_failure,
        "SUCCESS": _judge_success,
    }[occurrence.status](conditions, occurrence, failures_before)
    late = judge_start(conditions, job, occurrence, now=occurrence.completed_at)
    long = judge_duration(conditions, job, occurrence, now=occurrence.completed_at)
    return [*found, *(extra for extra in (late, long) if extra is not None)]


def _judge_failure(
    conditions: Conditions, occurrence: Occurrence, failures_before: Callable[[int], int]
) -> list[Happening]:
    found = []
    if conditions.on_failure:
        wanted = conditions.consecutive_failures
        in_a_row = 1 + (failures_before(wanted - 1) if wanted > 1 else 0)
        if in_a_row >= wanted:
            found.append(_ended(FAILED, occurrence, consecutiveFailures=wanted))
    if conditions.on_dead_letter:
        found.append(_ended(DEAD_LETTER, occurrence))
    return found


def _judge_success(
    conditions: Conditions, occurrence: Occurrence, failures_before: Callable[[int], int]
) -> list[Happening]:
    found = []
    if conditions.on_success:
        found.append(_ended(SUCCEEDED, occurrence))
    if conditions.on_recovery:
        wanted = conditions.consecutive_failures
        if failures_before(wanted) >= wanted:
            found.append(_ended(RECOVERED, occurrence))
    return found


def _judge_skip(conditions: Conditions, occurrence: Occurrence) -> list[Happening]:
    if not (conditions.on_missed and occurrence.reason in MISSED_REASONS):
        return []
    return [
        Happening(
            event=MISSED,
            moment=occurrence.scheduled_at,
            execution_id=occurrence.id,
            job_id=occurrence.job_id,
            details={"reason": occurrence.reason},
        )
    ]


def _ended(event: str, occurrence: Occurrence, **details: Any) -> Happening:
    assert occurrence.completed_at is not None
    return Happening(
        event=event,
        moment=occurrence.completed_at,
        execution_id=occurrence.id,
        job_id=occurrence.job_id,
        details=details,
    )


def judge_start(
    conditions: Conditions, job: Watched, occurrence: Occurrence, *, now: datetime
) -> Happening | None:
    """Whether an occurrence started, or waits, too long after its time.

    Its time is the fire time and the jitter that the job allows, but not before the job was made
    (a one-time job may be given a past time). Only what the schedule planned can be late.
    """
    limit = conditions.on_late
    if limit is None or job.is_quiet or job.awaits_ping or occurrence.trigger != "schedule":
        return None
    if occurrence.started_at is None and (job.queue_paused or occurrence.status != "PENDING"):
        return None
    due_at = max(occurrence.scheduled_at + job.jitter, job.created_at)
    late = (occurrence.started_at or now) - due_at
    if late <= limit:
        return None
    return Happening(
        event=LATE,
        moment=occurrence.scheduled_at,
        execution_id=occurrence.id,
        job_id=occurrence.job_id,
        limit=limit + job.jitter,
        details={"lateSeconds": int(late.total_seconds()), "limitSeconds": _seconds(limit)},
    )


def judge_duration(
    conditions: Conditions, job: Watched, occurrence: Occurrence, *, now: datetime
) -> Happening | None:
    """Whether an attempt runs, or ran, longer than it should."""
    limit = conditions.on_long_running
    if limit is None or job.is_quiet or occurrence.executed_at is None:
        return None
    spent = occurrence.duration
    if occurrence.status == "RUNNING":
        spent = now - occurrence.executed_at
    if spent is None or spent <= limit:
        return None
    return Happening(
        event=LONG_RUNNING,
        moment=occurrence.executed_at,
        execution_id=occurrence.id,
        job_id=occurrence.job_id,
        limit=limit,
        details={"runningSeconds": int(spent.total_seconds()), "limitSeconds": _seconds(limit)},
    )


def judge_unplanned(
    conditions: Conditions, job: Watched, *, fire_time: datetime | None, problem: str, now: datetime
) -> Happening | None:
    """Whether a fire time of an active job has passed without anybody planning it.

    `fire_time` is the job's next one, None where its schedule cannot be read; then `problem`
    says why, and is told once per text.
    """
    if not conditions.on_missed or job.is_quiet:
        return None
    if fire_time is None and not problem:
        return None
    if fire_time is not None and now - fire_time <= UNPLANNED_GRACE:
        return None
    return Happening(
        event=MISSED,
        moment=fire_time or now,
        execution_id=name_fire_time(job.uuid, fire_time or problem),
        job_id=job.id,
        details={
            "unplanned": True,
            "reason": problem or "not planned",
            "scheduledAt": fire_time.isoformat() if fire_time else None,
        },
    )


def name_fire_time(job: UUID, fire_time: datetime | str) -> UUID:
    """The id that stands for a fire time without an execution: the same on every host."""
    text = fire_time if isinstance(fire_time, str) else fire_time.isoformat()
    return uuid.uuid5(_FIRE_TIMES, f"{job}|{text}")


# Once per episode ----------------------------------------------------------------------------------


def find_neighbours(moment: datetime, told: Iterable[datetime]) -> tuple[datetime | None, datetime | None]:
    """The nearest moments before (or at) and after this one at which something was told."""
    moments = list(told)
    before = max((one for one in moments if one <= moment), default=None)
    after = min((one for one in moments if one > moment), default=None)
    return before, after


def is_told(
    moment: datetime,
    told: Iterable[datetime],
    *,
    closed_between: Callable[[datetime, datetime], bool],
) -> bool:
    """Whether the episode that this moment belongs to was told already.

    It was, if something was told before or after it and nothing good happened in between: late
    commits may bring an earlier failure to light after a later one was told.
    """
    before, after = find_neighbours(moment, told)
    if before is not None and not closed_between(before, moment):
        return True
    return after is not None and not closed_between(moment, after)


# Tries ---------------------------------------------------------------------------------------------


def next_try(tries: int, *, wanted: timedelta | None = None) -> timedelta | None:
    """The wait after this many failed tries, None when there is no further one.

    `wanted` is what the receiver asked for; it counts when longer, up to five minutes.
    """
    if tries >= MAX_TRIES:
        return None
    delay = _BACKOFF[tries - 1]
    return max(delay, min(wanted, timedelta(minutes=5))) if wanted else delay
