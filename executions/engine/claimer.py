"""Takes due executions for this process: the first due ones that the limits let start."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction

from executions import lifecycle
from executions.engine import dependencies, facts
from executions.engine.assignment import Assignment, Definition
from executions.engine.config import EngineConfig
from executions.engine.facts import Waiting
from executions.engine.limits import Admission, JobFacts, Room, admit
from executions.faults import fault
from executions.lifecycle import Take

MIN_WINDOW = 50
LANE_ROUNDS = 5


@dataclass(kw_only=True)
class Round:
    """What one look found. `contended`: others held rows that may be free in a moment."""

    confirmed: float
    assignments: list[Assignment] = field(default_factory=list)
    contended: bool = False
    held: dict[UUID, str] = field(default_factory=dict)
    full: bool = False


@dataclass(kw_only=True)
class Claimer:
    """Claims for one process.

    The usual look takes a window of the first due rows. Where what stands there is held back
    by limits, a second look jumps from job to job instead, so that the cost of a claim is
    that of what it takes and not of what waits; it is tried first while the window is clogged.
    """

    config: EngineConfig
    clogged: bool = False

    def claim(
        self, now: datetime, *, slots: int, confirmed: float, only: Collection[UUID] | None = None
    ) -> Round:
        """Claim at most `slots` executions in one transaction; their attempt rows are open.

        `confirmed` is the monotonic moment at which `now` was read: the leases count from it.
        `only`: these executions and no others.
        """
        found = Round(confirmed=confirmed)
        with transaction.atomic():
            if only is not None:
                due = [one for one in facts.lock_waiting(only) if one.candidate.due_at <= now]
                self._take(found, due, now, slots)
                return found
            if not self.clogged:
                self._from_window(found, now, slots)
            if self.clogged and len(found.assignments) < slots:
                self._from_lanes(found, now, slots)
            if found.assignments:
                fault("claim_before_commit")
        if found.assignments:
            fault("claim_after_commit")
        return found

    def _from_window(self, found: Round, now: datetime, slots: int) -> None:
        size = max(slots, MIN_WINDOW)
        waiting = facts.window(now, size=size, queues=self.config.queues)
        found.full = len(waiting) >= size
        self._take(found, waiting, now, slots)
        self.clogged = found.full and len(found.assignments) < slots and bool(found.held)

    def _from_lanes(self, found: Round, now: datetime, slots: int) -> None:
        blocked: set[int] = set()
        tags: set[UUID] = set()
        queues: set[str] = set()
        seen = 0
        for _ in range(LANE_ROUNDS):
            open_lanes = facts.lanes(
                now,
                queues=self.config.queues,
                without_jobs=blocked,
                without_tags=tags,
                without_queues=queues,
            )
            seen = max(seen, len(open_lanes))
            wanted = slots - len(found.assignments)
            ids = self._heads(open_lanes, now, wanted)
            waiting = facts.lock_waiting(ids)
            found.contended |= len(waiting) < len(ids)
            before = len(found.assignments)
            room = self._take(found, waiting, now, slots)
            if len(found.assignments) >= slots or not found.held or not ids:
                break
            if room is None or (len(found.assignments) == before and not found.held):
                break
            blocked |= {one.candidate.job_id for one in waiting if one.candidate.id in found.held}
            tags, queues = room.full_tags(), room.full_queues()
        # Where many lanes are open the window sees them too, at the cost of what it takes.
        self.clogged = 0 < seen <= 2 * slots or bool(found.held)

    def _heads(self, open_lanes: Sequence[tuple[int, int, UUID]], now: datetime, wanted: int) -> list[UUID]:
        """The first execution of each lane; where that leaves room, more of the wide ones."""
        ids = [head for _, _, head in open_lanes]
        spare = wanted - len(ids)
        for job_id, room, _ in open_lanes:
            if spare <= 0:
                break
            if room > 1:
                more = facts.lane(now, job_id, size=min(room, spare + 1), queues=self.config.queues)
                ids += [key for key in more if key not in ids[: len(open_lanes)]]
                spare = wanted - len(ids)
        return ids

    def _take(self, found: Round, waiting: Sequence[Waiting], now: datetime, slots: int) -> Room | None:
        """Judge locked rows under their limits' locks and claim those that may start."""
        if not waiting:
            return None
        wanted = {one.candidate.job_id for one in waiting}
        locked = facts.lock_jobs(wanted)
        found.contended |= locked != wanted
        if not locked:
            return None
        rows = {one.candidate.id: one for one in waiting if one.candidate.job_id in locked}
        jobs, definitions, dependent = facts.read_jobs(locked, now)
        self._settle_dependencies(found, rows, dependent, now)
        room = Room(
            jobs=jobs,
            tags=facts.read_tags({tag for job in jobs.values() for tag in job.tags}, now),
            queues=facts.read_queues({one.candidate.queue for one in rows.values()}, now),
            batches=facts.read_batches({one.candidate.batch for one in rows.values() if one.candidate.batch}),
        )
        admission = admit(
            [one.candidate for one in rows.values()], room, slots=slots - len(found.assignments)
        )
        found.held |= admission.held
        found.assignments += self._claim(admission, rows, definitions, jobs_once(jobs), now, found.confirmed)
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
                started_at=now,
                confirmed=confirmed,
            )
            for claim in claims
        ]


def jobs_once(jobs: dict[int, JobFacts]) -> set[int]:
    """The jobs that run one at a time: the database's own index watches over them too."""
    return {key for key, job in jobs.items() if job.max_concurrent == 1}
