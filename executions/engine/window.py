"""Where a claim looks: at the front of what is due, or, where that is held back, from lane to lane."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from executions.engine import facts
from executions.rows import Rows, by_index, fetch, moment, read_moment, read_uuid

WAITING = "('PENDING', 'RETRYING')"

# Only the index of the lanes has this order. For one lane alone a shorter one would do, and an index that
# has it would be read past all that waits of other jobs; so a lane is asked for as a range of one.
_BY_LANE = "ORDER BY e.job_id, e.queue, e.priority DESC, e.next_attempt_at"


DEPTH = 4  # how many times the wanted rows a look at the front goes through


def front(now: datetime, *, size: int, queues: Sequence[str]) -> tuple[list[UUID], bool]:
    """The first due executions of all, and whether more stand there than these tell of. Not locked.

    Goes through the first DEPTH * size due rows and passes over those of one-at-a-time jobs that
    run already: to lock them, or their job, would hold up the process that is about to end that run.
    """
    _sort(allowed=False)  # the index has the order; statistics from emptier times would rather sort all
    rows = fetch(
        f"""
        WITH front AS (
            SELECT w.id, w.job_id, w.priority, w.next_attempt_at, w.queue FROM job_executions AS w
                {by_index("job_executions_due")}
            WHERE w.status IN {WAITING} AND w.next_attempt_at <= %s {_of_queues(queues, "w")}
            ORDER BY w.priority DESC, w.next_attempt_at, w.queue LIMIT %s
        ), free AS (
            SELECT f.id FROM front AS f
            WHERE f.job_id NOT IN (SELECT r.job_id FROM job_executions AS r
                {by_index("job_executions_one_at_a_time")} WHERE r.status = 'RUNNING' AND r.exclusive)
            ORDER BY f.priority DESC, f.next_attempt_at, f.queue LIMIT %s
        )
        SELECT seen.rows, free.id FROM (SELECT count(*) AS rows FROM front) AS seen
        LEFT JOIN free ON true
        """,
        [moment(now), *queues, DEPTH * size, size],
    )
    _sort(allowed=True)
    ids = _read_ids(row[1] for row in rows if row[1] is not None)
    return ids, len(ids) == size or rows[0][0] == DEPTH * size


def _read_ids(values: Iterable[Any]) -> list[UUID]:
    """The ids among these; SQLite keeps any text in the column, and one that is none can never be claimed."""
    found = []
    for value in values:
        with suppress(ValueError):
            found.append(read_uuid(value))
    return found


def _sort(*, allowed: bool) -> None:
    """Whether the planner of PostgreSQL may sort, for the rest of this transaction.

    A sort that is not allowed and cannot be avoided counts as so dear that it would be compiled first.
    """
    if connection.vendor == "postgresql":
        word = "on" if allowed else "off"
        fetch("SELECT set_config('enable_sort', %s, true), set_config('jit', 'off', true)", [word])


def _of_queues(queues: Sequence[str], name: str = "e") -> str:
    places = ", ".join(["%s"] * len(queues))
    return f"AND {name}.queue IN ({places})" if queues else ""


class Lane(NamedTuple):
    """What waits of one job in one queue."""

    job_id: int
    queue: str


class OpenLane(NamedTuple):
    """A lane of a job with room, and its first due execution."""

    lane: Lane
    room: int
    head: UUID


BEFORE_ALL = Lane(0, "")


def lanes(
    now: datetime,
    *,
    after: Lane,
    size: int,
    queues: Sequence[str],
    without_tags: Collection[UUID],
    without_queues: Collection[str],
) -> list[OpenLane]:
    """At most `size` open lanes in their order, from the first one after `after`. Not locked.

    What waits for a retry goes first in its lane: the others of a job that runs one at a time wait for it.

    Jumps from lane to lane through the index, so its cost is that of the lanes and not of the executions
    in them: a hundred thousand rows behind one busy job, or in a paused queue, are a step for each lane.
    """
    tags = Rows("t", {"key": "uuid"}, ((key,) for key in without_tags))
    shut = Rows("q", {"key": "text"}, ((key,) for key in without_queues))
    # One row, so that the planner of PostgreSQL expects few lanes, and looks their jobs up one by one.
    start = "(SELECT CAST(%s AS bigint) AS job_id, CAST(%s AS text) AS queue) AS l"
    by_lane = by_index("job_executions_by_lane")
    # Worded for SQLite, too: it compares pairs through an index only where the text is no column (hence
    # the empty ones), and what is asked of one table alone (hence CASE) lets it read the whole table first.
    rows = fetch(
        f"""
        WITH RECURSIVE lane(job_id, queue) AS (
            {_next_lane(start)}
            UNION ALL
            {_next_lane("lane AS l")}
        ), open_lane AS (
            SELECT l.job_id, l.queue, CASE
                WHEN j.status IN ('paused', 'inactive') OR l.queue IN (SELECT q.key FROM {shut.sql})
                    OR EXISTS (SELECT 1 FROM job_tag_associations AS a JOIN {tags.sql} ON t.key = a.tag_id
                               WHERE a.job_id = j.id)
                THEN 0 ELSE j.max_concurrent_executions - coalesce(running.rows, 0) END AS room
            FROM lane AS l JOIN batch_jobs AS j ON j.id = l.job_id
            LEFT JOIN ({facts.running_by_job()}) AS running ON running.job_id = l.job_id
            WHERE true {_of_queues(queues, "l")}
        ), headed AS (
            SELECT o.job_id, o.queue, o.room, CASE WHEN o.room > 0 THEN coalesce((
                SELECT e.id FROM job_executions AS e {by_index("job_executions_retrying")}
                WHERE e.job_id = o.job_id AND e.queue = o.queue AND e.status = 'RETRYING'
                    AND e.next_attempt_at <= %s
                ORDER BY coalesce(e.scheduled_at, e.created_at) LIMIT 1), (
                SELECT e.id FROM job_executions AS e {by_lane}
                WHERE (e.job_id, e.queue) >= (o.job_id, o.queue || '')
                    AND (e.job_id, e.queue) <= (o.job_id, o.queue || '')
                    AND e.status IN {WAITING} AND e.next_attempt_at <= %s
                {_BY_LANE} LIMIT 1)) END AS head
            FROM open_lane AS o
        )
        SELECT job_id, queue, room, head FROM headed WHERE head IS NOT NULL LIMIT %s
        """,
        [*after, *shut.params, *tags.params, *queues, moment(now), moment(now), size],
    )
    return [OpenLane(Lane(row[0], row[1]), row[2], head) for row in rows for head in _read_ids([row[3]])]


def _next_lane(source: str) -> str:
    """The lane after each lane `l` of the source, found in the index alone."""

    def first(what: str, condition: str) -> str:
        return f"""SELECT {what} FROM job_executions AS e {by_index("job_executions_by_lane")}
            WHERE e.status IN {WAITING} AND {condition} {_BY_LANE} LIMIT 1"""

    if connection.vendor == "postgresql":
        after = first("e.job_id, e.queue", "(e.job_id, e.queue) > (l.job_id, l.queue)")
        return f"SELECT n.job_id, n.queue FROM {source} CROSS JOIN LATERAL ({after}) AS n"
    # SQLite knows no LATERAL, and would step through all pairs that are equal.
    same, later = "e.job_id = l.job_id AND e.queue > l.queue", "e.job_id > l.job_id"
    job, queue = (
        f"coalesce(({first(what, same)}), ({first(what, later)}))" for what in ("e.job_id", "e.queue")
    )
    return f"SELECT {job}, {queue} FROM {source} WHERE l.job_id IS NOT NULL"


def first_in(lane: Lane, now: datetime, *, size: int) -> list[UUID]:
    """The first due executions of a lane. Not locked."""
    rows = fetch(
        f"""
        SELECT e.id FROM job_executions AS e {by_index("job_executions_by_lane")}
        WHERE (e.job_id, e.queue) >= (%s, %s) AND (e.job_id, e.queue) <= (%s, %s)
            AND e.status IN {WAITING} AND e.next_attempt_at <= %s
        {_BY_LANE} LIMIT %s
        """,
        [*lane, *lane, moment(now), size],
    )
    return _read_ids(row[0] for row in rows)


def next_attempt(now: datetime) -> datetime | None:
    """The earliest moment after now at which a waiting execution becomes due.

    One look into the index for each of the ten priorities.
    """
    one = f"""
        (SELECT e.next_attempt_at FROM job_executions AS e {by_index("job_executions_due")}
         WHERE e.status IN {WAITING} AND e.priority = p.key AND e.next_attempt_at > %s
         ORDER BY e.next_attempt_at LIMIT 1)"""
    priorities = Rows("p", {"key": "smallint"}, ((key,) for key in range(10)))
    rows = fetch(f"SELECT {one} FROM {priorities.sql}", [moment(now), *priorities.params])
    moments = [at for row in rows if (at := read_moment(row[0])) is not None]
    return min(moments, default=None)
