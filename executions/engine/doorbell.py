"""Tells the workers of a broker what is due (ENGINE=celery).

The row is the truth and the message only a doorbell: whoever hears it claims the execution in the database
as every other process does. A bell that was lost is rung again; one that rings twice finds nothing to claim.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from executions import workers
from executions.engine import dependencies, facts, window
from executions.engine.agenda import Timer
from executions.engine.limits import Candidate, admit
from executions.engine.pool import Pool
from executions.engine.ring import Ring
from executions.engine.window import WAITING
from executions.faults import fault
from executions.lifecycle import STILL_WAITS
from executions.rows import Rows, fetch, locked, moment, read_moment, read_uuid, write

log = logging.getLogger(__name__)

AHEAD = 10  # bells for each slot of the workers: what they can take until the next look
LEAST_AHEAD = 20
BEYOND = 50  # rows that are looked at behind those, in case that limits hold some back
LANES = 1000  # jobs whose first execution is looked at where limits hold back what stands first
RING_AGAIN = timedelta(seconds=30)
PACE = 0.05  # seconds between looks while there is something to ring for
TRY_AGAIN = 1.0  # seconds between tries to reach a broker that does not answer
COUNT_SLOTS = timedelta(seconds=2)


class Line(Protocol):
    """The way to the broker. Any error means that it does not answer."""

    def send(self, rings: Sequence[Ring]) -> None:
        """Deliver these to the broker; without any, see whether it answers."""

    def count(self, queue: str) -> int:
        """How many messages of this queue wait to be taken."""


class Doorbell:
    """Keeps a bell rung for every execution that could start now, as many as the workers can take soon.

    The rows are marked in the loop; the broker is spoken to by a thread of its own, because the loop speaks
    to the database only.
    """

    def __init__(self, line: Line, *, again: timedelta = RING_AGAIN, idle: timedelta) -> None:
        self._line = line
        self._again = again
        self._idle = idle.total_seconds()
        self._pool = Pool(1, name="doorbell")
        self._pace = PACE
        self._unsent: list[Ring] = []
        self._broken = False
        self._healed = False
        self._complaint = Timer(every=timedelta(seconds=TRY_AGAIN))
        self._count = Timer(every=COUNT_SLOTS)
        self._ahead = LEAST_AHEAD

    def ring_due(self, now: datetime) -> float:
        """Ring for what became startable; answers the seconds after which to look again.

        1. What the broker did not take is put back; while it does not answer, nothing is marked.
        2. After an outage every bell is rung anew, because the broker may have forgotten them.
        3. The first executions that the limits let start get a bell, unless theirs is rung already.
        4. A bell that nobody answered for `again` is rung again where the broker lost it.
        """
        if self.busy:
            return PACE
        unsent, self._unsent = self._unsent, []
        take_back(unsent)
        if self._broken:
            self._pool.submit(self._try)
            return TRY_AGAIN
        if self._healed:
            self._healed = False
            take_all_back()
        rang = self._ring(now)
        self._pace = PACE if rang else min(self._pace * 2, self._idle)
        return self._pace

    @property
    def busy(self) -> bool:
        """Whether the broker is being spoken to."""
        return bool(self._pool.busy or self._pool.queued)

    def close(self) -> None:
        """Let the thread end."""
        self._pool.close()

    def _ring(self, now: datetime) -> bool:
        due = find_startable(now, size=self._count_ahead(now))
        doubted = [one for one in due if one.rung_at is not None and one.rung_at <= now - self._again]
        fresh = [one for one in due if one.rung_at is None]
        marked = mark([*fresh, *doubted], now)
        fault("ring_after_mark")
        new = [one.ring for one in fresh if one.ring.execution_id in marked]
        old = [one.ring for one in doubted if one.ring.execution_id in marked]
        if new or old:
            out = Counter(one.ring.queue for one in due)
            self._pool.submit(lambda: self._send(new, old, out))
        return bool(new)

    def _count_ahead(self, now: datetime) -> int:
        if self._count.is_due():
            self._count.done()
            slots = sum(worker.slots for worker in workers.find_live(now))
            self._ahead = max(LEAST_AHEAD, AHEAD * slots)
        return self._ahead

    # the thread's side ----------------------------------------------------------------------------

    def _send(self, new: Sequence[Ring], old: Sequence[Ring], out: Mapping[str, int]) -> None:
        """Where as many messages wait as bells are out, none was lost: the workers are busy."""
        try:
            fault("ring_before_send")
            self._line.send(new)
            if old:
                lost = {
                    queue for queue in {ring.queue for ring in old} if self._line.count(queue) < out[queue]
                }
                again = [ring for ring in old if ring.queue in lost]
                self._line.send(again)
                log.info("rang again", extra={"count": len(again), "waiting": len(old) - len(again)})
        except Exception as error:
            self._unsent = [*new, *old]
            self._fail(error)

    def _try(self) -> None:
        try:
            self._line.send(())
        except Exception as error:
            self._fail(error)
        else:
            log.info("the broker answers again")
            self._healed, self._broken = True, False

    def _fail(self, error: Exception) -> None:
        self._broken = True
        if self._complaint.is_due():
            self._complaint.done()
            words = str(error).strip().partition("\n")[0] or type(error).__name__
            log.error("the broker does not answer: %s", words)


# What could start -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """A due execution that could start; `rung_at`: since when a bell is rung for its next attempt."""

    ring: Ring
    rung_at: datetime | None
    seen: datetime | None


def find_startable(now: datetime, *, size: int) -> list[Due]:
    """The first `size` due executions that nothing holds back, as the claim would judge them; not locked.

    The usual look reads the first due rows; where limits hold back what stands there, the first execution
    of each job is looked at too.
    """
    rows = _first(now, size + BEYOND)
    due = _judge(rows, now, size)
    if len(rows) < size + BEYOND or len(due) >= size:
        return due
    after, known = window.BEFORE_ALL, {row[0] for row in rows}
    while len(due) < size:
        lanes = window.lanes(now, after=after, size=LANES, queues=(), without_tags=(), without_queues=())
        heads = _named([one.head for one in lanes])
        rows += [row for row in heads if row[0] not in known]
        due = _judge(rows, now, size)
        if len(lanes) < LANES:
            break
        after = lanes[-1].lane
    return due


_COLUMNS = """e.id, e.job_id, e.priority, e.next_attempt_at, e.scheduled_at, e.trigger, e.queue,
    e.batch, e.batch_limit, e.attempt, e.rung_at, e.rung_attempt"""


def _first(now: datetime, size: int) -> list[tuple[Any, ...]]:
    sql = f"""
        SELECT {_COLUMNS} FROM job_executions AS e
        WHERE e.status IN {WAITING} AND e.next_attempt_at <= %s
        ORDER BY e.priority DESC, e.next_attempt_at, e.queue LIMIT %s
        """
    return fetch(sql, [moment(now), size])


def _named(ids: Collection[UUID]) -> list[tuple[Any, ...]]:
    keys = Rows("v", {"key": "uuid"}, ((key,) for key in ids))
    sql = f"""
        SELECT {_COLUMNS} FROM job_executions AS e
        WHERE e.id IN (SELECT v.key FROM {keys.sql}) AND {STILL_WAITS}
        """
    return fetch(sql, keys.params)


def _judge(rows: Sequence[tuple[Any, ...]], now: datetime, size: int) -> list[Due]:
    if not rows:
        return []
    candidates = [facts.read_candidate(row) for row in rows]
    read = {read_uuid(row[0]): row for row in rows}
    look = facts.look(candidates, now, lock=False)
    # One that has waited long enough for other jobs is rung for: its claim skips it.
    verdicts = dependencies.unmet([one for one in candidates if one.job_id in look.dependent], now)
    held = {key for key, verdict in verdicts.items() if not verdict.expired}
    admission = admit([one for one in candidates if one.id not in held], look.room, slots=size)
    return [_due(one, read[one.id], look.definitions[one.job_id].timeout_ms) for one in admission.taken]


def _due(candidate: Candidate, row: tuple[Any, ...], timeout_ms: int) -> Due:
    attempt, seen, rung_for = row[9], read_moment(row[10]), row[11]
    return Due(
        ring=Ring(
            execution_id=candidate.id,
            attempt=attempt,
            queue=candidate.queue,
            priority=candidate.priority,
            timeout_ms=timeout_ms,
        ),
        rung_at=seen if rung_for == attempt else None,
        seen=seen,
    )


# The marks ------------------------------------------------------------------------------------------


def mark(due: Sequence[Due], now: datetime) -> set[UUID]:
    """Note that the bell is rung for these; answers which: what changed or is locked is left for later."""
    if not due:
        return set()
    rows = Rows(
        "v",
        {"key": "uuid", "attempt": "int", "seen": "timestamptz"},
        [(one.ring.execution_id, one.ring.attempt, one.seen) for one in due],
    )
    sql = f"""
        WITH held AS (
            SELECT e.id FROM {rows.sql} JOIN job_executions AS e ON e.id = v.key
            WHERE {STILL_WAITS} AND e.attempt = v.attempt
                AND (e.rung_at = v.seen OR (e.rung_at IS NULL AND v.seen IS NULL))
            ORDER BY e.id {locked("FOR UPDATE OF e SKIP LOCKED")}
        )
        UPDATE job_executions SET rung_at = %s, rung_attempt = attempt
        WHERE id IN (SELECT held.id FROM held) RETURNING id
        """
    return {read_uuid(row[0]) for row in fetch(sql, [*rows.params, moment(now)])}


def take_back(rings: Sequence[Ring]) -> None:
    """Nobody was told, or whoever was told could not start it: the next look rings again."""
    if not rings:
        return
    rows = Rows("v", {"key": "uuid", "attempt": "int"}, ((r.execution_id, r.attempt) for r in rings))
    write(
        f"""
        UPDATE job_executions SET rung_at = NULL
        WHERE id IN (
            SELECT e.id FROM {rows.sql} JOIN job_executions AS e ON e.id = v.key
            WHERE {STILL_WAITS} AND e.rung_attempt = v.attempt AND e.rung_at IS NOT NULL
            ORDER BY e.id {locked("FOR UPDATE OF e SKIP LOCKED")})
        """,
        rows.params,
    )


def take_all_back() -> None:
    """Forget every bell: the next look rings them anew."""
    write(
        f"""
        UPDATE job_executions SET rung_at = NULL
        WHERE id IN (
            SELECT e.id FROM job_executions AS e WHERE e.status IN {WAITING} AND e.rung_at IS NOT NULL
            ORDER BY e.id {locked("FOR UPDATE OF e SKIP LOCKED")})
        """
    )
