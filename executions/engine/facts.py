"""Reads, under their locks, the rows that `limits` judges and `assignment` carries."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from executions.engine.assignment import Definition
from executions.engine.limits import EVERYTHING, Candidate, JobFacts, Room, SharedFacts
from executions.lifecycle import STILL_WAITS
from executions.retry import Defaults, RetryPolicy, read_policy
from executions.rows import (
    BROKEN,
    Rows,
    by_index,
    fetch,
    locked,
    moment,
    read_json,
    read_moment,
    read_text,
    read_uuid,
    read_whole,
    tell,
)
from jobs import registry
from web.instants import LAST
from web.unreadable import Unreadable

MINUTE = timedelta(seconds=60)
COUNTING = 7_316  # the class of our advisory locks that is about counts of shared limits


_COLUMNS = """e.id, e.job_id, e.priority, e.next_attempt_at, e.scheduled_at, e.trigger, e.queue,
    e.batch, e.batch_limit, e.payload, e.retry_count, e.total_processed, e.total_success,
    e.total_failure, e.status, e.attempt, e.reason, e.lost_count"""


def running_by_job() -> str:
    """A table of the jobs that run, with the number of their running executions as `rows`.

    All that runs is counted at once: a look for each job would be led by statistics from a time when
    nothing ran, through all running rows again for every job.
    """
    return f"""SELECT r.job_id, count(*) AS rows FROM job_executions AS r {by_index("job_executions_running")}
        WHERE r.status = 'RUNNING' GROUP BY r.job_id"""


def read_candidate(row: tuple[Any, ...]) -> Candidate:
    """The candidate in a waiting row whose first nine columns are those of `_COLUMNS`.

    One that cannot be read is a candidate all the same: its run ends with what is wrong with it.
    """
    one = Candidate(
        id=read_uuid(row[0]),
        job_id=row[1],
        priority=0,
        due_at=read_moment(row[3]) or LAST,  # SQLite's driver answers None for what is no time
        scheduled_at=read_moment(row[4]) or LAST,
        trigger=row[5],
        queue="default",
    )
    try:
        one.priority, one.queue = read_whole(row[2], "priority"), read_text(row[6], "queue")
        if row[7]:
            one.batch = read_uuid(row[7])
            one.batch_limit = row[8] if row[8] is None else read_whole(row[8], "batch_limit")
    except BROKEN as error:
        one.problem = tell(error)
    return one


class Waiting:
    """One waiting row as read: the candidate to judge, and what its run needs.

    Where the row cannot be read, its payload says why, so that the run ends with that.
    """

    __slots__ = ("candidate", "committed", "payload", "retry_count")

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.candidate = read_candidate(row)
        self.payload = read_json(row[9], "payload")
        self.retry_count = 0
        self.committed = (0, 0, 0)
        try:
            self._read_past(row)
        except BROKEN as error:
            self.candidate.problem = tell(error)
        if self.candidate.problem:
            self.payload = Unreadable(self.candidate.problem)

    def _read_past(self, row: tuple[Any, ...]) -> None:
        """What earlier attempts left."""
        self.candidate.lost = read_whole(row[17], "lost_count")
        self.retry_count = read_whole(row[10], "retry_count")
        if read_whole(row[15], "attempt") <= 0:
            return
        # It was begun before what is due earlier now, and goes on before it.
        self.candidate.due_at = min(self.candidate.due_at, self.candidate.scheduled_at)
        # Only where the same piece of work goes on, after a crash or a release (see lifecycle).
        if row[14] == "PENDING" or row[16] == "worker_lost":
            self.committed = (row[11], row[12], row[13])


def lock_waiting(ids: Collection[UUID]) -> list[Waiting]:
    """These executions as far as they still wait and nobody else holds them, locked."""
    keys = Rows("v", {"key": "uuid"}, ((key,) for key in ids))
    rows = fetch(
        f"""
        SELECT {_COLUMNS} FROM job_executions AS e
        WHERE e.id IN (SELECT v.key FROM {keys.sql}) AND {STILL_WAITS} AND e.next_attempt_at IS NOT NULL
        {locked("FOR UPDATE OF e SKIP LOCKED")}
        """,
        keys.params,
    )
    return [Waiting(row) for row in rows]


def lock_jobs(job_ids: Iterable[int]) -> set[int]:
    """Lock the jobs whose room is about to be used; those that others hold are passed over."""
    keys = Rows("v", {"key": "bigint"}, ((key,) for key in sorted(set(job_ids))))
    rows = fetch(
        f"""
        SELECT j.id FROM batch_jobs AS j WHERE j.id IN (SELECT v.key FROM {keys.sql})
        {locked("FOR NO KEY UPDATE OF j SKIP LOCKED")}
        """,
        keys.params,
    )
    return {row[0] for row in rows}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What candidates are judged by: the room of their limits, their jobs, who depends on others."""

    room: Room
    definitions: dict[int, Definition]
    dependent: set[int]


def look(candidates: Sequence[Candidate], now: datetime, *, lock: bool) -> Look:
    """Read all that these candidates are judged by; `lock`: so that nobody else counts the same room."""
    jobs, definitions, dependent = _read_jobs({one.job_id for one in candidates}, now)
    room = Room(
        jobs=jobs,
        tags=read_tags({tag for job in jobs.values() for tag in job.tags}, now, lock=lock),
        queues=read_queues({one.queue for one in candidates}, now, lock=lock),
        batches=read_batches({one.batch for one in candidates if one.batch}),
    )
    return Look(room=room, definitions=definitions, dependent=dependent)


def _read_jobs(
    job_ids: Collection[int], now: datetime
) -> tuple[dict[int, JobFacts], dict[int, Definition], set[int]]:
    """Limits and definitions of locked jobs, and which of them wait for other jobs."""
    keys = Rows("v", {"key": "bigint"}, ((key,) for key in job_ids))
    rows = fetch(
        f"""
        SELECT j.id, j.status, j.max_concurrent_executions, j.overlap_policy,
            coalesce(running.rows, 0),
            j.rate_limit_per_minute,
            CASE WHEN j.rate_limit_per_minute IS NULL THEN 0 ELSE (
                SELECT count(*) FROM batch_job_logs AS a
                WHERE a.job_id = j.id AND a.started_at > %s) END,
            EXISTS (SELECT 1 FROM job_dependencies AS d WHERE d.job_id = j.id),
            j.uuid, j.job_name, j.handler, j.timezone, j.user_id, j.execution_type, j.payload,
            j.metadata, j.api_endpoint, j.method, j.headers, j.timeout_ms, j.follow_redirects,
            j.retry_policy, j.schedule_type, j.cron_expression
        FROM batch_jobs AS j LEFT JOIN ({running_by_job()}) AS running ON running.job_id = j.id
        WHERE j.id IN (SELECT v.key FROM {keys.sql})
        """,
        [moment(now - MINUTE), *keys.params],
    )
    retries = _retries(job_ids)
    tags = _tags_of(job_ids)
    defaults = Defaults(max_retries=settings.MAX_RETRY_ATTEMPTS, initial_delay_ms=settings.RETRY_DELAY_MS)
    zone = settings.SCHEDULER_TIMEZONE
    facts: dict[int, JobFacts] = {}
    definitions: dict[int, Definition] = {}
    for row in rows:
        known = retries.get(row[0], ()), tags.get(row[0], ())
        try:
            facts[row[0]], definitions[row[0]] = _limits(row, *known), _define(row, zone, defaults)
        except BROKEN as error:
            row = _without_the_unreadable(row)
            facts[row[0]], definitions[row[0]] = _limits(row, *known), _define(row, zone, defaults)
            definitions[row[0]].problem = f"the job's row cannot be read: {tell(error)}"
    return facts, definitions, {row[0] for row in rows if row[7]}


def _limits(row: tuple[Any, ...], retries: tuple[datetime, ...], tags: tuple[UUID, ...]) -> JobFacts:
    return JobFacts(
        id=row[0],
        state=row[1],
        max_concurrent=read_whole(row[2], "max_concurrent_executions"),
        overlap=row[3],
        running=row[4],
        retries=retries,
        rate=None if row[5] is None else read_whole(row[5], "rate_limit_per_minute"),
        started=row[6],
        tags=tags,
        at_most_once=row[13] == "ATMOST_ONCE",
    )


NOBODY = UUID(int=0)


def _without_the_unreadable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row of a job with plain values where SQLite may hold anything: enough to end its runs by."""
    name = row[9] if isinstance(row[9], str) else "?"
    plain = (NOBODY, name, "default", None, None, row[13], None, None, None, "POST", None, None, False, None)
    return (*row[:2], 1, row[3], row[4], None, 0, row[7], *plain, row[22], None)


def _retries(job_ids: Collection[int]) -> dict[int, tuple[datetime, ...]]:
    keys = Rows("v", {"key": "bigint"}, ((key,) for key in job_ids))
    found: dict[int, tuple[datetime, ...]] = {}
    rows = fetch(
        f"""
        SELECT e.job_id, e.scheduled_at FROM job_executions AS e {by_index("job_executions_retrying")}
        WHERE e.job_id IN (SELECT v.key FROM {keys.sql}) AND e.status = 'RETRYING' AND e.trigger = 'schedule'
        """,
        keys.params,
    )
    for job_id, value in rows:
        found[job_id] = (*found.get(job_id, ()), read_moment(value) or LAST)
    return found


def _tags_of(job_ids: Collection[int]) -> dict[int, tuple[UUID, ...]]:
    keys = Rows("v", {"key": "bigint"}, ((key,) for key in job_ids))
    found: dict[int, tuple[UUID, ...]] = {}
    rows = fetch(
        f"""
        SELECT a.job_id, a.tag_id FROM job_tags AS t
        JOIN job_tag_associations AS a ON a.tag_id = t.id
        WHERE (t.max_concurrent IS NOT NULL OR t.rate_limit_per_minute IS NOT NULL)
            AND a.job_id IN (SELECT v.key FROM {keys.sql})
        """,
        keys.params,
    )
    for job_id, tag in rows:
        found[job_id] = (*found.get(job_id, ()), read_uuid(tag))
    return found


def read_tags(tags: Collection[UUID], now: datetime, *, lock: bool = True) -> dict[UUID, SharedFacts]:
    """Limits of these tags and how much is used; who counts alone may use it, the others are `busy`."""
    if not tags:
        return {}
    keys = Rows("v", {"key": "uuid"}, ((key,) for key in sorted(tags)))
    alone = _count_alone([f"tag {key}" for key in tags]) if lock else None
    rows = fetch(
        f"""
        SELECT t.id, t.name, t.max_concurrent, t.rate_limit_per_minute,
            (SELECT count(*) FROM job_executions AS r {by_index("job_executions_running")}
             JOIN job_tag_associations AS a ON a.job_id = r.job_id
             WHERE a.tag_id = t.id AND r.status = 'RUNNING'),
            CASE WHEN t.rate_limit_per_minute IS NULL THEN 0 ELSE (
                SELECT count(*) FROM batch_job_logs AS b JOIN job_tag_associations AS a
                ON a.job_id = b.job_id WHERE a.tag_id = t.id AND b.started_at > %s) END
        FROM job_tags AS t WHERE t.id IN (SELECT v.key FROM {keys.sql})
        """,
        [moment(now - MINUTE), *keys.params],
    )
    return {
        read_uuid(row[0]): SharedFacts(
            name=row[1],
            max_concurrent=row[2],
            rate=row[3],
            running=row[4],
            started=row[5],
            busy=alone is not None and f"tag {read_uuid(row[0])}" not in alone,
        )
        for row in rows
    }


def _count_alone(names: Sequence[str]) -> set[str]:
    """Those of these shared limits that nobody else counts now; ours until the transaction ends.

    No lock of their rows: somebody may hold those for as long as he likes, and changes no count by it.
    Nobody is waited for, so it does not matter in which order processes ask.
    """
    if connection.vendor != "postgresql" or not names:
        return set(names)
    keys = Rows("v", {"key": "text"}, ((name,) for name in sorted(names)))
    rows = fetch(
        f"SELECT v.key, pg_try_advisory_xact_lock(%s, hashtext(v.key)) FROM {keys.sql}",
        [COUNTING, *keys.params],
    )
    return {row[0] for row in rows if row[1]}


def read_queues(names: Collection[str], now: datetime, *, lock: bool = True) -> dict[str, SharedFacts]:
    """Switches and limits of these queues and of `*`; of counted ones, who counts alone may use them, the
    others are `busy`."""
    keys = Rows("v", {"key": "text"}, ((key,) for key in sorted({*names, EVERYTHING})))
    rows = fetch(
        f"""
        SELECT name, paused, max_concurrent, rate_limit_per_minute FROM queues
        WHERE name IN (SELECT v.key FROM {keys.sql}) ORDER BY name
        """,
        keys.params,
    )
    counted = [row[0] for row in rows if row[2] is not None or row[3] is not None]
    alone = _count_alone([f"queue {name}" for name in counted]) if lock else None
    return {
        row[0]: SharedFacts(
            name=row[0],
            paused=bool(row[1]),
            max_concurrent=row[2],
            rate=row[3],
            running=_running_in(row[0]) if row[0] in counted else 0,
            started=_started_in(row[0], now) if row[3] is not None else 0,
            busy=alone is not None and row[0] in counted and f"queue {row[0]}" not in alone,
        )
        for row in rows
    }


def _running_in(name: str) -> int:
    where, params = ("", []) if name == EVERYTHING else ("AND queue = %s", [name])
    running = by_index("job_executions_running")
    sql = f"SELECT count(*) FROM job_executions {running} WHERE status = 'RUNNING' {where}"
    return int(fetch(sql, params)[0][0])


def _started_in(name: str, now: datetime) -> int:
    where, params = ("", []) if name == EVERYTHING else ("AND e.queue = %s", [name])
    sql = f"""
        SELECT count(*) FROM batch_job_logs AS a JOIN job_executions AS e ON e.id = a.execution_id
        WHERE a.started_at > %s {where}
        """
    return int(fetch(sql, [moment(now - MINUTE), *params])[0][0])


def read_batches(batches: Collection[UUID]) -> dict[UUID, int]:
    """How many executions of each backfill run."""
    if not batches:
        return {}
    keys = Rows("v", {"key": "uuid"}, ((key,) for key in batches))
    rows = fetch(
        f"""
        SELECT e.batch, count(*) FROM job_executions AS e {by_index("job_executions_running")}
        WHERE e.status = 'RUNNING' AND e.batch IN (SELECT v.key FROM {keys.sql})
        GROUP BY e.batch
        """,
        keys.params,
    )
    return {read_uuid(row[0]): row[1] for row in rows}


def _define(row: tuple[Any, ...], zone: str, defaults: Defaults) -> Definition:
    stored = read_json(row[21], "retry_policy")
    payload, metadata = read_json(row[14], "payload"), read_json(row[15], "metadata")
    headers = read_json(row[18], "headers")
    policy, problem = _policy(stored, row[22], row[13], defaults)
    problem = next((one for one in (payload, metadata, headers) if isinstance(one, Unreadable)), problem)
    name = registry.resolve(handler=row[10], api=row[16], name=row[9])
    return Definition(
        id=row[0],
        uuid=read_uuid(row[8]),
        name=read_text(row[9], "job_name"),
        handler=read_text(name, "handler"),
        zone=read_text(row[11] or zone, "timezone"),
        owner_id=read_uuid(row[12]) if row[12] else None,
        execution_type=row[13],
        payload=payload,
        metadata=metadata,
        api=row[16],
        method=row[17],
        headers=headers,
        timeout_ms=read_whole(row[19] or registry.default_timeout_ms(name), "timeout_ms"),
        follow_redirects=bool(row[20]),
        retry_policy=policy,
        stored_policy=stored,
        cron_expression=read_text(row[23] or "", "cron_expression"),
        problem=problem,
    )


def _policy(stored: Any, family: str, execution_type: str, defaults: Defaults) -> tuple[RetryPolicy, str]:
    """The policy in force, and what is wrong with the stored one."""
    if isinstance(stored, Unreadable):
        return RetryPolicy(max_retries=0), stored
    if not stored:
        return _default_policy(family, execution_type, defaults), ""
    try:
        policy = read_policy(stored, family=family, execution_type=execution_type, defaults=defaults)
    except ValueError as error:
        return RetryPolicy(max_retries=0), str(error)
    return policy, ""


@lru_cache(maxsize=64)
def _default_policy(family: str, execution_type: str, defaults: Defaults) -> RetryPolicy:
    return read_policy(None, family=family, execution_type=execution_type, defaults=defaults)
