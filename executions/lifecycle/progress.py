"""What a running attempt shows of itself before it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from executions.lifecycle.claims import STILL_OURS, Claim, unheld
from executions.lifecycle.outcomes import NEWEST_START
from executions.rows import Rows, identity, locked, write


@dataclass(frozen=True, kw_only=True)
class Advance:
    """What a running attempt says of itself: items done, and of how many (None: unknown)."""

    claim: Claim
    processed: int
    total: int | None


def report(advances: Sequence[Advance]) -> None:
    """Show how far running attempts are; changes neither state nor totals. Waits for nobody."""
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
        FROM {unheld(values)}
        WHERE e.id = v.key AND {STILL_OURS}
        """,
        values.params,
    )


def note_starts(claims: Sequence[Claim]) -> None:
    """Show in their jobs when these attempts began; an attempt that ends shows it by its ending.

    Asked for runs that last, so that a run of a moment costs its job's row one change and not two.
    A job that somebody else holds is passed over: nobody waits for what only shows.
    """
    if not claims:
        return
    begun: dict[int, datetime] = {}
    for claim in claims:
        begun[claim.job_id] = max(claim.started_at, begun.get(claim.job_id, claim.started_at))
    values = Rows("v", {"key": "bigint", "started_at": "timestamptz"}, sorted(begun.items()))
    free = f"""(SELECT v.* FROM {values.sql} JOIN batch_jobs AS j ON j.id = v.key
        {locked("FOR NO KEY UPDATE OF j SKIP LOCKED")}) AS v"""
    write(f"UPDATE batch_jobs AS j SET {NEWEST_START} FROM {free} WHERE j.id = v.key", values.params)


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
