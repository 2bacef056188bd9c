"""Whether the runs that a job waits for have happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from executions.engine.limits import Candidate
from executions.rows import fetch, moment, read_moment


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`met`; or not yet, with the reason in words; or `expired`: it waited long enough."""

    met: bool
    expired: bool = False
    why: str = ""


def judge(candidate: Candidate, now: datetime) -> Verdict:
    """Whether this scheduled execution may start, by the job's dependencies and mode.

    Each dependency needs an ended execution with the wanted outcome, newer than this job's
    previous occurrence or, where the dependency has a time window, than that window allows.
    """
    mode, wait, name_of, wanted = _read(candidate.job_id)
    previous = _previous(candidate)
    missing = [
        name_of[other]
        for other, outcome, within in wanted
        if not _ended(other, outcome, now - timedelta(seconds=within) if within else previous)
    ]
    met = not missing if mode == "all" else len(missing) < len(wanted)
    if met:
        return Verdict(met=True)
    names = ", ".join(sorted(missing))
    return Verdict(
        met=False,
        expired=now >= candidate.due_at + timedelta(seconds=wait),
        why=f"waits for {names}",
    )


def unmet(candidates: Sequence[Candidate], now: datetime) -> dict[UUID, Verdict]:
    """The verdicts of those candidates whose dependencies are not met."""
    verdicts = {one.id: judge(one, now) for one in candidates if one.trigger == "schedule"}
    return {key: verdict for key, verdict in verdicts.items() if not verdict.met}


def _read(job_id: int) -> tuple[str, int, dict[int, str], list[tuple[int, str, int | None]]]:
    rows = fetch(
        """
        SELECT j.dependency_mode, j.dependency_wait_seconds, d.depends_on_job_id, o.job_name,
            d.outcome, d.within_seconds
        FROM job_dependencies AS d JOIN batch_jobs AS j ON j.id = d.job_id
        JOIN batch_jobs AS o ON o.id = d.depends_on_job_id
        WHERE d.job_id = %s
        """,
        [job_id],
    )
    names = {row[2]: row[3] for row in rows}
    return rows[0][0], rows[0][1], names, [(row[2], row[4], row[5]) for row in rows]


def _previous(candidate: Candidate) -> datetime | None:
    rows = fetch(
        """
        SELECT max(scheduled_at) FROM job_executions
        WHERE job_id = %s AND scheduled_at < %s AND trigger = 'schedule'
        """,
        [candidate.job_id, moment(candidate.scheduled_at)],
    )
    return read_moment(rows[0][0])


_OUTCOMES = {
    "SUCCESS": "('SUCCESS')",
    "FAILED": "('FAILED')",
    "ANY": "('SUCCESS', 'FAILED')",
}


def _ended(job_id: int, outcome: str, since: datetime | None) -> bool:
    newer, params = ("AND completed_at > %s", [moment(since)]) if since else ("", [])
    rows: list[tuple[Any, ...]] = fetch(
        f"""
        SELECT 1 FROM job_executions
        WHERE job_id = %s AND status IN {_OUTCOMES[outcome]} AND completed_at IS NOT NULL {newer}
        LIMIT 1
        """,
        [job_id, *params],
    )
    return bool(rows)
