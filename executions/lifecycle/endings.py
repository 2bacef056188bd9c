"""How an attempt can end, and where its execution goes then. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from executions.chart import CANCELLED, FAILED, PENDING, RETRYING, SUCCESS
from executions.lifecycle.claims import Claim


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


def release(claim: Claim, *, due_at: datetime, called_once: bool = False, **details: Any) -> Ending:
    """RUNNING → PENDING, due at `due_at`: a graceful stop gives the work back, counted nowhere.

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
        due_at=due_at,
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
