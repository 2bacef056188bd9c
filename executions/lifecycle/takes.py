"""How waiting executions are taken: RUNNING, each with a claim of its own and an open attempt."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from executions.faults import fault
from executions.lifecycle.claims import STILL_WAITS, Claim
from executions.lifecycle.waiting import cancel
from executions.rows import BROKEN, Rows, add, fetch, moment, read_uuid, read_whole, tell, write

log = logging.getLogger(__name__)


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
    out. Where the database refuses the group, its halves are claimed by themselves, down to single
    rows: one that the index of one-at-a-time jobs refuses goes on waiting, and any other ends here,
    because it would be refused for ever.
    """
    if not takes:
        return []
    try:
        with transaction.atomic():
            return _claim(takes, instance, now, lease)
    except BROKEN:
        return _claim_by_halves(takes, instance, now, lease)


def _claim_by_halves(takes: Sequence[Take], instance: str, now: datetime, lease: timedelta) -> list[Claim]:
    try:
        with transaction.atomic():
            return _claim(takes, instance, now, lease, recount=True)
    except BROKEN as refusal:
        if len(takes) == 1:
            if not _is_occupied(refusal):
                _refuse(takes[0], refusal, now)
            return []
    middle = len(takes) // 2
    halves = takes[:middle], takes[middle:]
    return [one for half in halves for one in _claim_by_halves(half, instance, now, lease)]


def _is_occupied(refusal: Exception) -> bool:
    """Whether it was the index of jobs that run one at a time; SQLite names its column."""
    words = ("job_executions_one_at_a_time", "UNIQUE constraint failed: job_executions.job_id")
    return isinstance(refusal, IntegrityError) and any(word in str(refusal) for word in words)


def _refuse(take: Take, refusal: Exception, now: datetime) -> None:
    """PENDING, RETRYING → CANCELLED: it cannot be claimed, and its message says why."""
    message = f"cannot be started: {tell(refusal)}"
    log.error("execution %s %s", take.execution_id, message)
    try:
        with transaction.atomic():
            cancel([take.execution_id], reason="error", message=message, now=now)
    except BROKEN:
        log.exception("execution %s cannot be ended either", take.execution_id)


def _claim(
    takes: Sequence[Take], instance: str, now: datetime, lease: timedelta, *, recount: bool = False
) -> list[Claim]:
    """`recount`: number the attempts after those that there are, whatever SQL made of the rows' own count."""
    last = f"({_LAST_ATTEMPT})" if recount else "e.attempt"
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
        SET status = 'RUNNING', attempt = {add(last, "1")}, token = v.token, locked_by = %s,
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
    attempts = {read_uuid(row[0]): read_whole(row[1], "attempt") for row in answered}
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


_LAST_ATTEMPT = """
    SELECT max(n.number) FROM (
        SELECT a.attempt_number AS number FROM batch_job_logs AS a WHERE a.execution_id = e.id
        UNION ALL SELECT e.attempt) AS n"""
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
