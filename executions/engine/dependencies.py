"""Whether the runs that jobs wait for have happened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from executions.engine.limits import Candidate
from executions.rows import Rows, fetch, read_moment, read_uuid
from jobs.schedules import MOMENT

EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Not yet, with the reason in words; or `expired`: it waited long enough."""

    expired: bool = False
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One run that a job waits for: of which job, how it must have ended, and how lately."""

    job_id: int
    name: str
    outcome: str
    within_seconds: int | None


@dataclass(kw_only=True, slots=True)
class Conditions:
    """What one job waits for: all of it or any, and how long at most."""

    mode: str
    wait: timedelta
    wanted: list[Wanted]


def unmet(candidates: Sequence[Candidate], now: datetime) -> dict[UUID, Verdict]:
    """The verdicts of those scheduled executions whose dependencies are not met.

    Each dependency needs an ended execution with the wanted outcome, newer than this job's
    previous occurrence or, where the dependency has a time window, than that window allows.
    The number of queries does not depend on the number of candidates.
    """
    scheduled = [one for one in candidates if one.trigger == "schedule"]
    conditions = _read_conditions({one.job_id for one in scheduled}) if scheduled else {}
    waiting = [one for one in scheduled if one.job_id in conditions]
    if not waiting:
        return {}
    happened = _find_endings(waiting, conditions, now)
    verdicts: dict[UUID, Verdict] = {}
    for one in waiting:
        condition = conditions[one.job_id]
        missing = [want.name for want in condition.wanted if (one.id, want.job_id) not in happened]
        if not missing or (condition.mode == "any" and len(missing) < len(condition.wanted)):
            continue
        verdicts[one.id] = Verdict(
            expired=now >= one.due_at + condition.wait, why=f"waits for {', '.join(sorted(missing))}"
        )
    return verdicts


def _read_conditions(job_ids: Collection[int]) -> dict[int, Conditions]:
    keys = Rows("v", {"key": "bigint"}, ((key,) for key in sorted(job_ids)))
    rows = fetch(
        f"""
        SELECT d.job_id, j.dependency_mode, j.dependency_wait_seconds, d.depends_on_job_id,
            o.job_name, d.outcome, d.within_seconds
        FROM job_dependencies AS d JOIN batch_jobs AS j ON j.id = d.job_id
        JOIN batch_jobs AS o ON o.id = d.depends_on_job_id
        WHERE d.job_id IN (SELECT v.key FROM {keys.sql})
        """,
        keys.params,
    )
    found: dict[int, Conditions] = {}
    for job_id, mode, wait, other, name, outcome, within in rows:
        condition = found.setdefault(job_id, Conditions(mode=mode, wait=timedelta(seconds=wait), wanted=[]))
        condition.wanted.append(Wanted(job_id=other, name=name, outcome=outcome, within_seconds=within))
    return found


def _find_endings(
    waiting: Sequence[Candidate], conditions: dict[int, Conditions], now: datetime
) -> set[tuple[UUID, int]]:
    """Which (execution, job it depends on) have the run that is wanted."""
    previous = _find_previous(waiting)
    wanted = Rows(
        "w",
        {"key": "uuid", "job_id": "bigint", "outcome": "text", "since": "timestamptz"},
        (
            (
                one.id,
                want.job_id,
                want.outcome,
                now - timedelta(seconds=want.within_seconds)
                if want.within_seconds
                else previous.get(one.id, EVER),
            )
            for one in waiting
            for want in conditions[one.job_id].wanted
        ),
    )
    rows = fetch(
        f"""
        SELECT w.key, w.job_id FROM {wanted.sql}
        WHERE EXISTS (
            SELECT 1 FROM job_executions AS e
            WHERE e.job_id = w.job_id AND e.completed_at > w.since
                AND (e.status = w.outcome OR (w.outcome = 'ANY' AND e.status IN ('SUCCESS', 'FAILED')))
        )
        """,
        wanted.params,
    )
    return {(read_uuid(row[0]), row[1]) for row in rows}


def _find_previous(waiting: Sequence[Candidate]) -> dict[UUID, datetime]:
    """The fire time of the occurrence before each one, in the ledger or deleted; none: left out."""
    own = Rows(
        "v",
        {"key": "uuid", "job_id": "bigint", "at": "timestamptz"},
        ((one.id, one.job_id, one.scheduled_at) for one in waiting),
    )
    rows = fetch(
        f"""
        SELECT v.key, (
            SELECT coalesce(e.skipped_until, e.scheduled_at) FROM job_executions AS e
            WHERE e.job_id = v.job_id AND e.scheduled_at < v.at AND e.trigger = 'schedule'
            ORDER BY e.scheduled_at DESC LIMIT 1),
            (SELECT h.until FROM execution_horizons AS h WHERE h.job_id = v.job_id)
        FROM {own.sql}
        """,
        own.params,
    )
    own_time = {one.id: one.scheduled_at for one in waiting}
    found: dict[UUID, datetime] = {}
    for row in rows:
        key, known = read_uuid(row[0]), [at for at in map(read_moment, row[1:]) if at is not None]
        if known:
            # Where later ones are deleted too, the one before may be any up to its own time.
            found[key] = min(max(known), own_time[key] - MOMENT)
    return found
