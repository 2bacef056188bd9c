"""What a job shows of its newest execution, and the end of one-time jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from executions.chart import CANCELLED, FAILED, PENDING, RETRYING, SKIPPED, SUCCESS
from executions.lifecycle.endings import Ending
from executions.rows import Rows, add, fetch, moment, write

# Written out as it is, because the two databases treat NULL differently in max() and greatest().
NEWEST_START = """
    last_run_at = CASE WHEN j.last_run_at > v.started_at THEN j.last_run_at ELSE v.started_at END,
    started_at = CASE WHEN j.started_at > v.started_at THEN j.started_at ELSE v.started_at END"""


@dataclass(frozen=True, kw_only=True)
class Moved:
    trigger: str
    retry_count: int


def note_outcomes(applied: Sequence[Ending], owned: dict[UUID, Moved], now: datetime) -> None:
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
        ended = [e for e in applied if e.claim.job_id in one_time and e.status in ONE_TIME_END]
        _end_one_time_jobs(ended, owned, now)


def _copy_outcomes(
    latest: dict[int, Ending],
    streaks: dict[int, tuple[bool, int]],
    owned: dict[UUID, Moved],
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
        SET {NEWEST_START},
            completed_at = v.completed_at, result = v.result, retry_count = v.retries,
            error_message = coalesce(j.schedule_error, v.message),
            consecutive_failures =
                CASE WHEN v.reset THEN v.failures ELSE {add("j.consecutive_failures", "v.failures")} END
        FROM {values.sql} WHERE j.id = v.key
        RETURNING id, schedule_type
        """,
        values.params,
    )
    return {row[0] for row in answered if row[1] == "one_time"}


ONE_TIME_END = {SUCCESS: "completed", FAILED: "failed", CANCELLED: "cancelled", SKIPPED: "failed"}


def _end_one_time_jobs(ended: Sequence[Ending], owned: dict[UUID, Moved], now: datetime) -> None:
    """A one-time job ends with its scheduled occurrence; a requeue that succeeds completes it."""
    moves: list[tuple[int, str]] = []
    mended: list[int] = []
    for ending in ended:
        trigger = owned[ending.claim.execution_id].trigger
        if trigger == "schedule":
            moves.append((ending.claim.job_id, ONE_TIME_END[ending.status]))
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
