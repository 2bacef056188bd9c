"""How an occurrence enters the ledger: planned, or skipped with its reason."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from executions.chart import PENDING, SKIPPED
from executions.rows import (
    MAX_COUNT,
    STATEMENT_ROWS,
    Rows,
    fetch,
    identity,
    moment,
    read_moment,
    read_uuid,
    write,
)


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
