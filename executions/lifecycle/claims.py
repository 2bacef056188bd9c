"""Who owns an execution: the claim, its lease, and the leases that ended without news."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from executions.faults import fault
from executions.rows import Rows, by_index, fetch, locked, moment, read_json, read_moment, read_uuid, write

# Of rows that are named by id. Worded so that no index of states answers it: with statistics from emptier
# times PostgreSQL would rather read all that waits than the few rows that are named.
STILL_WAITS = "coalesce(e.status, '') IN ('PENDING', 'RETRYING')"
STILL_OURS = "coalesce(e.status, '') = 'RUNNING' AND e.token = v.token"


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


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """Tokens whose lease is confirmed, and those that are ours still, in rows that somebody else holds."""

    confirmed: set[UUID]
    busy: set[UUID]


def renew(claims: Sequence[Claim], *, now: datetime, lease: timedelta, skip_locked: bool = False) -> Renewed:
    """Confirm the lease of these claims; what is in neither answer is not ours any more.

    `skip_locked`: do not wait for who holds a row, so that one row never holds up the leases of all.
    """
    if not claims:
        return Renewed(confirmed=set(), busy=set())
    values = tokens_of(claims)
    answered = fetch(
        f"""
        UPDATE job_executions AS e SET lease_expires_at = %s
        FROM {unheld(values) if skip_locked else values.sql}
        WHERE e.id = v.key AND {STILL_OURS}
        RETURNING id
        """,
        [moment(now + lease), *values.params],
    )
    owned = {read_uuid(row[0]) for row in answered}
    confirmed = {claim.token for claim in claims if claim.execution_id in owned}
    rest = [claim for claim in claims if claim.token not in confirmed] if skip_locked else []
    return Renewed(confirmed=confirmed, busy=still_ours(rest))


def unheld(values: Rows, *, with_jobs: bool = False) -> str:
    """For FROM: of the claims in `values` (`v.key`, `v.token`) those that are ours and in no other hands,
    locked; `with_jobs`: their jobs' rows too. SQLite has one writer, so there nobody else holds any."""
    if connection.vendor != "postgresql":
        return values.sql
    jobs, whose = ("JOIN batch_jobs AS j ON j.id = e.job_id", "e, j") if with_jobs else ("", "e")
    return f"""(SELECT v.* FROM {values.sql} JOIN job_executions AS e ON e.id = v.key {jobs}
        WHERE {STILL_OURS} FOR NO KEY UPDATE OF {whose} SKIP LOCKED) AS v"""


def still_ours(claims: Sequence[Claim]) -> set[UUID]:
    """The tokens of those of these claims that nobody has taken from us, whoever holds their rows now."""
    if not claims:
        return set()
    values = tokens_of(claims)
    rows = fetch(
        f"SELECT v.token FROM {values.sql} JOIN job_executions AS e ON e.id = v.key WHERE {STILL_OURS}",
        values.params,
    )
    return {read_uuid(row[0]) for row in rows}


def tokens_of(claims: Sequence[Claim]) -> Rows:
    """Claims as a table `v` of `key` and `token`."""
    rows = ((claim.execution_id, claim.token) for claim in claims)
    return Rows("v", {"key": "uuid", "token": "uuid"}, rows)


def asked_to_stop(claims: Sequence[Claim]) -> dict[UUID, str]:
    """Which of these claims' executions were asked to end, with the reason, by token."""
    if not claims:
        return {}
    values = tokens_of(claims)
    answered = fetch(
        f"""
        SELECT v.token, e.cancel_reason FROM {values.sql} JOIN job_executions AS e ON e.id = v.key
        WHERE {STILL_OURS} AND e.cancel_requested
        """,
        values.params,
    )
    return {read_uuid(row[0]): row[1] or "operator" for row in answered}


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
    """Lock running rows whose lease ended, or lies further ahead than a clock set back explains.

    What somebody else holds, or whose job, is passed over: it is met again at the next look.
    """
    answered = fetch(
        f"""
        SELECT e.id, e.job_id, e.token, e.attempt, j.execution_type, e.lost_count,
            e.cancel_requested, e.cancel_reason, j.retry_policy, e.executed_at
        FROM job_executions AS e {by_index("job_executions_leases")} JOIN batch_jobs AS j ON j.id = e.job_id
        WHERE e.status = 'RUNNING' AND (e.lease_expires_at < %s OR e.lease_expires_at > %s)
        ORDER BY e.id LIMIT %s
            {locked("FOR UPDATE OF e SKIP LOCKED FOR NO KEY UPDATE OF j SKIP LOCKED")}
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
