"""The one writer of execution state.

Every move is conditional: it names the state it comes from and, out of RUNNING, the token of the
claim. A row that does not answer was moved by somebody else first, which is a normal return and
never an error. All verbs work on groups and expect to be called inside a short transaction or
open one themselves; none of them reads a clock.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, IntegrityError, OperationalError, transaction

from executions.chart import CANCELLED, FAILED, PENDING, RETRYING, SKIPPED, SUCCESS
from executions.faults import fault
from executions.models.execution import Reason
from executions.output import clean_json, clean_text
from executions.rows import (
    Rows,
    fetch,
    identity,
    locked,
    moment,
    read_json,
    read_moment,
    read_uuid,
    write,
)

log = logging.getLogger(__name__)

STATEMENT_ROWS = 1000
MAX_COUNT = 2**31 - 1  # what a column has room for
WAITING_STATES = (PENDING, RETRYING)
# Of rows that are named by id. Worded so that no index of states answers it: with statistics from emptier
# times PostgreSQL would rather read all that waits than the few rows that are named.
STILL_WAITS = "coalesce(e.status, '') IN ('PENDING', 'RETRYING')"


# Plan ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A row for the ledger: to run (PENDING, due at `due_at`), or SKIPPED with its reason.

    A SKIPPED row may stand for a run of `skipped_count` fire times up to `skipped_until`.
    """

    job_id: int
    scheduled_at: datetime
    status: str = PENDING
    trigger: str = "schedule"
    due_at: datetime | None = None
    reason: str | None = None
    priority: int = 5
    queue: str = "default"
    skipped_until: datetime | None = None
    skipped_count: int | None = None
    payload: Any = None
    triggered_by: str | None = None
    requeued_from: UUID | None = None
    batch: UUID | None = None
    batch_limit: int | None = None
    id: UUID = field(default_factory=uuid.uuid4)


def plan(rows: Sequence[Planned], now: datetime) -> set[UUID]:
    """Write occurrences to the ledger; answers the ids of those that were new.

    An occurrence that stands there already (same job and fire time) is left as it is,
    whoever wrote it: planning twice changes nothing.
    """
    written: set[UUID] = set()
    for start in range(0, len(rows), STATEMENT_ROWS):
        written |= _plan(rows[start : start + STATEMENT_ROWS], now)
    return written


def _plan(rows: Sequence[Planned], now: datetime) -> set[UUID]:
    values = Rows(
        "v",
        {
            "id": "uuid",
            "job_id": "bigint",
            "scheduled_at": "timestamptz",
            "status": "text",
            "trigger_word": "text",
            "due_at": "timestamptz",
            "reason": "text",
            "priority": "smallint",
            "queue": "text",
            "skipped_until": "timestamptz",
            "skipped_count": "int",
            "payload": "jsonb",
            "triggered_by": "text",
            "requeued_from": "uuid",
            "batch": "uuid",
            "batch_limit": "int",
            "completed_at": "timestamptz",
        },
        (
            (
                row.id,
                row.job_id,
                row.scheduled_at,
                row.status,
                row.trigger,
                row.due_at or row.scheduled_at if row.status == PENDING else None,
                row.reason,
                row.priority,
                row.queue,
                row.skipped_until,
                min(row.skipped_count, MAX_COUNT) if row.skipped_count else None,
                row.payload,
                row.triggered_by,
                row.requeued_from,
                row.batch,
                row.batch_limit,
                now if row.status == SKIPPED else None,
            )
            for row in rows
        ),
    )
    # "WHERE true" tells SQLite's parser that ON belongs to the INSERT and not to a join.
    answered = fetch(
        f"""
        INSERT INTO job_executions (id, job_id, scheduled_at, status, trigger, next_attempt_at,
            reason, priority, queue, skipped_until, skipped_count, payload, triggered_by,
            requeued_from, batch, batch_limit, completed_at, created_at)
        SELECT v.id, v.job_id, v.scheduled_at, v.status, v.trigger_word, v.due_at, v.reason,
            v.priority, v.queue, v.skipped_until, v.skipped_count, v.payload, v.triggered_by,
            v.requeued_from, v.batch, v.batch_limit, v.completed_at, %s
        FROM {values.sql} WHERE true
        ON CONFLICT (job_id, scheduled_at) WHERE trigger = 'schedule' DO NOTHING
        RETURNING id
        """,
        [moment(now), *values.params],
    )
    return {read_uuid(row[0]) for row in answered}


def skipped_beyond(job_id: int, start: datetime) -> list[tuple[UUID, datetime]]:
    """Stretches of SKIPPED fire times that reach to `start` or further: their ids and first fire times."""
    rows = fetch(
        "SELECT e.id, e.scheduled_at FROM job_executions AS e"
        " WHERE e.job_id = %s AND e.skipped_until >= %s ORDER BY e.id",
        [job_id, moment(start)],
    )
    return [(read_uuid(key), at) for key, value in rows if (at := read_moment(value)) is not None]


def shorten(execution_id: UUID, *, until: datetime | None, count: int) -> None:
    """Let a stretch end earlier; without `until` it stands for its first fire time alone. Its state stays."""
    write(
        "UPDATE job_executions SET skipped_until = %s, skipped_count = %s"
        " WHERE id = %s AND status = 'SKIPPED' AND skipped_until IS NOT NULL",
        [None if until is None else moment(until), count if until else None, identity(execution_id)],
    )


# Claim --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The proof that this process owns an execution until its lease ends or its token changes."""

    execution_id: UUID
    job_id: int
    token: UUID
    attempt: int
    started_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Take:
    """An execution that the limits let start now; `exclusive` where its job runs one at a time."""

    execution_id: UUID
    job_id: int
    job_name: str
    cron_expression: str
    exclusive: bool


def claim(takes: Sequence[Take], *, instance: str, now: datetime, lease: timedelta) -> list[Claim]:
    """Take executions for this process: RUNNING, attempt + 1, a new token, lease and attempt row.

    Expects a transaction that holds the rows' locks. Rows that are not waiting any more are left
    out. Where the index of one-at-a-time jobs refuses the group, it is claimed row by row.
    """
    if not takes:
        return []
    try:
        with transaction.atomic():
            return _claim(takes, instance, now, lease)
    except IntegrityError:
        if len(takes) == 1:
            return []
        return [
            claimed for take in takes for claimed in claim([take], instance=instance, now=now, lease=lease)
        ]


def _claim(takes: Sequence[Take], instance: str, now: datetime, lease: timedelta) -> list[Claim]:
    tokens = {take.execution_id: uuid.uuid4() for take in takes}
    values = Rows(
        "v",
        {"key": "uuid", "token": "uuid", "exclusive": "boolean"},
        ((take.execution_id, tokens[take.execution_id], take.exclusive) for take in takes),
    )
    # Totals survive only where the same piece of work goes on: after a crash or a release.
    answered = fetch(
        f"""
        UPDATE job_executions AS e
        SET status = 'RUNNING', attempt = e.attempt + 1, token = v.token, locked_by = %s,
            lease_expires_at = %s, exclusive = v.exclusive, executed_at = %s,
            started_at = coalesce(e.started_at, %s),
            progress_processed = NULL, progress_total = NULL,
            total_processed = CASE WHEN {_CONTINUES} THEN e.total_processed ELSE 0 END,
            total_success = CASE WHEN {_CONTINUES} THEN e.total_success ELSE 0 END,
            total_failure = CASE WHEN {_CONTINUES} THEN e.total_failure ELSE 0 END
        FROM {values.sql}
        WHERE e.id = v.key AND {STILL_WAITS}
        RETURNING id, attempt
        """,
        [instance, moment(now + lease), moment(now), moment(now), *values.params],
    )
    attempts = {read_uuid(row[0]): int(row[1]) for row in answered}
    taken = [take for take in takes if take.execution_id in attempts]
    if taken:
        fault("claim_before_attempts")
        _open_attempts(taken, attempts, instance, now)
    return [
        Claim(
            execution_id=take.execution_id,
            job_id=take.job_id,
            token=tokens[take.execution_id],
            attempt=attempts[take.execution_id],
            started_at=now,
        )
        for take in taken
    ]


_CONTINUES = (
    "(e.status = 'PENDING' AND e.attempt > 0) OR (e.status = 'RETRYING' AND e.reason = 'worker_lost')"
)


def _open_attempts(taken: Sequence[Take], attempts: dict[UUID, int], instance: str, now: datetime) -> None:
    values = Rows(
        "v",
        {
            "execution_id": "uuid",
            "job_id": "bigint",
            "job_name": "text",
            "cron_expression": "text",
            "attempt_number": "int",
        },
        ((t.execution_id, t.job_id, t.job_name, t.cron_expression, attempts[t.execution_id]) for t in taken),
    )
    write(
        f"""
        INSERT INTO batch_job_logs (execution_id, job_id, job_name, cron_expression,
            attempt_number, started_at, status, worker_id)
        SELECT v.execution_id, v.job_id, v.job_name, v.cron_expression, v.attempt_number,
            %s, 'running', %s
        FROM {values.sql}
        """,
        [moment(now), instance, *values.params],
    )


# Renew --------------------------------------------------------------------------------------------


def renew(claims: Sequence[Claim], *, now: datetime, lease: timedelta) -> set[UUID]:
    """Confirm the lease of these claims; answers the tokens that are still ours."""
    if not claims:
        return set()
    values = Rows(
        "v",
        {"key": "uuid", "token": "uuid"},
        ((claim.execution_id, claim.token) for claim in claims),
    )
    answered = fetch(
        f"""
        UPDATE job_executions AS e SET lease_expires_at = %s
        FROM {values.sql}
        WHERE e.id = v.key AND e.status = 'RUNNING' AND e.token = v.token
        RETURNING id
        """,
        [moment(now + lease), *values.params],
    )
    owned = {read_uuid(row[0]) for row in answered}
    return {claim.token for claim in claims if claim.execution_id in owned}


@dataclass(frozen=True, kw_only=True)
class Advance:
    """What a running attempt says of itself: items done, and of how many (None: unknown)."""

    claim: Claim
    processed: int
    total: int | None


def report(advances: Sequence[Advance]) -> None:
    """Show how far running attempts are; changes neither state nor totals."""
    if not advances:
        return
    values = Rows(
        "v",
        {"key": "uuid", "token": "uuid", "processed": "int", "total": "int"},
        ((a.claim.execution_id, a.claim.token, a.processed, a.total) for a in advances),
    )
    write(
        f"""
        UPDATE job_executions AS e
        SET progress_processed = v.processed, progress_total = v.total
        FROM {values.sql}
        WHERE e.id = v.key AND e.status = 'RUNNING' AND e.token = v.token
        """,
        values.params,
    )


def note_starts(claims: Sequence[Claim]) -> None:
    """Show in their jobs when these attempts began; an attempt that ends shows it by its ending.

    Asked for runs that last, so that a run of a moment costs its job's row one change and not two.
    """
    if not claims:
        return
    begun: dict[int, datetime] = {}
    for claim in claims:
        begun[claim.job_id] = max(claim.started_at, begun.get(claim.job_id, claim.started_at))
    values = Rows("v", {"key": "bigint", "started_at": "timestamptz"}, sorted(begun.items()))
    write(
        f"""
        UPDATE batch_jobs AS j SET {_NEWEST_START}
        FROM {values.sql} WHERE j.id = v.key
        """,
        values.params,
    )


# Written out as it is, because the two databases treat NULL differently in max() and greatest().
_NEWEST_START = """
    last_run_at = CASE WHEN j.last_run_at > v.started_at THEN j.last_run_at ELSE v.started_at END,
    started_at = CASE WHEN j.started_at > v.started_at THEN j.started_at ELSE v.started_at END"""


def checkpoint(claim: Claim, *, processed: int, success: int, failure: int) -> bool:
    """Commit totals with the caller's own work; False when the claim is not ours any more."""
    return bool(
        write(
            """
            UPDATE job_executions
            SET total_processed = %s, total_success = %s, total_failure = %s
            WHERE id = %s AND status = 'RUNNING' AND token = %s
            """,
            [processed, success, failure, identity(claim.execution_id), identity(claim.token)],
        )
    )


# End ----------------------------------------------------------------------------------------------


@dataclass(kw_only=True, slots=True)
class LogLine:
    """One line for `job_execution_logs`. `foreign`: its words are not the engine's own."""

    execution_id: UUID
    at: datetime
    level: str
    message: str
    metadata: Any = None
    foreign: bool = False


@dataclass(kw_only=True, slots=True)
class Ending:
    """How one attempt ends, and where its execution goes. Made by the named functions below.

    Not frozen, as its lines are not: two of them and three lines are made for every run.
    """

    claim: Claim
    status: str
    attempt_status: str
    reason: str | None = None
    message: str | None = None
    due_at: datetime | None = None
    retried: int = 0
    lost: int = 0
    totals: tuple[int, int, int] | None = None
    duration_ms: int | None = None
    status_code: int | None = None
    body: str | None = None
    result: Any = None
    altered: bool = False
    policy: Any = None
    lines: tuple[LogLine, ...] = ()


def succeed(claim: Claim, **details: Any) -> Ending:
    """RUNNING → SUCCESS."""
    return Ending(claim=claim, status=SUCCESS, attempt_status="success", **details)


def retry(claim: Claim, *, due_at: datetime, **details: Any) -> Ending:
    """RUNNING → RETRYING, due at `due_at`; counted as a retry."""
    return Ending(claim=claim, status=RETRYING, attempt_status="failed", due_at=due_at, retried=1, **details)


def fail(claim: Claim, **details: Any) -> Ending:
    """RUNNING → FAILED, with its dead letter."""
    return Ending(claim=claim, status=FAILED, attempt_status="failed", **details)


def rescue(claim: Claim, *, again: bool, now: datetime, **details: Any) -> Ending:
    """RUNNING → RETRYING at once, or → FAILED: the lease ended. Counted as a crash recovery."""
    return Ending(
        claim=claim,
        status=RETRYING if again else FAILED,
        attempt_status="failed",
        reason="worker_lost",
        message="worker lost",
        due_at=now if again else None,
        lost=1,
        **details,
    )


def release(claim: Claim, *, now: datetime, called_once: bool = False, **details: Any) -> Ending:
    """RUNNING → PENDING at once: a graceful stop gives the work back, counted nowhere.

    `called_once`: an ATMOST_ONCE handler was called already, so it ends FAILED instead.
    """
    if called_once:
        return Ending(
            claim=claim,
            status=FAILED,
            attempt_status="failed",
            reason="worker_lost",
            message="released",
            **details,
        )
    return Ending(
        claim=claim,
        status=PENDING,
        attempt_status="failed",
        message="released",
        due_at=now,
        **details,
    )


def stop(claim: Claim, *, reason: str, message: str = "cancelled", **details: Any) -> Ending:
    """RUNNING → CANCELLED: the handler stopped because it was asked to (or is gone)."""
    return Ending(
        claim=claim,
        status=CANCELLED,
        attempt_status="failed",
        reason=reason,
        message=message,
        **details,
    )


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What came of a group of endings: those that were ours, and how many were stale."""

    applied: list[Ending]
    stale: int


def finish(endings: Sequence[Ending], now: datetime) -> Ended:
    """Write a group of endings, each fenced by its token, with all that belongs to them.

    State first, output second: where the database refuses the output, the states are written
    without it and each output on its own afterwards, so nothing that a handler answers can
    make a finished run look unfinished. An ending whose token is stale changes nothing.
    """
    cleaned = [_clean(ending) for ending in endings]
    try:
        with transaction.atomic():
            return _finish(cleaned, now)
    except OperationalError:
        raise
    except DatabaseError:
        log.exception("storing output failed; states are written without it")
    with transaction.atomic():
        ended = _finish([_bare(ending) for ending in cleaned], now)
    _store_outputs(ended.applied, cleaned)
    return ended


def _clean(ending: Ending) -> Ending:
    """The ending with its output storable, and marked where that changed it."""
    plain = ending.message is None and ending.body is None and ending.result is None
    if plain and all(map(_is_whole, (ending.status_code or 0, *(ending.totals or ())))):
        return ending
    message, changed_message = _clean_optional(ending.message)
    body, changed_body = _clean_optional(ending.body)
    result, changed_result = (None, False) if ending.result is None else clean_json(ending.result)
    code = ending.status_code if _is_whole(ending.status_code) else None
    totals = ending.totals if ending.totals and all(map(_is_whole, ending.totals)) else None
    return replace(
        ending,
        message=message,
        body=body,
        result=result,
        status_code=code,
        totals=totals,
        reason=ending.reason if ending.reason in _REASONS else ending.reason and "error",
        altered=ending.altered
        or (changed_message or changed_body or changed_result)
        or (code, totals) != (ending.status_code, ending.totals),
    )


_REASONS = frozenset(Reason.values)


def _is_whole(value: object) -> bool:
    """Whether an integer column has room for it."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _clean_optional(text: str | None) -> tuple[str | None, bool]:
    return (None, False) if text is None else clean_text(text)


def _bare(ending: Ending) -> Ending:
    return replace(ending, message=None, body=None, result=None, lines=(), altered=True)


def _store_outputs(applied: Sequence[Ending], endings: Sequence[Ending]) -> None:
    """Each output by itself; what the database refuses is dropped with a warning."""
    ours = {ending.claim.token for ending in applied}
    for ending in endings:
        if ending.claim.token not in ours:
            continue
        try:
            with transaction.atomic():
                write(
                    "UPDATE job_executions SET error_message = %s, response_body = %s"
                    " WHERE id = %s AND attempt = %s",
                    [
                        ending.message if ending.status != SUCCESS else None,
                        ending.body,
                        identity(ending.claim.execution_id),
                        ending.claim.attempt,
                    ],
                )
        except OperationalError:
            raise
        except DatabaseError as error:
            log.warning("output of %s was not stored: %s", ending.claim.execution_id, error)


@dataclass(frozen=True, kw_only=True)
class _Moved:
    trigger: str
    retry_count: int


def _finish(endings: Sequence[Ending], now: datetime) -> Ended:
    owned = _move(endings, now)
    applied = [ending for ending in endings if ending.claim.execution_id in owned]
    if applied:
        fault("finish_after_move")
        _close_attempts(applied, now)
        _bury([ending for ending in applied if ending.status == FAILED], now)
        fault("finish_after_letter")
        write_lines([line for ending in applied for line in ending.lines])
        _note_outcomes(applied, owned, now)
        fault("finish_before_commit")
    return Ended(applied=applied, stale=len(endings) - len(applied))


def _move(endings: Sequence[Ending], now: datetime) -> dict[UUID, _Moved]:
    """The fenced state change; answers what the rest needs of the rows that were ours."""
    values = Rows(
        "v",
        {
            "key": "uuid",
            "token": "uuid",
            "status": "text",
            "reason": "text",
            "message": "text",
            "due_at": "timestamptz",
            "completed_at": "timestamptz",
            "retried": "int",
            "lost": "int",
            "processed": "int",
            "success": "int",
            "failure": "int",
            "duration_ms": "int",
            "status_code": "int",
            "body": "text",
            "result": "jsonb",
            "altered": "boolean",
        },
        (
            (
                e.claim.execution_id,
                e.claim.token,
                e.status,
                e.reason,
                e.message if e.status not in (SUCCESS, PENDING) else None,
                e.due_at,
                now if e.status in (SUCCESS, FAILED, CANCELLED) else None,
                e.retried,
                e.lost,
                *(e.totals or (None, None, None)),
                e.duration_ms,
                e.status_code,
                e.body,
                e.result,
                e.altered,
            )
            for e in endings
        ),
    )
    answered = fetch(
        f"""
        UPDATE job_executions AS e
        SET status = v.status, reason = v.reason, error_message = v.message,
            next_attempt_at = v.due_at, completed_at = v.completed_at,
            retry_count = e.retry_count + v.retried, lost_count = e.lost_count + v.lost,
            total_processed = coalesce(v.processed, e.total_processed),
            total_success = coalesce(v.success, e.total_success),
            total_failure = coalesce(v.failure, e.total_failure),
            execution_duration_ms = v.duration_ms, http_status_code = v.status_code,
            response_body = v.body, result = v.result, output_altered = v.altered,
            token = NULL, lease_expires_at = NULL
        FROM {values.sql}
        WHERE e.id = v.key AND e.status = 'RUNNING' AND e.token = v.token
        RETURNING id, trigger, retry_count
        """,
        values.params,
    )
    return {read_uuid(row[0]): _Moved(trigger=row[1], retry_count=row[2]) for row in answered}


def _close_attempts(applied: Sequence[Ending], now: datetime) -> None:
    values = Rows(
        "v",
        {
            "key": "uuid",
            "number": "int",
            "status": "text",
            "processed": "int",
            "success": "int",
            "failure": "int",
            "reason": "text",
        },
        (
            (
                e.claim.execution_id,
                e.claim.attempt,
                e.attempt_status,
                *(e.totals or (None, None, None)),
                e.message if e.attempt_status == "failed" else None,
            )
            for e in applied
        ),
    )
    # An attempt without totals of its own shows what its checkpoints committed.
    if any(e.totals is None for e in applied):
        source, fallback = f"{values.sql} JOIN job_executions AS e ON e.id = v.key", "e"
    else:
        source, fallback = values.sql, "a"
    write(
        f"""
        UPDATE batch_job_logs AS a
        SET status = v.status, finished_at = %s, failure_reason = v.reason,
            total_processed = coalesce(v.processed, {fallback}.total_processed),
            total_success = coalesce(v.success, {fallback}.total_success),
            total_failure = coalesce(v.failure, {fallback}.total_failure)
        FROM {source}
        WHERE a.execution_id = v.key AND a.attempt_number = v.number
        """,
        [moment(now), *values.params],
    )


def _bury(failed: Sequence[Ending], now: datetime) -> None:
    """FAILED ⇔ one dead letter, written with it."""
    if not failed:
        return
    values = Rows(
        "v",
        {
            "id": "uuid",
            "execution_id": "uuid",
            "job_id": "bigint",
            "details": "jsonb",
        },
        (
            (
                uuid.uuid4(),
                e.claim.execution_id,
                e.claim.job_id,
                {
                    "message": e.message,
                    "statusCode": e.status_code,
                    "retryPolicy": e.policy,
                    "attempts": e.claim.attempt,
                },
            )
            for e in failed
        ),
    )
    write(
        f"""
        INSERT INTO failed_jobs_dlq (id, execution_id, job_id, failed_at, error_details,
            retry_attempts)
        SELECT v.id, v.execution_id, v.job_id, %s, v.details, e.retry_count
        FROM {values.sql} JOIN job_executions AS e ON e.id = v.execution_id
        WHERE true
        ON CONFLICT (execution_id) DO NOTHING
        """,
        [moment(now), *values.params],
    )


def write_lines(lines: Sequence[LogLine]) -> None:
    """Keep log lines of executions, all in one statement."""
    if not lines:
        return
    values = Rows(
        "v",
        {
            "execution_id": "uuid",
            "at": "timestamptz",
            "level": "text",
            "message": "text",
            "metadata": "jsonb",
        },
        (
            (
                line.execution_id,
                line.at,
                line.level,
                clean_text(line.message)[0] if line.foreign else line.message,
                clean_json(line.metadata)[0] if line.foreign else line.metadata,
            )
            for line in lines
        ),
    )
    write(
        f"""
        INSERT INTO job_execution_logs (execution_id, timestamp, log_level, message, metadata)
        SELECT v.execution_id, v.at, v.level, v.message, v.metadata FROM {values.sql}
        """,
        values.params,
    )


# What the job shows of its latest execution ---------------------------------------------------------


def _note_outcomes(applied: Sequence[Ending], owned: dict[UUID, _Moved], now: datetime) -> None:
    """Copy the newest outcome of each job into its row and move one-time jobs on."""
    latest: dict[int, Ending] = {}
    streaks: dict[int, tuple[bool, int]] = {}
    for ending in applied:
        job_id = ending.claim.job_id
        if ending.status in (SUCCESS, FAILED):
            reset, failures = streaks.get(job_id, (False, 0))
            won = ending.status == SUCCESS
            streaks[job_id] = (reset or won, 0 if won else failures + 1)
        if ending.status != PENDING:
            latest[job_id] = ending
    if latest:
        one_time = _copy_outcomes(latest, streaks, owned, now)
        ended = [e for e in applied if e.claim.job_id in one_time and e.status in _ONE_TIME_END]
        _end_one_time_jobs(ended, owned, now)


def _copy_outcomes(
    latest: dict[int, Ending],
    streaks: dict[int, tuple[bool, int]],
    owned: dict[UUID, _Moved],
    now: datetime,
) -> set[int]:
    """Write the newest outcome into each job's row; answers which of the jobs are one-time jobs."""
    values = Rows(
        "v",
        {
            "key": "bigint",
            "started_at": "timestamptz",
            "completed_at": "timestamptz",
            "message": "text",
            "result": "jsonb",
            "retries": "int",
            "reset": "boolean",
            "failures": "int",
        },
        (
            (
                job_id,
                ending.claim.started_at,
                now if ending.status != RETRYING else None,
                ending.message if ending.status != SUCCESS else None,
                ending.result,
                owned[ending.claim.execution_id].retry_count,
                *streaks.get(job_id, (False, 0)),
            )
            for job_id, ending in sorted(latest.items())
        ),
    )
    answered = fetch(
        f"""
        UPDATE batch_jobs AS j
        SET {_NEWEST_START},
            completed_at = v.completed_at, result = v.result, retry_count = v.retries,
            error_message = coalesce(j.schedule_error, v.message),
            consecutive_failures =
                CASE WHEN v.reset THEN v.failures ELSE j.consecutive_failures + v.failures END
        FROM {values.sql} WHERE j.id = v.key
        RETURNING id, schedule_type
        """,
        values.params,
    )
    return {row[0] for row in answered if row[1] == "one_time"}


_ONE_TIME_END = {SUCCESS: "completed", FAILED: "failed", CANCELLED: "cancelled", SKIPPED: "failed"}


def _end_one_time_jobs(ended: Sequence[Ending], owned: dict[UUID, _Moved], now: datetime) -> None:
    """A one-time job ends with its scheduled occurrence; a requeue that succeeds completes it."""
    moves: list[tuple[int, str]] = []
    mended: list[int] = []
    for ending in ended:
        trigger = owned[ending.claim.execution_id].trigger
        if trigger == "schedule":
            moves.append((ending.claim.job_id, _ONE_TIME_END[ending.status]))
        elif trigger == "requeue" and ending.status == SUCCESS:
            mended.append(ending.claim.job_id)
    end_one_time_jobs(moves, now)
    if mended:
        values = Rows("v", {"key": "bigint"}, ((job_id,) for job_id in sorted(set(mended))))
        write(
            f"""
            UPDATE batch_jobs AS j SET status = 'completed', updated_at = %s
            FROM {values.sql}
            WHERE j.id = v.key AND j.schedule_type = 'one_time' AND j.status = 'failed'
            """,
            [moment(now), *values.params],
        )


def end_one_time_jobs(moves: Sequence[tuple[int, str]], now: datetime) -> None:
    """Move active one-time jobs to the state that their scheduled occurrence ended in."""
    if not moves:
        return
    values = Rows("v", {"key": "bigint", "state": "text"}, sorted(set(moves)))
    write(
        f"""
        UPDATE batch_jobs AS j SET status = v.state, updated_at = %s
        FROM {values.sql}
        WHERE j.id = v.key AND j.schedule_type = 'one_time' AND j.status = 'active'
        """,
        [moment(now), *values.params],
    )


# Skip, cancel -------------------------------------------------------------------------------------


def skip(execution_ids: Sequence[UUID], *, reason: str, now: datetime) -> set[UUID]:
    """PENDING → SKIPPED with a reason; answers the ids that moved."""
    return _leave_waiting(execution_ids, SKIPPED, reason, now)


def cancel(execution_ids: Sequence[UUID], *, reason: str, now: datetime) -> set[UUID]:
    """PENDING, RETRYING → CANCELLED; answers the ids that moved."""
    return _leave_waiting(execution_ids, CANCELLED, reason, now)


def _leave_waiting(execution_ids: Sequence[UUID], status: str, reason: str, now: datetime) -> set[UUID]:
    moved: set[UUID] = set()
    sources = "('PENDING')" if status == SKIPPED else "('PENDING', 'RETRYING')"
    for start in range(0, len(execution_ids), STATEMENT_ROWS):
        group = execution_ids[start : start + STATEMENT_ROWS]
        values = Rows("v", {"key": "uuid"}, ((key,) for key in sorted(group)))
        answered = fetch(
            f"""
            UPDATE job_executions AS e
            SET status = %s, reason = %s, completed_at = %s, next_attempt_at = NULL
            FROM {values.sql} WHERE e.id = v.key AND e.status IN {sources}
            RETURNING id, job_id, trigger
            """,
            [status, reason, moment(now), *values.params],
        )
        moved |= {read_uuid(row[0]) for row in answered}
        if reason not in KEEPS_THE_JOB:
            end_one_time_jobs(
                [(row[1], _ONE_TIME_END[status]) for row in answered if row[2] == "schedule"], now
            )
    return moved


# Reasons whose verb has decided itself what the job's state becomes.
KEEPS_THE_JOB = frozenset({"rescheduled", "job_cancelled", "job_deleted"})


def cancel_waiting(job_id: int, *, reason: str, now: datetime, trigger: str | None = None) -> int:
    """Cancel all that waits of one job (or only what its schedule planned); answers how many."""
    condition = " AND trigger = %s" if trigger else ""
    waiting = fetch(
        "SELECT id FROM job_executions WHERE job_id = %s AND status IN ('PENDING', 'RETRYING')"
        f"{condition} ORDER BY id {locked('FOR UPDATE')}",
        [job_id, trigger] if trigger else [job_id],
    )
    return len(cancel([read_uuid(row[0]) for row in waiting], reason=reason, now=now))


def ask_to_stop(execution_ids: Sequence[UUID], *, reason: str) -> int:
    """Ask running executions to end; they do when their handler stops for it."""
    values = Rows("v", {"key": "uuid"}, ((key,) for key in sorted(execution_ids)))
    return write(
        f"""
        UPDATE job_executions AS e SET cancel_requested = %s, cancel_reason = %s
        FROM {values.sql} WHERE e.id = v.key AND e.status = 'RUNNING'
        """,
        [True, reason, *values.params],
    )


# What the reaper and the loop look at ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Expired:
    """A running execution whose lease ended without news."""

    claim: Claim
    execution_type: str
    lost_count: int
    cancel_requested: bool
    cancel_reason: str | None
    retry_policy: Any


def expired(now: datetime, lease: timedelta, *, limit: int) -> list[Expired]:
    """Lock running rows whose lease ended, or lies further ahead than a clock set back explains."""
    answered = fetch(
        f"""
        SELECT e.id, e.job_id, e.token, e.attempt, j.execution_type, e.lost_count,
            e.cancel_requested, e.cancel_reason, j.retry_policy, e.executed_at
        FROM job_executions AS e JOIN batch_jobs AS j ON j.id = e.job_id
        WHERE e.status = 'RUNNING' AND (e.lease_expires_at < %s OR e.lease_expires_at > %s)
        ORDER BY e.id LIMIT %s {locked("FOR UPDATE OF e SKIP LOCKED")}
        """,
        [moment(now), moment(now + 2 * lease), limit],
    )
    return [
        Expired(
            claim=Claim(
                execution_id=read_uuid(row[0]),
                job_id=row[1],
                token=read_uuid(row[2]),
                attempt=row[3],
                started_at=read_moment(row[9]) or now,
            ),
            execution_type=row[4],
            lost_count=row[5],
            cancel_requested=bool(row[6]),
            cancel_reason=row[7],
            retry_policy=read_json(row[8]),
        )
        for row in answered
    ]


def asked_to_stop(claims: Sequence[Claim]) -> dict[UUID, str]:
    """Which of these claims' executions were asked to end, with the reason, by token."""
    if not claims:
        return {}
    values = Rows(
        "v",
        {"key": "uuid", "token": "uuid"},
        ((claim.execution_id, claim.token) for claim in claims),
    )
    answered = fetch(
        f"""
        SELECT v.token, e.cancel_reason FROM {values.sql} JOIN job_executions AS e ON e.id = v.key
        WHERE e.status = 'RUNNING' AND e.token = v.token AND e.cancel_requested
        """,
        values.params,
    )
    return {read_uuid(row[0]): row[1] or "operator" for row in answered}


__all__ = [
    "Advance",
    "Claim",
    "Ended",
    "Ending",
    "Expired",
    "LogLine",
    "Planned",
    "Take",
    "ask_to_stop",
    "asked_to_stop",
    "cancel",
    "cancel_waiting",
    "checkpoint",
    "claim",
    "expired",
    "fail",
    "finish",
    "note_starts",
    "plan",
    "release",
    "renew",
    "report",
    "rescue",
    "retry",
    "shorten",
    "skip",
    "skipped_beyond",
    "stop",
    "succeed",
    "write_lines",
]
