"""What waits leaves the ledger without a run, and what runs is asked to end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from executions.chart import CANCELLED, SKIPPED
from executions.lifecycle.outcomes import ONE_TIME_END, end_one_time_jobs
from executions.rows import STATEMENT_ROWS, Rows, fetch, locked, moment, read_uuid, write


def skip(execution_ids: Sequence[UUID], *, reason: str, now: datetime) -> set[UUID]:
    """PENDING → SKIPPED with a reason; answers the ids that moved."""
    return _leave_waiting(execution_ids, SKIPPED, reason, now)


def cancel(
    execution_ids: Sequence[UUID], *, reason: str, now: datetime, message: str | None = None
) -> set[UUID]:
    """PENDING, RETRYING → CANCELLED; answers the ids that moved. `message`: more than the reason says."""
    return _leave_waiting(execution_ids, CANCELLED, reason, now, message)


def _leave_waiting(
    execution_ids: Sequence[UUID], status: str, reason: str, now: datetime, message: str | None = None
) -> set[UUID]:
    moved: set[UUID] = set()
    sources = "('PENDING')" if status == SKIPPED else "('PENDING', 'RETRYING')"
    for start in range(0, len(execution_ids), STATEMENT_ROWS):
        group = execution_ids[start : start + STATEMENT_ROWS]
        values = Rows("v", {"key": "uuid"}, ((key,) for key in sorted(group)))
        answered = fetch(
            f"""
            UPDATE job_executions AS e
            SET status = %s, reason = %s, completed_at = %s, next_attempt_at = NULL,
                error_message = coalesce(%s, e.error_message)
            FROM {values.sql} WHERE e.id = v.key AND coalesce(e.status, '') IN {sources}
            RETURNING id, job_id, trigger
            """,
            [status, reason, moment(now), message, *values.params],
        )
        moved |= {read_uuid(row[0]) for row in answered}
        if reason not in KEEPS_THE_JOB:
            end_one_time_jobs(
                [(row[1], ONE_TIME_END[status]) for row in answered if row[2] == "schedule"], now
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
        FROM {values.sql} WHERE e.id = v.key AND coalesce(e.status, '') = 'RUNNING'
        """,
        [True, reason, *values.params],
    )
