"""Who owns an execution: the claim, its lease, and the leases that ended without news."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from executions.rows import (
    BROKEN,
    Rows,
    by_index,
    fetch,
    locked,
    moment,
    read_json,
    read_moment,
    read_uuid,
    read_whole,
    tell,
)

log = logging.getLogger(__name__)

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
    return [entry for row in answered if (entry := _read_expired(row, now)) is not None]


def _read_expired(row: tuple[Any, ...], now: datetime) -> Expired | None:
    try:
        return Expired(
            claim=Claim(
                execution_id=read_uuid(row[0]),
                job_id=row[1],
                token=read_uuid(row[2]),
                attempt=row[3],
                started_at=read_moment(row[9]) or now,
            ),
            execution_type=row[4],
            lost_count=read_whole(row[5], "lost_count"),
            cancel_requested=bool(row[6]),
            cancel_reason=row[7],
            retry_policy=read_json(row[8], "retry_policy"),
        )
    except BROKEN as error:
        log.error("execution %s was lost and cannot be rescued: %s", row[0], tell(error))
        return None
