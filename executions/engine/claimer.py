"""Takes due executions for this process: the first due ones that the limits let start."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction

from executions import lifecycle
from executions.engine import clock, dependencies, facts, window
from executions.engine.assignment import Assignment, Definition
from executions.engine.config import EngineConfig
from executions.engine.facts import Waiting
from executions.engine.limits import Admission, JobFacts, Room, admit
from executions.engine.window import BEFORE_ALL, Lane, OpenLane
from executions.faults import fault
from executions.lifecycle import Take

MIN_FRONT = 50
FRONT = 16  # what is looked for at the front while it is clogged
LANE_ROUNDS = 5
MIN_LANES = 64


@dataclass(kw_only=True)
class Round:
    """What one look found.

    `contended`: others held rows that may be free in a moment, and `passed` are these rows. `closed`: the
    next free slot is promised.
    """

    confirmed: float
    free: int
    assignments: list[Assignment] = field(default_factory=list)
    contended: bool = False
    passed: set[UUID] = field(default_factory=set)
    closed: bool = False
    held: dict[UUID, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Claimer:
    """Claims for one process.

    The usual look takes the first due rows, the front. Where little of what stands there may start,
    a second look jumps from lane to lane instead, so that the cost of a claim is that of what it takes
    and not of what waits. While the front is clogged its first rows are still looked at: there
    comes what has a higher priority, and there shows when it is free again.
    """

    config: EngineConfig
    clogged: bool = False
    # The lane after which the next look from lane to lane begins.
    place: Lane = BEFORE_ALL
    # What let nothing start at the last of these looks.
    full_tags: set[UUID] = field(default_factory=set)
    full_queues: set[str] = field(default_factory=set)
    # What stood at the front at the last look and was in other hands.
    passed: set[UUID] = field(default_factory=set)

    def claim(
        self,
        now: datetime,
        *,
        slots: int,
        confirmed: float,
        free: int | None = None,
        only: Collection[UUID] | None = None,
    ) -> Round:
        """Claim at most `slots` executions in one transaction; their attempt rows are open.

        `confirmed` is the monotonic moment at which `now` was read: the leases count from it.
        `free`: how many of the slots are free now (all, if not said); the others will be soon.
        `only`: these executions and no others.
        """
        found = Round(confirmed=confirmed, free=slots if free is None else free)
        with transaction.atomic():
            if only is not None:
                due = [one for one in facts.lock_waiting(only) if one.candidate.due_at <= now]
                self._take(found, due, now, slots)
                return found
            self._from_front(found, now, slots)
            if self.clogged and len(found.assignments) < slots and not found.closed:
                self._from_lanes(found, now, slots)
            if found.assignments:
                fault("claim_before_commit")
        if found.assignments:
            fault("claim_after_commit")
        return found

    def _from_front(self, found: Round, now: datetime, slots: int) -> None:
        size = FRONT if self.clogged else max(slots, MIN_FRONT)
        ids, more = window.front(now, size=size, queues=self.config.queues)
        self._take(found, self._lock(found, ids), now, slots)
        # Rows that another process is about to take are no sign of a crowd; those that it still has at the
        # next look are.
        kept = found.passed & self.passed
        self.passed = set(found.passed)
        few = 4 * max(len(found.assignments), len(ids) - len(found.held) - len(kept)) < min(slots, size)
        self.clogged = more and few

    def _lock(self, found: Round, ids: Sequence[UUID]) -> list[Waiting]:
        """Lock what still waits of these and nobody else holds."""
        waiting = facts.lock_waiting(ids) if ids else []
        found.passed |= set(ids) - {one.candidate.id for one in waiting}
        found.contended |= len(waiting) < len(ids)
        return waiting

    def _from_lanes(self, found: Round, now: datetime, slots: int) -> None:
        """Look from lane to lane, on from where the last look ended, at most once around."""
        self._forget_what_has_room(now)
        begun = self.place
        for _ in range(LANE_ROUNDS):
            wanted = slots - len(found.assignments)
            size = max(2 * wanted, MIN_LANES)
            open_lanes = window.lanes(
                now,
                after=self.place,
                size=size,
                queues=self.config.queues,
                without_tags=self.full_tags,
                without_queues=self.full_queues,
            )
            self.place = open_lanes[-1].lane if len(open_lanes) == size else BEFORE_ALL
            ids = self._heads(open_lanes, now, wanted)
            room = self._take(found, self._lock(found, ids), now, slots)
            if room is not None:
                self.full_tags |= room.full_tags()
                self.full_queues |= room.full_queues()
            around = self.place == begun == BEFORE_ALL
            if len(found.assignments) >= slots or found.closed or around:
                break
            begun = BEFORE_ALL if self.place == BEFORE_ALL else begun
        found.contended |= self.place != BEFORE_ALL and len(found.assignments) < slots

    def _forget_what_has_room(self, now: datetime) -> None:
        """Of the tags and queues that were full at the last look, go on passing over those that still are."""
        room = Room(
            jobs={},
            tags=facts.read_tags(self.full_tags, now, lock=False),
            queues=facts.read_queues(self.full_queues, now, lock=False) if self.full_queues else {},
        )
        self.full_tags, self.full_queues = room.full_tags(), room.full_queues()

    def _heads(self, open_lanes: Sequence[OpenLane], now: datetime, wanted: int) -> list[UUID]:
        """The first execution of each lane; where that leaves room, more of the wide ones."""
        heads = [one.head for one in open_lanes]
        ids = dict.fromkeys(heads)
        for one in open_lanes:
            spare = wanted - len(ids)
            if spare <= 0:
                break
            if one.room > 1:
                ids |= dict.fromkeys(window.first_in(one.lane, now, size=min(one.room, spare + 1)))
        return list(ids)

    def _take(self, found: Round, waiting: Sequence[Waiting], now: datetime, slots: int) -> Room | None:
        """Judge locked rows under their limits' locks and claim those that may start."""
        if not waiting:
            return None
        wanted = {one.candidate.job_id for one in waiting}
        locked = facts.lock_jobs(wanted)
        found.contended |= locked != wanted
        rows = {one.candidate.id: one for one in waiting if one.candidate.job_id in locked}
        found.passed |= {one.candidate.id for one in waiting} - rows.keys()
        if not rows:
            return None
        look = facts.look([one.candidate for one in rows.values()], now, lock=True)
        room = look.room
        found.contended |= room.is_busy
        _end_what_deleted_jobs_left(rows, room.jobs, now)
        self._settle_dependencies(found, rows, look.dependent, now)
        taken = len(found.assignments)
        admission = admit(
            [one.candidate for one in rows.values()],
            room,
            slots=slots - taken,
            free=max(0, found.free - taken),
        )
        found.held |= admission.held
        found.closed = admission.closed
        if admission.taken:
            # Read anew behind the locks: a run that had to end first must not seem to end after this start.
            at = clock.now()
            once = jobs_once(room.jobs)
            found.assignments += self._claim(admission, rows, look.definitions, once, at, found.confirmed)
        return room

    def _settle_dependencies(
        self, found: Round, rows: dict[UUID, Waiting], dependent: set[int], now: datetime
    ) -> None:
        """Hold back what waits for other jobs; skip what waited long enough."""
        candidates = [one.candidate for one in rows.values() if one.candidate.job_id in dependent]
        verdicts = dependencies.unmet(candidates, now)
        expired = [key for key, verdict in verdicts.items() if verdict.expired]
        lifecycle.skip(expired, reason="dependency", now=now)
        for key, verdict in verdicts.items():
            rows.pop(key)
            if not verdict.expired:
                found.held[key] = verdict.why

    def _claim(
        self,
        admission: Admission,
        rows: dict[UUID, Waiting],
        definitions: dict[int, Definition],
        once: set[int],
        now: datetime,
        confirmed: float,
    ) -> list[Assignment]:
        claims = lifecycle.claim(
            [
                Take(
                    execution_id=one.id,
                    job_id=one.job_id,
                    job_name=definitions[one.job_id].name,
                    cron_expression=definitions[one.job_id].cron_expression,
                    exclusive=one.job_id in once,
                )
                for one in admission.taken
            ],
            instance=self.config.instance,
            now=now,
            lease=self.config.lease,
        )
        return [
            Assignment(
                claim=claim,
                job=definitions[claim.job_id],
                scheduled_at=rows[claim.execution_id].candidate.scheduled_at,
                trigger=rows[claim.execution_id].candidate.trigger,
                payload=rows[claim.execution_id].payload,
                retry_count=rows[claim.execution_id].retry_count,
                committed=rows[claim.execution_id].committed,
                confirmed=confirmed,
            )
            for claim in claims
        ]


def _end_what_deleted_jobs_left(
    rows: dict[UUID, Waiting], jobs: Mapping[int, JobFacts], now: datetime
) -> None:
    """A run that came back to waiting after its job was deleted (retried, rescued, released) ends here."""
    left = [key for key, one in rows.items() if jobs[one.candidate.job_id].state == "deleted"]
    lifecycle.cancel(left, reason="job_deleted", now=now)
    for key in left:
        del rows[key]


def jobs_once(jobs: Mapping[int, JobFacts]) -> set[int]:
    """The jobs that run one at a time: the database's own index watches over them too."""
    return {key for key, job in jobs.items() if job.max_concurrent == 1}
