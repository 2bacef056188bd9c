"""Endings are written: the state first, fenced by the token of the claim, then all that belongs to it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db import DatabaseError, OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from executions.chart import CANCELLED, FAILED, PENDING, SUCCESS
from executions.faults import fault
from executions.lifecycle.claims import STILL_OURS, still_ours, unheld
from executions.lifecycle.endings import Ending, LogLine
from executions.lifecycle.outcomes import Moved, note_outcomes
from executions.models.execution import Reason
from executions.output import clean_json, clean_text
from executions.rows import MAX_COUNT, Rows, add, fetch, identity, moment, read_uuid, write

log = logging.getLogger(__name__)

LOCK_PATIENCE = "250ms"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What came of a group of endings: those that were ours, how many were stale, and the tokens of those
    that are ours still and unwritten, because somebody else holds their row or their job's."""

    applied: list[Ending]
    stale: int
    put_off: frozenset[UUID] = frozenset()


def finish(endings: Sequence[Ending], now: datetime, *, skip_locked: bool = False) -> Ended:
    """Write a group of endings, each fenced by its token, with all that belongs to them.

    State first, output second: where the database refuses the output, or what a job's row shall show
    of it, the states are written without and each of those on its own afterwards, so nothing that
    a handler answers or a job's row holds can make a finished run look unfinished. An ending whose
    token is stale changes nothing.

    Who holds one of the rows or of their jobs is waited for a moment, and raises OperationalError (see
    `is_lock`) when that was not enough; with `skip_locked` those endings are put off and the others written.
    """
    cleaned = [_clean(ending) for ending in endings]
    try:
        with transaction.atomic():
            return _finish(cleaned, now, skip_locked)
    except OperationalError:
        raise
    except DatabaseError:
        log.exception("storing output failed; states are written without it")
    with transaction.atomic():
        ended = _finish([_bare(ending) for ending in cleaned], now, skip_locked, note=_note_each)
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


def is_lock(error: OperationalError) -> bool:
    """Whether it says that somebody else holds a row for too long."""
    return isinstance(error.__cause__, LockNotAvailable)


Note = Callable[[Sequence[Ending], dict[UUID, Moved], datetime], None]


def _note_each(applied: Sequence[Ending], owned: dict[UUID, Moved], now: datetime) -> None:
    for ending in applied:
        try:
            with transaction.atomic():
                note_outcomes([ending], owned, now)
        except OperationalError:
            raise
        except DatabaseError:
            log.exception("the job of %s does not show how it ended", ending.claim.execution_id)


def _finish(
    endings: Sequence[Ending], now: datetime, skip_locked: bool, *, note: Note = note_outcomes
) -> Ended:
    _be_brief()
    owned = _move(endings, now, skip_locked)
    applied = [ending for ending in endings if ending.claim.execution_id in owned]
    rest = [ending.claim for ending in endings if ending.claim.execution_id not in owned]
    put_off = still_ours(rest) if skip_locked else set()
    if applied:
        fault("finish_after_move")
        _close_attempts(applied, now)
        _bury([ending for ending in applied if ending.status == FAILED], now)
        fault("finish_after_letter")
        write_lines([line for ending in applied for line in ending.lines])
        note(applied, owned, now)
        fault("finish_before_commit")
    return Ended(applied=applied, stale=len(rest) - len(put_off), put_off=frozenset(put_off))


def _be_brief() -> None:
    """Wait for others for a moment only, until this transaction ends: leases and all other runs wait too."""
    if connection.vendor == "postgresql":
        fetch("SELECT set_config('lock_timeout', %s, true)", [LOCK_PATIENCE])


def _move(endings: Sequence[Ending], now: datetime, skip_locked: bool) -> dict[UUID, Moved]:
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
            retry_count = {add("e.retry_count", "v.retried")},
            lost_count = {add("e.lost_count", "v.lost")},
            total_processed = coalesce(v.processed, e.total_processed),
            total_success = coalesce(v.success, e.total_success),
            total_failure = coalesce(v.failure, e.total_failure),
            execution_duration_ms = v.duration_ms, http_status_code = v.status_code,
            response_body = v.body, result = v.result, output_altered = v.altered,
            token = NULL, lease_expires_at = NULL
        FROM {unheld(values, with_jobs=True) if skip_locked else values.sql}
        WHERE e.id = v.key AND {STILL_OURS}
        RETURNING id, trigger, retry_count
        """,
        values.params,
    )
    return {read_uuid(row[0]): Moved(trigger=row[1], retry_count=row[2]) for row in answered}


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
